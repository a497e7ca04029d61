// Admin application: metrics, liveness, readiness and status, on a listener of its own and without secrets.
import fastify, { type FastifyInstance, type onRequestHookHandler } from 'fastify';
import type { AuditLog } from '../audit/event.ts';
import { limitConnections } from '../http/connection/connection-limit.ts';
import { parseListenAddress } from '../http/connection/listen-address.ts';
import { createPeerAddressReader } from '../http/connection/listener.ts';
import { isPrivateHost } from '../http/host.ts';
import { ownHeaders } from '../http/problem.ts';
import { keySetPath, publicDocumentHeaders } from '../http/well-known.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { SwitchedState } from '../state/switched-state.ts';
import type { DefinitionChecks } from './catalog/definition-checks.ts';
import type { Configuration } from './reload.ts';
import { fastifyOptions } from './request-log.ts';
import type { RevocationWatcher } from './revocation-watcher.ts';
import type { Runtime } from './runtime.ts';
import { groupStreams } from './stream-groups.ts';
import type { UpstreamProbes } from './upstreams/upstream-probes.ts';

/** Sources of the answers of the admin listener. */
export interface AdminOptions {
  readonly audit: AuditLog;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly probes: UpstreamProbes;
  readonly definitions: DefinitionChecks;
  readonly revocations: RevocationWatcher;
  readonly state: SwitchedState;
  readonly runtime: Runtime;
  readonly version: string;
  /** The configuration in force; during the start the one that will be. */
  readonly current: () => Configuration;
  /** False until the start is over. */
  readonly started: () => boolean;
}

const receiveTimeoutMs = 10_000;
/** Few, so that they fit into the descriptors that are kept back from the public listener. */
const connectionLimits = { all: 32, perAddress: 16 };

/** Builds the application; it does not listen yet. */
export function createAdmin(options: AdminOptions): FastifyInstance {
  const { audit, current, definitions, log, metrics, probes, revocations, runtime, state, version } = options;
  const app = fastify({
    ...fastifyOptions(log),
    forceCloseConnections: true,
    requestTimeout: receiveTimeoutMs,
    http: { headersTimeout: receiveTimeoutMs, connectionsCheckingInterval: 1000 },
  });
  const { listen } = current().loaded.config.admin;
  app.server.maxConnections = connectionLimits.all;
  limitConnections(app.server, {
    peerAddress: createPeerAddressReader(listen),
    isExempt: () => false,
    limit: () => connectionLimits.perAddress,
    refused: () => metrics.connectionRefused('connections_per_address'),
  });
  app.addHook('onRequest', async (_request, reply) => void reply.headers(ownHeaders));
  app.addHook('onRequest', checkHost(listen, runtime));
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reasons = reasonsNotReady(options);
    if (reasons.length === 0) return reply.type('text/plain').send('ready\n');
    return reply
      .code(503)
      .type('text/plain')
      .send(`not ready\n${reasons.map((reason) => `- ${reason}\n`).join('')}`);
  });
  app.get('/status', (_request, reply) =>
    reply.send({
      version,
      policy: current().loaded.hash,
      shadow: shadowOf(current()),
      draining: runtime.draining,
      openRequests: runtime.open.size(),
      auditHealthy: audit.healthy(),
      auditHeads: audit.heads(),
      revocation: revocations.state(),
      state: state.status(),
      ...groupStreams(runtime.streams),
      definitions: definitions.states(),
    }),
  );
  app.get(keySetPath, (_request, reply) => {
    const keys = runtime.snapshot.publishedKeys;
    if (keys === undefined) return reply.code(404).type('text/plain').send('no upstream has an assertion\n');
    return reply.headers(publicDocumentHeaders).send(keys);
  });
  app.get('/metrics', async (_request, reply) => {
    const keySets = [...runtime.snapshot.authenticators.keySets.values()];
    const scraped = await metrics.scrape({
      ...current().expiries,
      keySets,
      probes: probes.states(),
      auditHead: audit.heads()[0],
    });
    return reply.type(metrics.contentType).send(scraped);
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('nothing here\n'));
  app.setErrorHandler((error, request, reply) => {
    request.log.error({ err: error }, 'the admin listener failed on a request');
    return reply.code(503).type('text/plain').send('not available right now\n');
  });
  return app;
}

/** The shadow by its hash, and the problem of its file where that is an older one. */
function shadowOf({ snapshot: { shadow } }: Configuration): object | undefined {
  return shadow && { policy: shadow.loaded.hash, problem: shadow.problem };
}

/** Answers 421 to a Host that a page of somebody else may have bound to this address (DNS rebinding). */
function checkHost(listen: string, runtime: Runtime): onRequestHookHandler {
  const address = parseListenAddress(listen);
  const own = address.kind === 'unix' ? undefined : address.host.toLowerCase();
  return (request, reply, done) => {
    const { host = '' } = request.headers;
    const isOwn = host.toLowerCase().replace(/:\d+$/, '') === own;
    if (isOwn || isPrivateHost(host) || runtime.snapshot.hosts.isServed(host)) return done();
    request.log.warn({ host }, 'a request to the admin listener named another host');
    reply
      .code(421)
      .type('text/plain')
      .send('this host name is not served here; use an address, or add it to server.allowedHosts\n');
  };
}

/** The reasons as sentences; none when the gateway is ready. */
function reasonsNotReady({ audit, probes, runtime, started }: AdminOptions): string[] {
  const reasons: string[] = [];
  if (!started()) reasons.push('starting');
  if (runtime.draining) reasons.push('draining: the process was told to stop');
  if (!audit.healthy()) reasons.push('audit: a required sink does not take records');
  const truncation = audit.truncation();
  if (truncation !== undefined) reasons.push(`audit: ${truncation}`);
  for (const keySet of runtime.snapshot.authenticators.keySets.values())
    if (!keySet.ready()) reasons.push(`issuer ${keySet.issuer}: no keys yet, or they are too old`);
  return [...reasons, ...probes.notReady()];
}
