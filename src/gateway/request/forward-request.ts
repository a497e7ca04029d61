// Forwarding of an allowed request: upstream credential, slot, session ids, filtered lists, streams and counts.
import { Readable } from 'node:stream';
import type { Caller } from '../../authn/caller/principal.ts';
import { GatewayError } from '../../errors.ts';
import { type FilterResponse, readingOf, responseFilter } from '../../mcp/response/response-filter.ts';
import { type RouteSessions, sessionIdForClient } from '../../mcp/session.ts';
import { showsItem } from '../../policy/visibility.ts';
import {
  attemptInAll,
  type ConcurrencyLimit,
  convertSlot,
  refusalOf,
  releaseSlot,
  takeSlot,
} from '../../upstream/concurrency.ts';
import { type ForwardOptions, forward } from '../../upstream/forward.ts';
import type { RewriteHeaders } from '../../upstream/response/headers.ts';
import type { Transfer } from '../../upstream/transfer.ts';
import { showsPinned } from '../catalog/pinned-requests.ts';
import type { Route, RouteUpstream } from '../route.ts';
import { attributesOf, type Runtime } from '../runtime.ts';
import { isFailureWithinLimit } from './completion.ts';
import type { RecordedDecision, RequestContext } from './context.ts';
import { responseHeaders } from './local-responses.ts';
import { exemplarOf, traceUpstream, untilForwarded } from './request-spans.ts';
import { answersOf, serverRequestsOf } from './server-requests.ts';
import { watchStream } from './streams.ts';

/** The Authorization header for the upstream, never the caller's own; undefined where it gets none. Throws GatewayError `denied`, and those of `AuthorizeCaller`. */
export async function authorizationFor(
  { caller, request }: RequestContext,
  { upstream }: Route,
  runtime: Runtime,
): Promise<string | undefined> {
  if (upstream === undefined) return undefined;
  checkIdentity(caller, upstream);
  return caller && upstream.authorize?.(caller, runtime.now(), request.headers.authorization);
}

/** Throws GatewayError `denied` for a caller that cannot be named to the upstream. */
export function checkIdentity(caller: Caller | undefined, { authorize, shapeRequest }: RouteUpstream): void {
  if (caller !== undefined) shapeRequest.checkIdentity(caller);
  else if (authorize !== undefined)
    throw new GatewayError('denied', 'The upstream has to know who is calling.', { reason: 'identity' });
}

/**
 * Takes a slot at the upstream, an unused one of a sibling too. A GET on an MCP route, a subscription and a WebSocket are streams; everything else is a
 * request, also where an event stream answers it. Throws GatewayError `overloaded`.
 */
export async function acquireUpstreamSlot(context: RequestContext, { target }: RouteUpstream): Promise<void> {
  const { caller, method, route, subject } = context;
  const { concurrency, limits } = target;
  const isStream =
    context.upgrade !== undefined || (route?.mcp !== undefined && (method === 'GET' || isSubscription(context)));
  const holder = { subject, client: caller?.clientKey ?? subject };
  const kind = isStream ? 'stream' : 'request';
  const take = (): ConcurrencyLimit | undefined => {
    const taken = takeSlot(concurrency, holder, kind, limits);
    if (typeof taken === 'string') return taken;
    context.slot = taken;
    return undefined;
  };
  const limit = await attemptInAll(take, concurrency, holder, limits);
  if (limit !== undefined) throw refusalOf(limit);
}

/** Forwards a request of an MCP route, as `forwardRequest`. */
export function forwardMcpRequest(
  context: RequestContext,
  decided: RecordedDecision,
  route: Route,
  runtime: Runtime,
): Promise<void> {
  const upstream = route.upstream!;
  const body = context.body!.length === 0 ? null : context.body!;
  return forwardRequest(context, decided, route, runtime, body, {
    ...(route.sessions !== undefined && { rewriteHeaders: rewritesOf(context, route.sessions, upstream) }),
    filter: filterOf(context, upstream, route, runtime),
    subscription: isSubscription(context),
    drain: isDrained(upstream, context) ? (abort) => beginDrain(context, upstream, runtime, abort) : undefined,
  });
}

/**
 * Forwards a request whose decision is recorded, and counts it. `send` hands it to its connection; `dispatch` by default. Resolves when the client's
 * side has closed. Throws the GatewayErrors of `forward`.
 */
export async function forwardRequest(
  context: RequestContext,
  _decided: RecordedDecision,
  route: Route,
  runtime: Runtime,
  body: Buffer | Readable | null,
  options: ForwardOptions,
  send?: (transfer: Transfer) => void,
): Promise<void> {
  const { caller, clientAddress, id, method, request, response, session } = context;
  const { paths, shapeRequest, target } = route.upstream!;
  const { rawHeaders, url } = request;
  const { authorization } = context;
  const traced = context.trace && traceUpstream(context, context.trace);
  const trace = traced?.headers;
  const headers = shapeRequest({ rawHeaders, caller, session, authorization, requestId: id, clientAddress, trace });
  const announcedBytes = request.headers['content-length'];
  // Of a body that is streamed the connection does not know the length.
  if (body instanceof Readable && announcedBytes !== undefined) headers.push('content-length', announcedBytes);
  context.bodyInUse = true;
  const forwarded = forward(
    target,
    {
      method,
      // Behind the path, so that nothing of the query changes.
      path: paths.toUpstream(context.path) + url!.slice(context.path.length),
      publicTarget: url!,
      headers,
      body,
    },
    response,
    {
      rewriteHeaders: paths.references,
      ...options,
      extraHeaders: responseHeaders(context, runtime),
      onBody: runtime.countPassed,
      onResponseStart(status, stream) {
        context.upstreamStatus = status;
        if (stream !== undefined) watchStream(stream, context, route, runtime);
      },
    },
    send,
  );
  const result = await (traced?.span === undefined
    ? forwarded
    : untilForwarded(traced.span, forwarded, context, route));
  context.bodyInUse = !result.bodyWritten;
  context.bytes = result.bytes;
  context.outcome ??= result.outcome;
  const { firstByteMs } = result;
  if (firstByteMs !== undefined)
    runtime.metrics.upstreamResponded(target.name, firstByteMs / 1000, exemplarOf(context));
  if (result.failure !== undefined && isFailureWithinLimit(context, runtime))
    context.log.warn({ upstream: target.name, reason: result.failure }, 'the upstream broke off its answer');
}

/**
 * Keeps the slot of a request whose client has left, as that of a drain, until the returned function ends it. Undefined where a limit of drains is
 * reached; the `completed` record names it. Where processes share the limits it remains a request until they have answered.
 */
function beginDrain(
  context: RequestContext,
  { target }: RouteUpstream,
  { drainingAnswers, metrics }: Runtime,
  abort: () => void,
): (() => void) | undefined {
  const { slot } = context;
  if (slot === undefined) return undefined;
  const { concurrency, limits } = target;
  const convert = () => convertSlot(slot, 'drain', limits);
  const limit = convert();
  if (limit !== undefined && concurrency.shared === undefined) {
    metrics.overloaded(limit);
    context.detail = { ...context.detail, limit };
    return undefined;
  }
  if (limit !== undefined) {
    void attemptInAll(convert, concurrency, slot.holder, limits).then((reached) => {
      if (reached === undefined) return;
      metrics.overloaded(reached);
      context.log.warn({ limit: reached }, 'a call whose client has left was ended by a limit of drains');
      abort();
    });
  }
  context.slot = undefined;
  const drained = {
    place: -1,
    abort,
    route: context.route!.name,
    subject: context.subject,
    id: context.message?.id,
  };
  drainingAnswers.add(drained);
  return () => {
    drainingAnswers.delete(drained);
    releaseSlot(slot);
  };
}

/** Session ids for the client too. The completion record of a response that opens a session has its mark, and so names its principal. */
function rewritesOf(context: RequestContext, sessions: RouteSessions, { paths }: RouteUpstream): RewriteHeaders {
  return {
    ...paths.references,
    'mcp-session-id'(upstreamId) {
      const { sealed, isNew, mark } = sessionIdForClient(
        sessions,
        upstreamId,
        context.session,
        context.caller?.principal,
      );
      if (isNew) context.detail = { ...context.detail, session: { id: mark } };
      return sealed;
    },
  };
}

/** The filter of a list: it leaves what the caller may use. */
function filterOf(
  context: RequestContext,
  { target }: RouteUpstream,
  route: Route,
  runtime: Runtime,
): FilterResponse | undefined {
  const { mcp, pins, policy } = route;
  if (mcp === undefined) return undefined;
  const { message } = context;
  const { metaTools } = policy;
  const requests = serverRequestsOf(context, route, runtime, authorizationFor);
  const read = readingOf(message, metaTools, pins !== undefined);
  const reading = read ?? (requests && ({ kind: 'messages' } as const));
  if (reading === undefined) return undefined;
  // In the stream of a GET a search cannot be told from other results: with pins no result passes there, and no stream is resumed.
  const isSearched = pins !== undefined && metaTools.searches.size > 0;
  const shows = showsItem(attributesOf(context, route, runtime), { policy, lists: mcp.lists });
  return responseFilter(reading, {
    shows: pins === undefined ? shows : showsPinned(pins, context.subject, shows),
    requests,
    answers: pins && (message !== undefined || isSearched) ? answersOf(context, route, runtime) : undefined,
    resumable: message === undefined || !isSearched,
    listChanged: pins?.recheck,
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
function isDrained({ target }: RouteUpstream, context: RequestContext): boolean {
  const { onClientDisconnect } = target;
  if (context.method !== 'POST' || isSubscription(context)) return false;
  if (onClientDisconnect !== 'auto') return onClientDisconnect === 'drain';
  return context.message?.protocolVersion === undefined;
}
