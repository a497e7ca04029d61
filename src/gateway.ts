// The path of one request, readable from top to bottom: `handle`. Every throw ends in `refuse`, every request in `end`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { AuditLog, Urgency } from './audit/event.ts';
import { completedEvent, decidedEvent } from './audit/exchange-event.ts';
import { authenticate } from './authn/authenticate.ts';
import { collectCredentials } from './authn/collect.ts';
import type { PeerCertificate } from './authn/credential.ts';
import { credentialRefused } from './authn/refusal.ts';
import type { Revocations } from './authn/revocations.ts';
import { GatewayError } from './errors.ts';
import { readBody } from './http/body.ts';
import { corsHeaders, isPreflight, preflightHeaders } from './http/cors.ts';
import { type Exchange as AnyExchange, openExchange } from './http/exchange.ts';
import { checkFraming } from './http/limits.ts';
import { certificateThatCounts } from './http/listener.ts';
import { parseTarget } from './http/path.ts';
import { statusOfError, toGatewayError, writeError } from './http/respond.ts';
import { type RouteMatch, requireRoute } from './http/route.ts';
import { type LiveStream, watchStream } from './live-streams.ts';
import type { Log } from './log.ts';
import { answerFilter, type FilterAnswer, readingOf } from './mcp/answer-filter.ts';
import { auditArguments } from './mcp/audit-arguments.ts';
import { jsonRpcError } from './mcp/json-rpc-error.ts';
import { checkMediaType } from './mcp/media-type.ts';
import { lookThrough, type MetaTools } from './mcp/meta-tools.ts';
import { checkMirroredHeaders } from './mcp/mirrored-headers.ts';
import { readMessage } from './mcp/read-message.ts';
import { identifySession, sessionIdForClient } from './mcp/session.ts';
import type { Metrics } from './metrics.ts';
import { decide } from './policy/decide.ts';
import { denial } from './policy/denial.ts';
import { showsItem } from './policy/visible.ts';
import type { Route, Snapshot } from './snapshot.ts';
import { isSubscription, outlivesClient, takePlaceAt } from './under-way.ts';
import { forward } from './upstream/forward.ts';
import { leavePlace } from './upstream/load.ts';
import type { RewriteHeaders } from './upstream/response-headers.ts';
import type { Upstream } from './upstream/upstream.ts';

export type Exchange = AnyExchange<Snapshot, Route>;

/** What all requests share. `snapshot` is replaced as a whole by a reload. */
export interface Runtime {
  snapshot: Snapshot;
  draining: boolean;
  readonly now: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  readonly peerCertificate: (socket: Socket) => PeerCertificate | undefined;
  /** What is revoked now, whatever the snapshot. */
  readonly revocations: () => Revocations;
  /** Requests that have begun and not ended. */
  readonly open: Set<Exchange>;
  /** Event streams that are open. */
  readonly streams: Set<LiveStream>;
  /** Answers that are read to their end although the client has left; each function gives one up. */
  readonly leftBehind: Set<() => void>;
}

async function handle(exchange: Exchange, runtime: Runtime): Promise<void> {
  const match = identifyRoute(exchange);
  checkLimits(exchange);
  const route = requireRoute(match);
  if (isPreflight(exchange.method, exchange.request.headers)) return answerPreflight(exchange, route, runtime);
  await identifyCaller(exchange, route, runtime);
  const body = await readBody(exchange.request, exchange.response, exchange.snapshot.config.server.limits.bodyBytes);
  if (route.mcp !== undefined && exchange.method === 'POST') inspect(exchange, route.mcp, route.metaTools, body);
  exchange.session = sessionOf(exchange, route);
  const decision = decide(factsOf(exchange, route, runtime), route.policy);
  exchange.decision = decision;
  if (!decision.allow) throw denial(decision);
  const authorizing = authorizationFor(exchange, route, runtime);
  const authorization = authorizing instanceof Promise ? await authorizing : authorizing;
  if (exchange.error !== undefined) return;
  if (route.upstream !== undefined) exchange.place = takePlaceAt(route.upstream, exchange);
  const { hash, recordTexts } = exchange.snapshot;
  const decided = decidedEvent(exchange, hash, runtime.now(), recordTexts);
  await runtime.audit.write(decided);
  // The connection may have broken meanwhile; then it was refused, and nothing is carried out behind that record.
  if (exchange.error !== undefined) return;
  exchange.decided = decided;
  if (route.upstream === undefined) return answerItself(exchange, route, runtime);
  await forwardTo(route.upstream, exchange, route, { body, authorization }, runtime);
}

/** Takes one request from Fastify. Never rejects, whatever happens on the path. */
export function takeRequest(request: IncomingMessage, response: ServerResponse, runtime: Runtime): void {
  const exchange = open(request, response, runtime);
  handle(exchange, runtime)
    .catch((thrown: unknown) => refuse(toGatewayError(thrown), exchange, runtime))
    .finally(() => end(exchange, runtime));
}

/** Refuses a request that the framework did not let through to `takeRequest`. Never rejects. */
export function refuseRequest(
  error: GatewayError,
  request: IncomingMessage,
  response: ServerResponse,
  runtime: Runtime,
): void {
  const exchange = open(request, response, runtime);
  refuse(error, exchange, runtime).finally(() => end(exchange, runtime));
}

function open(request: IncomingMessage, response: ServerResponse, runtime: Runtime): Exchange {
  const { snapshot } = runtime;
  const address = snapshot.clientAddress(request.socket.remoteAddress ?? '', request.headers);
  const exchange = openExchange<Snapshot, Route>(snapshot, request, response, address, runtime.now());
  runtime.open.add(exchange);
  response.once('close', () => end(exchange, runtime));
  return exchange;
}

/** Runs when the path has ended and when the response has closed; the later of the two ends the exchange. */
function end(exchange: Exchange, runtime: Runtime): void {
  exchange.ends += 1;
  if (exchange.ends < 2) return;
  runtime.open.delete(exchange);
  if (exchange.place !== undefined) leavePlace(exchange.place);
  if (exchange.recorded) return;
  exchange.outcome ??= exchange.response.writableFinished ? 'completed' : 'aborted';
  const status = exchange.response.headersSent ? exchange.response.statusCode : undefined;
  count(exchange, runtime, status);
  record(exchange, runtime, status, 'later').catch((cause: unknown) => {
    runtime.log.error({ id: exchange.id, err: cause }, 'the completion record of a request could not be written');
  });
}

/** Every refusal and failure. What was not decided has one record, written before the answer; without it the answer is that it could not be. */
export async function refuse(error: GatewayError, exchange: Exchange, runtime: Runtime): Promise<void> {
  if (exchange.error !== undefined) return;
  exchange.error = error;
  if (error.status >= 500) {
    runtime.log.warn({ id: exchange.id, code: error.code, reason: error.reason, err: error.cause }, error.message);
  }
  if (exchange.decided !== undefined) exchange.outcome = 'failed';
  else {
    const gone = exchange.response.destroyed;
    exchange.outcome = gone ? 'aborted' : 'refused';
    await record(exchange, runtime, gone ? undefined : statusOfError(exchange, error)).catch((unwritten: unknown) => {
      exchange.error = toGatewayError(unwritten);
    });
    count(exchange, runtime, gone ? undefined : statusOfError(exchange, exchange.error));
  }
  writeError(exchange, exchange.error, jsonRpcError, responseHeaders(exchange, runtime));
}

function record(
  exchange: Exchange,
  runtime: Runtime,
  status: number | undefined,
  urgency: Urgency = 'now',
): Promise<void> {
  exchange.recorded = true;
  const { hash, recordTexts } = exchange.snapshot;
  return runtime.audit.write(completedEvent(exchange, hash, runtime.now(), status, recordTexts), urgency);
}

function count(exchange: Exchange, runtime: Runtime, status: number | undefined): void {
  const target = exchange.message?.target;
  const known = target?.kind === 'tool' && exchange.route?.knownTools.has(target.name);
  runtime.metrics.requestFinished(
    exchange,
    status,
    target?.kind === 'tool' ? (known ? target.name : 'other') : undefined,
  );
}

function identifyRoute(exchange: Exchange): RouteMatch<Route> {
  const { config, match } = exchange.snapshot;
  const target = parseTarget(exchange.request.url ?? '', config.server.limits.urlBytes);
  exchange.path = target.path;
  exchange.query = target.query;
  const { headers } = exchange.request;
  const asked = isPreflight(exchange.method, headers) ? headers['access-control-request-method']! : exchange.method;
  const found = match(asked, target.path);
  if (found !== undefined && 'route' in found) exchange.route = found.route;
  return found;
}

function checkLimits(exchange: Exchange): void {
  const { request, route, snapshot } = exchange;
  checkFraming(request);
  if (route?.respond === undefined) snapshot.hosts.checkHost(request.headers.host!);
  if (route?.anyOrigin === true) return;
  snapshot.hosts.checkOrigin(request.headers.origin);
  exchange.origin = request.headers.origin;
}

async function identifyCaller(exchange: Exchange, route: Route, runtime: Runtime): Promise<void> {
  if (route.plan.kind === 'none') return;
  const { request, snapshot } = exchange;
  const credentials = collectCredentials({
    rawHeaders: request.rawHeaders,
    query: exchange.query,
    peer: clientCertificateOf(exchange, snapshot, runtime),
    keyHeaders: snapshot.keyHeaders,
    seen: exchange.credentials,
    observe: runtime.metrics,
  });
  exchange.certificate = credentials.certificate?.certificate;
  exchange.caller = await authenticate(credentials, route.plan, snapshot.authenticators, {
    now: runtime.now(),
    clientAddress: exchange.clientAddress,
    resource: route.resource,
    opaqueOwner: route.plan.opaqueOwner,
    method: exchange.method,
    url: snapshot.config.server.publicUrl + exchange.path,
    seen: exchange.credentials,
    revocations: runtime.revocations,
  });
}

/**
 * Under this snapshot, which may be newer than the request. Throws GatewayError when nobody can say which certificate counts, or that of the
 * proxy that says so is revoked.
 */
export function clientCertificateOf(
  { request }: Exchange,
  { authenticators, config }: Snapshot,
  { now, peerCertificate, revocations }: Pick<Runtime, 'now' | 'peerCertificate' | 'revocations'>,
): PeerCertificate | undefined {
  const direct = certificateThatCounts(request.socket, config.server, peerCertificate);
  const peer = authenticators.certificateSource({
    direct,
    peerAddress: request.socket.remoteAddress ?? '',
    rawHeaders: request.rawHeaders,
    now: now(),
  });
  const revokedBy =
    direct === undefined || peer === direct ? undefined : revocations().ofCertificate(direct.certificate);
  if (revokedBy !== undefined) throw credentialRefused('client-certificate', 'revoked', revokedBy);
  return peer;
}

function inspect(exchange: Exchange, mcp: NonNullable<Route['mcp']>, metaTools: MetaTools, body: Buffer): void {
  checkMediaType(exchange.request.headers);
  exchange.message = readMessage(body);
  exchange.message = lookThrough(exchange.message, metaTools);
  exchange.auditArguments = auditArguments(mcp.audit.arguments, exchange.message);
  checkMirroredHeaders(exchange.request.headers, exchange.message);
}

function sessionOf({ request, message, caller }: Exchange, { sessions }: Route): Exchange['session'] {
  if (sessions === undefined) return undefined;
  return identifySession(sessions, { headers: request.headers, message, principal: caller?.principal });
}

/** The record of an answer that opens a session says so: it is the one that names who the session belongs to. */
function rewritesOf(exchange: Exchange, { sessions }: Route): RewriteHeaders | undefined {
  if (sessions === undefined) return undefined;
  return {
    'mcp-session-id'(upstreamId) {
      const { sealed, isNew, mark } = sessionIdForClient(
        sessions,
        upstreamId,
        exchange.session,
        exchange.caller?.principal,
      );
      if (isNew) exchange.detail = { session: { id: mark } };
      return sealed;
    },
  };
}

function factsOf(exchange: Exchange, route: Route, runtime: Runtime) {
  return {
    route: route.name,
    http: exchange,
    client: { address: exchange.clientAddress },
    caller: exchange.caller,
    message: exchange.message,
    now: runtime.now(),
  };
}

/** Lists are read on their way back, and show what a call would be allowed to use. */
function filterOf(upstream: Upstream, exchange: Exchange, route: Route, runtime: Runtime): FilterAnswer | undefined {
  const { mcp, policy, metaTools } = route;
  const reading = mcp && readingOf(exchange.message, metaTools);
  if (mcp === undefined || reading === undefined) return undefined;
  return answerFilter(reading, {
    shows: showsItem(factsOf(exchange, route, runtime), { policy, metaTools, lists: mcp.lists }),
    withheld: (cause) => {
      const { id } = exchange;
      runtime.log.warn({ id, upstream: upstream.name, err: cause }, 'the result of a search could not be read');
    },
    maxBytes: upstream.limits.responseBytes,
  });
}

/** What proves to the upstream who is calling: made here, never the caller's own credential. */
function authorizationFor(
  { caller, request }: Exchange,
  { upstream }: Route,
  runtime: Runtime,
): string | undefined | Promise<string> {
  if (upstream?.authorize === undefined) return undefined;
  if (caller === undefined) {
    throw new GatewayError('denied', 'The upstream has to know who is calling.', { reason: 'identity' });
  }
  return upstream.authorize(caller, runtime.now(), request.headers.authorization);
}

async function forwardTo(
  upstream: NonNullable<Route['upstream']>,
  exchange: Exchange,
  route: Route,
  { body, authorization }: { readonly body: Buffer; readonly authorization: string | undefined },
  runtime: Runtime,
): Promise<void> {
  const { request, response } = exchange;
  const { target, shapeRequest } = upstream;
  const result = await forward(
    target,
    {
      method: exchange.method,
      path: request.url!,
      headers: shapeRequest({
        rawHeaders: request.rawHeaders,
        caller: exchange.caller,
        session: exchange.session,
        authorization,
        requestId: exchange.id,
        clientAddress: exchange.clientAddress,
      }),
      body: body.length === 0 ? null : body,
    },
    response,
    {
      extraHeaders: responseHeaders(exchange, runtime),
      rewriteHeaders: rewritesOf(exchange, route),
      filter: filterOf(upstream.target, exchange, route, runtime),
      subscription: isSubscription(exchange),
      leftBehind: outlivesClient(upstream, exchange) ? runtime.leftBehind : undefined,
      onResponseStart(status, stream) {
        exchange.upstreamStatus = status;
        if (stream !== undefined) watchStream(stream, exchange, route, runtime);
      },
    },
  );
  if (result.rest !== undefined) keepPlace(exchange, result.rest);
  exchange.bytes = result.bytes;
  exchange.outcome ??= result.outcome;
  if (result.firstByteMs !== undefined) runtime.metrics.upstreamResponded(target.name, result.firstByteMs / 1000);
  if (result.failure !== undefined)
    runtime.log.warn(
      { id: exchange.id, upstream: target.name, reason: result.failure },
      'the upstream broke off its answer',
    );
}

/** The client is gone and the exchange over, but not the upstream's work: the place is taken until then. */
function keepPlace(exchange: Exchange, rest: Promise<void>): void {
  const { place } = exchange;
  exchange.place = undefined;
  if (place !== undefined) void rest.then(() => leavePlace(place));
}

function answerItself(exchange: Exchange, route: Route, runtime: Runtime): void {
  const { method, response } = exchange;
  const { status, headers, body } = route.respond!(method);
  exchange.bytes = method === 'HEAD' ? 0 : Buffer.byteLength(body);
  response.writeHead(status, {
    ...responseHeaders(exchange, runtime),
    ...headers,
    // RFC 9110 §8.6: an answer that cannot have a body has no length.
    ...(status !== 204 && { 'content-length': String(Buffer.byteLength(body)) }),
  });
  response.end(method === 'HEAD' ? undefined : body);
}

function answerPreflight(exchange: Exchange, route: Route, runtime: Runtime): void {
  const { origin, request, response, snapshot } = exchange;
  response.writeHead(204, {
    ...responseHeaders(exchange, runtime),
    ...preflightHeaders(origin ?? '*', {
      methods: route.methods,
      headers: [...snapshot.keyHeaders, ...(route.mcp?.forwardHeaders ?? [])],
      requestedHeaders: request.headers['access-control-request-headers'],
    }),
  });
  response.end();
}

/** Headers of every answer, refusals too. */
function responseHeaders({ id, caller, origin }: Exchange, runtime: Runtime): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': id, ...caller?.responseHeaders };
  if (origin !== undefined) Object.assign(headers, corsHeaders(origin));
  if (runtime.draining) headers.connection = 'close';
  return headers;
}
