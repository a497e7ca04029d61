// Supervision of open event streams and WebSockets: each ends when its right ends, and is kept alive while its upstream is silent.
import type { Caller } from '../../authn/principal.ts';
import { reauthenticate } from '../../authn/reauthenticate.ts';
import { type Revocations, revokesCaller } from '../../authn/revocations.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { identifySession } from '../../mcp/session.ts';
import { decide } from '../../policy/decide.ts';
import { becomeStream } from '../../upstream/concurrency.ts';
import type { OpenStream } from '../../upstream/forward.ts';
import type { Route } from '../route.ts';
import {
  type AuthorizationState,
  attributesOf,
  clientCertificateOf,
  type LiveStream,
  type Runtime,
} from '../runtime.ts';
import { streamEvent } from './audit-events.ts';
import type { RequestContext } from './context.ts';

/** Interval in which all streams are checked. With the portions and the grace below, no stream outlives its right by five seconds. */
export const streamTickMs = 1000;
const keepAliveMs = 15_000;
/** Time for the current event to end, and for the client to read it. */
const graceMs = 1500;
/** After a reload the streams are judged again in portions, so that new requests need not wait for thousands of them. */
const portion = 3000;
const portions = 2;

/** Watches over a stream until its response closes. */
export function watchStream(stream: OpenStream, context: RequestContext, route: Route, runtime: Runtime): void {
  const { caller, slot, snapshot } = context;
  if (context.method === 'GET' && slot !== undefined) becomeStream(slot, route.upstream!.target.limits);
  const authorization: AuthorizationState = { snapshot, route, caller };
  const live: LiveStream = {
    context,
    stream,
    authorization,
    endsAt: endOf(authorization),
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

/** Looks at every stream once. */
export function sweepStreams(runtime: Runtime): void {
  const now = runtime.now();
  const revocations = runtime.revocations();
  let judgements = Math.max(portion, Math.ceil(runtime.streams.size / portions));
  for (const live of runtime.streams) {
    if (live.endingSince !== undefined) {
      if (now - live.endingSince >= graceMs) live.stream.cut();
      continue;
    }
    if (live.authorization.snapshot !== runtime.snapshot && judgements > 0) {
      judgements -= 1;
      const judged = reauthorize(live.context, live.authorization, runtime);
      if (typeof judged === 'string') {
        endStream(live, now >= live.endsAt ? 'expired' : judged, now, runtime);
        continue;
      }
      live.authorization = judged;
      live.endsAt = endOf(judged);
    }
    if (now >= live.endsAt) endStream(live, 'expired', now, runtime);
    else if (isRevoked(live, revocations, runtime)) endStream(live, 'revoked', now, runtime);
    else keepAlive(live, now);
  }
}

/** Asked once for each list. */
function isRevoked(live: LiveStream, revocations: Revocations, { peerCertificate }: Runtime): boolean {
  if (live.revocations === revocations) return false;
  live.revocations = revocations;
  const { authorization, context } = live;
  // Another one than the client's where a proxy stated that.
  const direct = peerCertificate(context.request.socket)?.certificate;
  return revokesCaller(revocations, authorization.caller, [context.certificate, direct]);
}

function endStream(live: LiveStream, reason: Loss | 'expired', now: number, runtime: Runtime): void {
  const { context, stream } = live;
  live.endingSince = now;
  const event = streamEvent(context, { reason, bytes: stream.bytes(), policy: runtime.snapshot.hash, nowMs: now });
  runtime.audit.write(event).catch((cause: unknown) => {
    context.log.error({ err: cause }, 'the end of a stream could not be recorded');
  });
  stream.end(reason);
}

/** Silence is the upstream's: a comment of ours does not end it. */
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

function endOf({ caller }: AuthorizationState): number {
  const never = Number.POSITIVE_INFINITY;
  return Math.min(
    caller?.principal.expiresAt ?? never,
    caller?.certificate?.expiresAt ?? never,
    caller?.certificateUntil ?? never,
  );
}

/** `revoked`: the credential would be refused now. `policy`: the caller may not do this any more, or not here. */
export type Loss = 'revoked' | 'policy';

/** Judges the context under the live snapshot. Never throws: what cannot be judged is lost. */
export function reauthorize(
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
  let caller: Caller | undefined;
  if (route.requirements.kind !== 'none') {
    caller = callerNow(context, authorization, route, runtime);
    if (caller === undefined) return authorization.caller === undefined ? 'policy' : 'revoked';
  }
  try {
    return isAllowed(context, route, caller, runtime) ? { snapshot, route, caller } : 'policy';
  } catch {
    return 'policy';
  }
}

function callerNow(
  context: RequestContext,
  authorization: AuthorizationState,
  route: Route,
  runtime: Runtime,
): Caller | undefined {
  const { snapshot } = runtime;
  if (authorization.caller === undefined) return undefined;
  try {
    return reauthenticate(
      authorization.caller,
      { authenticators: authorization.snapshot.authenticators, resource: authorization.route.resource },
      {
        authenticators: snapshot.authenticators,
        resource: route.resource,
        requirements: route.requirements,
        peer: clientCertificateOf(context, snapshot, runtime),
      },
      { now: runtime.now(), clientAddress: context.clientAddress, resource: route.resource },
    );
  } catch {
    return undefined;
  }
}

/** Throws what the checks before the decision throw. */
function isAllowed(context: RequestContext, route: Route, caller: Caller | undefined, runtime: Runtime): boolean {
  const { request, origin } = context;
  const { hosts } = runtime.snapshot;
  hosts.checkHost(request.headers.host!);
  hosts.checkOrigin(origin);
  const message = context.message && lookThrough(readMessage(context.message.bytes), route.policy.metaTools);
  if (context.session !== undefined && route.sessions !== undefined) {
    identifySession(route.sessions, { headers: request.headers, message, principal: caller?.principal });
  }
  return decide(attributesOf(context, route, runtime, caller, message), route.policy).allow;
}
