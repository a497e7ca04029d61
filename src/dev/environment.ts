// Development environment on loopback: certificates, configuration, authorization server, demo upstream and gateway.
import { hash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts';
import { writeCertificates } from './certificates.ts';
import { configFile, type DevelopmentPolicy, generalPolicy, supersetPolicy } from './files/config-file.ts';
import { keepEditedFile, prepareDirectory } from './files/directory.ts';
import type { EnvironmentFacts, OAuthClient } from './files/environment-facts.ts';
import { writeFiles } from './files/written-files.ts';
import { choosePort, type PortChoice } from './ports.ts';
import { startDemoSuperset } from './superset/server.ts';

/** Options of `startDevelopmentEnvironment`. */
export interface EnvironmentOptions {
  /** URL of the upstream's MCP endpoint; default: the demo Superset. */
  readonly upstream?: string | undefined;
  /** Directory of the written files; default: a temporary one that `close` removes. */
  readonly directory?: string | undefined;
  /** TCP ports. 0 takes a free one. Without a number: the usual port, or a free one if that is taken. */
  readonly ports?: Partial<Record<PortName, number | undefined>> | undefined;
  readonly startGateway: (configFile: string) => Promise<{ close(): Promise<void> }>;
  /** Arguments that start this program, such as node and the path of its entry, for the written scripts. */
  readonly program: readonly string[];
  /** Told of each part that has started. */
  readonly onPart?: ((part: StartedPart) => void) | undefined;
  /** Aborted during the start, no further part is started, and the start fails. */
  readonly stopped?: AbortSignal | undefined;
  readonly now?: () => number;
}

/** A part that has started. */
export interface StartedPart {
  readonly name: string;
  readonly ms: number;
}

export type PortName = 'gateway' | 'admin' | 'issuer' | 'upstream';

/** A running development environment. */
export interface DevelopmentEnvironment extends EnvironmentFacts {
  /** Stops the gateway first and the upstream last, then removes a temporary directory. */
  close(): Promise<void>;
}

const usualPorts = { gateway: 8443, admin: 9090, issuer: 9400, upstream: 5008 } as const;
const dayMs = 86_400_000;

/** Starts all parts or none: a failure stops those that have started. Throws errors of one line. */
export async function startDevelopmentEnvironment(options: EnvironmentOptions): Promise<DevelopmentEnvironment> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return { ...(await start(options, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(options: EnvironmentOptions, closers: (() => Promise<void>)[]): Promise<EnvironmentFacts> {
  const given = options.upstream === undefined ? undefined : parseUpstream(options.upstream);
  const ports = await choosePorts(options.ports ?? {}, given === undefined);
  const directory = await prepareDirectory(options.directory, closers);
  const timed = async <T>(name: string, begin: () => Promise<T>): Promise<T> => {
    options.stopped?.throwIfAborted();
    const before = performance.now();
    const started = await begin();
    options.onPart?.({ name, ms: performance.now() - before });
    return started;
  };
  const demo =
    given === undefined
      ? await timed('demo Superset', () => startDemoSuperset({ port: ports.upstream.port }))
      : undefined;
  if (demo !== undefined) closers.push(demo.close);
  const policy = given === undefined ? supersetPolicy(demo?.url ?? '') : generalPolicy(given);
  const clientSecrets = {
    ai_agent_prod: randomSecret(),
    analytics_frontend: randomSecret(),
    short_lived: randomSecret(),
  };
  const publicUrl = `https://localhost:${ports.gateway.port}`;
  const mcpUrl = `${publicUrl}${policy.mcpPath}`;
  const resources = ['dashboards', 'queries', 'exports'].map((name) => `${publicUrl}/api/${name}`);
  const issuer = await timed('authorization server', () =>
    startIssuer(ports.issuer.port, [mcpUrl, ...resources], policy, clientSecrets),
  );
  closers.push(issuer.close);
  const configFile = join(directory, 'gateway.yaml');
  const edited = await keepEditedFile(configFile);
  const facts = {
    directory,
    configFile,
    auditFile: join(directory, 'audit.jsonl'),
    caFile: join(directory, 'pki', 'ca.crt'),
    tryFile: join(directory, 'try.sh'),
    tourFile: join(directory, 'tour.sh'),
    clientsDirectory: join(directory, 'clients'),
    publicUrl,
    mcpUrl,
    adminUrl: `http://127.0.0.1:${ports.admin.port}`,
    issuer: issuer.issuer,
    upstreamUrl: demo === undefined ? (options.upstream ?? '') : `${demo.url}/mcp`,
    isDemo: demo !== undefined,
    policy,
    clientSecrets,
    apiKey: `sk_${randomSecret()}`,
    notes: [
      ...notesOf(ports, policy),
      ...(edited === undefined ? [] : [`gateway.yaml was edited: it is kept as ${edited}, and written anew`]),
    ],
  };
  await timed('certificates and files', async () => {
    await writeCertificates(join(directory, 'pki'));
    await writeConfigFile(facts, ports, options.now?.() ?? Date.now());
    await writeFiles(facts, options.program);
  });
  const gateway = await timed('gateway', () => options.startGateway(facts.configFile));
  closers.push(gateway.close);
  return facts;
}

function startIssuer(
  port: number,
  resources: readonly [string, ...string[]],
  policy: DevelopmentPolicy,
  secrets: Readonly<Record<OAuthClient, string>>,
): Promise<AuthorizationServer> {
  const { ai_agent_prod: agentScopes, analytics_frontend: frontendScopes } = policy.scopes;
  return startAuthorizationServer({
    port,
    resources,
    scopes: policy.allScopes,
    clients: [
      { clientId: 'ai_agent_prod', clientSecret: secrets.ai_agent_prod, scopes: agentScopes },
      { clientId: 'analytics_frontend', clientSecret: secrets.analytics_frontend, scopes: frontendScopes },
      {
        clientId: 'short_lived',
        clientSecret: secrets.short_lived,
        scopes: frontendScopes,
        accessTokenLifetimeSeconds: 1,
      },
    ],
  });
}

async function writeConfigFile(
  facts: Pick<EnvironmentFacts, 'configFile' | 'issuer' | 'apiKey' | 'policy'>,
  ports: Record<PortName, PortChoice>,
  now: number,
): Promise<void> {
  const text = configFile({
    gatewayPort: ports.gateway.port,
    adminPort: ports.admin.port,
    issuer: facts.issuer,
    apiKeyHash: `sha256:${hash('sha256', facts.apiKey, 'hex')}`,
    deprecation: day(now - 7 * dayMs),
    sunset: day(now + 90 * dayMs),
    policy: facts.policy,
  });
  await writeFile(facts.configFile, text, { mode: 0o600 });
}

function parseUpstream(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error(`--upstream must be the http(s) URL of an MCP endpoint, such as http://127.0.0.1:3000/mcp`);
  }
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    throw new Error('--upstream must be a URL without query, fragment and credentials');
  }
  return url;
}

async function choosePorts(
  wanted: Partial<Record<PortName, number | undefined>>,
  withUpstream: boolean,
): Promise<Record<PortName, PortChoice>> {
  return {
    gateway: await choosePort('gateway', '--port', usualPorts.gateway, wanted.gateway),
    admin: await choosePort('admin listener', '--admin-port', usualPorts.admin, wanted.admin),
    issuer: await choosePort('authorization server', '--issuer-port', usualPorts.issuer, wanted.issuer),
    upstream: withUpstream
      ? await choosePort('demo Superset', '--upstream-port', usualPorts.upstream, wanted.upstream)
      : { port: 0 },
  };
}

function notesOf(ports: Record<PortName, PortChoice>, policy: DevelopmentPolicy): string[] {
  const notes = Object.values(ports).flatMap(({ note }) => note ?? []);
  if (policy.upstreamInsecure) notes.push(`the upstream ${policy.upstreamOrigin} is reached over plain HTTP`);
  return notes;
}

function randomSecret(): string {
  return randomBytes(32).toString('base64url');
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
