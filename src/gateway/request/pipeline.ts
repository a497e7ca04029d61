// The path of one request, readable from top to bottom: `handle`. Every throw ends in `refuse`, every request in `end`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Urgency } from '../../audit/event.ts';
import { authenticate } from '../../authn/authenticate.ts';
import type { GatewayError } from '../../errors.ts';
import { readBody } from '../../http/body.ts';
import { isPreflight } from '../../http/cors.ts';
import { checkFraming } from '../../http/framing.ts';
import { parseTarget } from '../../http/path.ts';
import { type RouteMatch, requireRoute } from '../../http/route-matcher.ts';
import { auditArguments } from '../../mcp/audit-arguments.ts';
import { jsonRpcError } from '../../mcp/json-rpc-error.ts';
import { checkMediaType } from '../../mcp/media-type.ts';
import { lookThrough, type MetaTools } from '../../mcp/meta-tools.ts';
import { checkMirroredHeaders } from '../../mcp/mirrored-headers.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { identifySession } from '../../mcp/session.ts';
import { decide } from '../../policy/decide.ts';
import { denial } from '../../policy/decision.ts';
import { leavePlace } from '../../upstream/concurrency.ts';
import { attributesOf, clientCertificateOf, type Exchange, type Runtime } from '../runtime.ts';
import type { Route, Snapshot } from '../snapshot.ts';
import { completedEvent, decidedEvent } from './audit-events.ts';
import { openExchange } from './context.ts';
import { statusOfError, toGatewayError, writeError } from './error-response.ts';
import { authorizationFor, forwardTo, takePlaceAt } from './forward-request.ts';
import { answerItself, answerPreflight, responseHeaders } from './local-responses.ts';

async function handle(exchange: Exchange, runtime: Runtime): Promise<void> {
  const match = identifyRoute(exchange);
  checkLimits(exchange);
  const route = requireRoute(match);
  if (isPreflight(exchange.method, exchange.request.headers)) return answerPreflight(exchange, route, runtime);
  await identifyCaller(exchange, route, runtime);
  const body = await readBody(exchange.request, exchange.response, exchange.snapshot.config.server.limits.bodyBytes);
  if (route.mcp !== undefined && exchange.method === 'POST') inspect(exchange, route.mcp, route.metaTools, body);
  exchange.session = sessionOf(exchange, route);
  const decision = decide(attributesOf(exchange, route, runtime), route.policy);
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

/** Takes one request from the listener. Never rejects, whatever happens on the path. */
export function takeRequest(request: IncomingMessage, response: ServerResponse, runtime: Runtime): void {
  void settle(open(request, response, runtime), runtime);
}

async function settle(exchange: Exchange, runtime: Runtime): Promise<void> {
  try {
    await handle(exchange, runtime);
  } catch (thrown) {
    await refuse(toGatewayError(thrown), exchange, runtime);
  } finally {
    end(exchange, runtime);
  }
}

function open(request: IncomingMessage, response: ServerResponse, runtime: Runtime): Exchange {
  const { snapshot } = runtime;
  const address = snapshot.clientAddress(request.socket.remoteAddress ?? '', request.headers);
  const exchange = openExchange<Snapshot, Route>(snapshot, request, response, address, runtime.now());
  runtime.open.add(exchange);
  response.on('close', () => end(exchange, runtime));
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
  const { caller, decision, message, outcome, route, startedMs } = exchange;
  const tool = message?.target?.kind === 'tool' ? message.target.name : undefined;
  runtime.metrics.requestFinished({
    route: route?.name,
    outcome: outcome ?? 'failed',
    status,
    seconds: (performance.now() - startedMs) / 1000,
    tool: tool === undefined || route?.knownTools.has(tool) ? tool : 'other',
    decision,
    apiKey: caller?.principal.kind === 'api-key' ? (caller.principal.credentialId ?? 'none') : undefined,
  });
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
  if (route.requirements.kind === 'none') return;
  const { request, snapshot } = exchange;
  const peer = clientCertificateOf(exchange, snapshot, runtime);
  exchange.certificate = peer?.certificate;
  const presented = {
    rawHeaders: request.rawHeaders,
    query: exchange.query,
    peer,
    now: runtime.now(),
    clientAddress: exchange.clientAddress,
    resource: route.resource,
    method: exchange.method,
    url: snapshot.config.server.publicUrl + exchange.path,
    seen: exchange.credentials,
    revocations: runtime.revocations,
  };
  exchange.caller = await authenticate(presented, route.requirements, snapshot.authenticators);
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
