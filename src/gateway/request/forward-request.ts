// Forwarding of an allowed request: upstream credential, slot, session ids, filtered lists, streams and counts.
import type { Readable } from 'node:stream';
import { GatewayError } from '../../errors.ts';
import { type FilterResponse, readingOf, responseFilter } from '../../mcp/response/response-filter.ts';
import { sessionIdForClient } from '../../mcp/session.ts';
import { showsItem } from '../../policy/visibility.ts';
import * as concurrency from '../../upstream/concurrency.ts';
import { type ForwardOptions, forward } from '../../upstream/forward.ts';
import type { RewriteHeaders } from '../../upstream/response-headers.ts';
import type { Transfer } from '../../upstream/transfer.ts';
import type { Route, RouteUpstream } from '../route.ts';
import { attributesOf, type Runtime } from '../runtime.ts';
import type { RecordedDecision, RequestContext } from './context.ts';
import { responseHeaders } from './local-responses.ts';
import { watchStream } from './streams.ts';

/** The Authorization header that tells the upstream who is calling: made here, never the caller's own. Throws GatewayError `denied`. */
export async function authorizationFor(
  { caller, request }: RequestContext,
  { upstream }: Route,
  runtime: Runtime,
): Promise<string | undefined> {
  if (upstream?.authorize === undefined) return undefined;
  if (caller === undefined) {
    throw new GatewayError('denied', 'The upstream has to know who is calling.', { reason: 'identity' });
  }
  return upstream.authorize(caller, runtime.now(), request.headers.authorization);
}

/**
 * Takes a slot at the upstream. A GET on an MCP route and a subscription are streams from the start, and so is a WebSocket, which counts for
 * its subject; everything else is a request, also where an event stream answers it, as Superset does to every call. Throws GatewayError `overloaded`.
 */
export function acquireUpstreamSlot(context: RequestContext, { target }: RouteUpstream): concurrency.Slot {
  const { caller, clientAddress, method, route } = context;
  const isWebSocket = context.upgrade !== undefined;
  const isStream = isWebSocket || (route?.mcp !== undefined && (method === 'GET' || isSubscription(context)));
  const holder = (isWebSocket ? concurrency.subjectOf : concurrency.clientOf)(caller, clientAddress);
  return concurrency.acquireSlot(target.concurrency, holder, isStream ? 'stream' : 'request', target.limits);
}

/** Forwards the judged body of a request on an MCP route; resolves when the client's side has closed. Throws the GatewayErrors of `forward`. */
export function forwardWhole(
  context: RequestContext,
  decided: RecordedDecision,
  route: Route,
  runtime: Runtime,
): Promise<void> {
  const upstream = route.upstream!;
  const body = context.body!.length === 0 ? null : context.body!;
  return carryOut(context, decided, route, runtime, body, {
    rewriteHeaders: rewritesOf(context, route),
    filter: filterOf(context, upstream, route, runtime),
    subscription: isSubscription(context),
    draining: outlivesClient(upstream, context) ? runtime.drainingAnswers : undefined,
  });
}

/** Forwards a request on a path route, whose body nobody judges; `send` hands it to its connection. */
export function forwardStreamed(
  context: RequestContext,
  decided: RecordedDecision,
  route: Route,
  runtime: Runtime,
  body: Readable | null,
  options: Pick<ForwardOptions, 'upgrade'>,
  send?: (transfer: Transfer) => void,
): Promise<void> {
  return carryOut(context, decided, route, runtime, body, options, send);
}

async function carryOut(
  context: RequestContext,
  _decided: RecordedDecision,
  route: Route,
  runtime: Runtime,
  body: Buffer | Readable | null,
  options: ForwardOptions,
  send?: (transfer: Transfer) => void,
): Promise<void> {
  const { caller, clientAddress, id, method, request, response, session } = context;
  const { target, shapeRequest } = route.upstream!;
  const { rawHeaders } = request;
  const { authorization } = context;
  const headers = shapeRequest({ rawHeaders, caller, session, authorization, requestId: id, clientAddress });
  const result = await forward(
    target,
    { method, path: request.url!, headers, body },
    response,
    {
      ...options,
      extraHeaders: responseHeaders(context, runtime),
      onResponseStart(status, stream) {
        context.upstreamStatus = status;
        if (stream !== undefined) watchStream(stream, context, route, runtime);
      },
    },
    send,
  );
  if (result.drained !== undefined) holdSlot(context, result.drained);
  context.bytes = result.bytes;
  context.outcome ??= result.outcome;
  if (result.firstByteMs !== undefined) runtime.metrics.upstreamResponded(target.name, result.firstByteMs / 1000);
  if (result.failure !== undefined)
    context.log.warn({ upstream: target.name, reason: result.failure }, 'the upstream broke off its answer');
}

/** The client is gone and the request over, but not the upstream's work: the slot is taken until then. */
function holdSlot(context: RequestContext, drained: Promise<void>): void {
  const { slot } = context;
  context.slot = undefined;
  if (slot !== undefined) void drained.then(() => concurrency.releaseSlot(slot));
}

/** The record of an answer that opens a session says so: it is the one that names who the session belongs to. */
function rewritesOf(context: RequestContext, { sessions }: Route): RewriteHeaders | undefined {
  if (sessions === undefined) return undefined;
  return {
    'mcp-session-id'(upstreamId) {
      const { sealed, isNew, mark } = sessionIdForClient(
        sessions,
        upstreamId,
        context.session,
        context.caller?.principal,
      );
      if (isNew) context.detail = { session: { id: mark } };
      return sealed;
    },
  };
}

/** Lists are read on their way back, and show what a call would be allowed to use. */
function filterOf(
  context: RequestContext,
  { target }: RouteUpstream,
  route: Route,
  runtime: Runtime,
): FilterResponse | undefined {
  const { mcp, policy } = route;
  const reading = mcp && readingOf(context.message, policy.metaTools);
  if (mcp === undefined || reading === undefined) return undefined;
  return responseFilter(reading, {
    shows: showsItem(attributesOf(context, route, runtime), { policy, lists: mcp.lists }),
    withheld: (cause) => {
      context.log.warn({ upstream: target.name, err: cause }, 'the result of a search could not be read');
    },
    maxBytes: target.limits.responseBytes,
  });
}

/** A POST whose answer is a stream without an end of its own (MCP 2026-07-28, Subscriptions). */
function isSubscription({ message }: RequestContext): boolean {
  return message?.method === 'subscriptions/listen';
}

/**
 * True if the upstream's answer is read to its end after a disconnect. In revisions whose messages state them a disconnect cancels the call. In
 * older ones it must not, and it harms some servers.
 */
function outlivesClient({ target }: RouteUpstream, context: RequestContext): boolean {
  const { onClientDisconnect } = target;
  if (context.method !== 'POST' || isSubscription(context)) return false;
  if (onClientDisconnect !== 'auto') return onClientDisconnect === 'drain';
  return context.message?.protocolVersion === undefined;
}
