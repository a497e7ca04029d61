// Supervision of open event streams and WebSockets: expiry, revocation, reauthorization after a reload, and keep-alive comments.
import { expiryOf } from '../../authn/caller/caller.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import { type Revocations, revokesCaller } from '../../authn/caller/revocations.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { identifySession } from '../../mcp/session.ts';
import { decide } from '../../policy/decide.ts';
import { attemptInAll, convertSlot } from '../../upstream/concurrency.ts';
import type { OpenStream } from '../../upstream/forward.ts';
import type { Route } from '../route.ts';
import { type AuthorizationState, attributesOf, type LiveStream, type Runtime } from '../runtime.ts';
import { streamEvent } from './audit-events.ts';
import type { RequestContext } from './context.ts';
import { reauthenticateCaller } from './credential-check.ts';

/** Interval between checks of all streams. With `reauthorizationTicks` and `graceMs` no stream outlives its authorization by five seconds. */
export const streamTickMs = 1000;
const keepAliveMs = 15_000;
/** Time for the current event to end, and for the client to read it. */
const graceMs = 1500;
/** After a reload the streams are reauthorized in batches of at least this size, so that new requests do not wait for thousands of them. */
const minBatch = 3000;
/** The largest number of batches, one for each tick. */
const reauthorizationTicks = 2;

/** Supervises a stream until its response closes. */
export function watchStream(stream: OpenStream, context: RequestContext, route: Route, runtime: Runtime): void {
  const { caller, slot, snapshot } = context;
  if (context.method === 'GET' && slot?.kind === 'request') {
    const { concurrency, limits } = route.upstream!.target;
    // Beyond the limit it stays a request.
    void attemptInAll(() => convertSlot(slot, 'stream', limits), concurrency, slot.holder, limits);
  }
  const live: LiveStream = {
    place: -1,
    context,
    stream,
    authorization: { snapshot, route, caller },
    revocations: undefined,
    bytes: 0,
    quietSince: runtime.now(),
    endingSince: undefined,
  };
  runtime.streams.add(live);
  runtime.metrics.streamOpened(route.name);
  context.response.once('close', () => {
    runtime.streams.delete(live);
    runtime.metrics.streamClosed(route.name);
  });
}

/** Checks every stream once. */
export function sweepStreams(runtime: Runtime): void {
  const now = runtime.now();
  const revocations = runtime.revocations();
  let batch = Math.max(minBatch, Math.ceil(runtime.streams.size() / reauthorizationTicks));
  for (const live of runtime.streams) {
    if (live.endingSince !== undefined) {
      if (now - live.endingSince >= graceMs) live.stream.cut();
      continue;
    }
    let lost: Loss | undefined;
    if (live.authorization.snapshot !== runtime.snapshot && batch > 0) {
      batch -= 1;
      const result = reauthorize(live.context, live.authorization, runtime);
      if (typeof result === 'string') lost = result;
      else live.authorization = result;
    }
    if (now >= expiryOf(live.authorization.caller)) endStream(live, 'expired', now, runtime);
    else if (lost !== undefined) endStream(live, lost, now, runtime);
    else if (isRevoked(live, revocations, runtime)) endStream(live, 'revoked', now, runtime);
    else keepAlive(live, now);
  }
}

/** True if the list in force, checked once for each stream, has a credential of the caller. */
function isRevoked(live: LiveStream, revocations: Revocations, { peerCertificate }: Runtime): boolean {
  if (live.revocations === revocations) return false;
  live.revocations = revocations;
  const { authorization, context } = live;
  // Of the proxy, where the client's certificate came in a header.
  const direct = peerCertificate(context.request.socket)?.certificate;
  return revokesCaller(revocations, authorization.caller, [context.certificate, direct]);
}

/** Ends a stream as its end of right does, once. `by` is the operator who ordered it. */
export function endStream(
  live: LiveStream,
  reason: Loss | 'expired' | 'operator',
  now: number,
  runtime: Runtime,
  by?: string,
): void {
  const { context, stream } = live;
  if (live.endingSince !== undefined) return;
  live.endingSince = now;
  const ended = { reason, by, bytes: stream.bytes(), policy: runtime.snapshot.hash, nowMs: now };
  const event = streamEvent(context, ended);
  runtime.audit.write(event).catch((cause: unknown) => {
    context.log.error({ err: cause }, 'the end of a stream could not be recorded');
  });
  stream.end(reason);
}

/** Writes a comment after `keepAliveMs` without bytes of the upstream; the gateway's own comments do not count. */
function keepAlive(live: LiveStream, now: number): void {
  const bytes = live.stream.bytes();
  if (bytes !== live.bytes || now < live.quietSince) {
    live.bytes = bytes;
    live.quietSince = now;
  } else if (now - live.quietSince >= keepAliveMs) {
    live.quietSince = now;
    live.stream.keepAlive();
  }
}

/** `revoked`: the credential would be refused now. `policy`: the configuration in force does not allow the request. */
type Loss = 'revoked' | 'policy';

/** Authenticates and authorizes the request of a stream under the snapshot in force. Fails closed and never throws. */
function reauthorize(
  context: RequestContext,
  authorization: AuthorizationState,
  runtime: Runtime,
): AuthorizationState | Loss {
  const { snapshot } = runtime;
  const found = snapshot.match(context.method, context.path);
  if (found === undefined || !('route' in found)) return 'policy';
  const { route } = found;
  if (route.upstream === undefined || (route.mcp === undefined) !== (authorization.route.mcp === undefined))
    return 'policy';
  if (context.upgrade !== undefined && !route.websocket) return 'policy';
  if (isReadOtherwise(route, authorization.route)) return 'policy';
  let caller: Caller | undefined;
  if (route.requirements.kind !== 'none') {
    caller = reauthenticateCaller(context, authorization, route, runtime);
    if (caller === undefined) return authorization.caller === undefined ? 'policy' : 'revoked';
  }
  try {
    return isAllowed(context, route, caller, runtime) ? { snapshot, route, caller } : 'policy';
  } catch {
    return 'policy';
  }
}

/** The filter of an open stream stays as it was made. */
function isReadOtherwise(next: Route, before: Route): boolean {
  const [now, then] = [next.mcp?.serverRequests, before.mcp?.serverRequests];
  return next.pins !== before.pins || now?.join() !== then?.join();
}

/** Throws the GatewayErrors of the steps before the decision. */
function isAllowed(context: RequestContext, route: Route, caller: Caller | undefined, runtime: Runtime): boolean {
  const { request, origin } = context;
  const { hosts } = runtime.snapshot;
  hosts.checkHost(request.headers.host);
  hosts.checkOrigin(origin);
  const message = context.message && lookThrough(readMessage(context.message.bytes), route.policy.metaTools);
  if (context.session !== undefined && route.sessions !== undefined) {
    identifySession(route.sessions, { headers: request.headers, message, principal: caller?.principal });
  }
  return decide(attributesOf(context, route, runtime, caller, message), route.policy).allow;
}
