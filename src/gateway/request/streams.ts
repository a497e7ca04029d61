// The event streams that are open: each ends when its right ends, and says something now and then while its upstream is silent.

import type { Caller } from '../../authn/principal.ts';
import { reauthenticate } from '../../authn/reauthenticate.ts';
import { type Revocations, revokesCaller } from '../../authn/revocations.ts';
import { lookThrough } from '../../mcp/meta-tools.ts';
import { readMessage } from '../../mcp/read-message.ts';
import { identifySession } from '../../mcp/session.ts';
import { decide } from '../../policy/decide.ts';
import { becomeStream } from '../../upstream/concurrency.ts';
import type { EventStream } from '../../upstream/forward.ts';
import { attributesOf, clientCertificateOf, type Exchange, type Runtime } from '../runtime.ts';
import type { Route, Snapshot } from '../snapshot.ts';
import { streamEvent } from './audit-events.ts';

/** One open stream, from its head to the close of its response. */
export interface LiveStream {
  readonly exchange: Exchange;
  readonly stream: EventStream;
  footing: Footing;
  /** The first instant at which one of its credentials has expired; milliseconds since 1970. */
  endsAt: number;
  /** The revocation list that it was last held against; none at first: the request may have begun before the list in force. */
  revocations: Revocations | undefined;
  /** What had been handed on when it was last looked at, and since when that has not changed. */
  bytes: number;
  quietSince: number;
  /** When it was told to end. */
  endingSince: number | undefined;
}

/** How often all streams are looked at. With the portions and the grace below, no stream outlives its right by five seconds. */
export const streamTickMs = 1000;
const keepAliveMs = 15_000;
/** How long the event that is on its way may take to its end, and the client to take what it was given. */
const graceMs = 1500;
/** After a reload the streams are judged again in portions, so that new requests need not wait for thousands of them. */
const portion = 3000;
const portions = 2;

/** Watches over a stream until its response closes. */
export function watchStream(stream: EventStream, exchange: Exchange, route: Route, runtime: Runtime): void {
  const { caller, place, snapshot } = exchange;
  if (exchange.method === 'GET' && place !== undefined) becomeStream(place, route.upstream!.target.limits);
  const footing: Footing = { snapshot, route, caller };
  const live: LiveStream = {
    exchange,
    stream,
    footing,
    endsAt: endOf(footing),
    revocations: undefined,
    bytes: 0,
    quietSince: runtime.now(),
    endingSince: undefined,
  };
  runtime.streams.add(live);
  runtime.metrics.streamOpened(route.name);
  exchange.response.once('close', () => {
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
    if (live.footing.snapshot !== runtime.snapshot && judgements > 0) {
      judgements -= 1;
      const judged = judgeAgain(live.exchange, live.footing, runtime);
      if (typeof judged === 'string') {
        endStream(live, now >= live.endsAt ? 'expired' : judged, now, runtime);
        continue;
      }
      live.footing = judged;
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
  const { exchange, footing } = live;
  // Another one than the client's where a proxy stated that.
  const direct = peerCertificate(exchange.request.socket)?.certificate;
  return revokesCaller(revocations, footing.caller, [exchange.certificate, direct]);
}

function endStream(live: LiveStream, reason: Loss | 'expired', now: number, runtime: Runtime): void {
  const { exchange, stream } = live;
  live.endingSince = now;
  const event = streamEvent(exchange, { reason, bytes: stream.bytes(), policy: runtime.snapshot.hash, nowMs: now });
  runtime.audit.write(event).catch((cause: unknown) => {
    runtime.log.error({ id: exchange.id, err: cause }, 'the end of a stream could not be recorded');
  });
  stream.end();
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

function endOf({ caller }: Footing): number {
  const never = Number.POSITIVE_INFINITY;
  return Math.min(
    caller?.principal.expiresAt ?? never,
    caller?.certificate?.expiresAt ?? never,
    caller?.certificateUntil ?? never,
  );
}

/** Under which configuration an exchange was last found allowed, and as whose. */
export interface Footing {
  readonly snapshot: Snapshot;
  readonly route: Route;
  readonly caller: Caller | undefined;
}

/** `revoked`: the credential would be refused now. `policy`: the caller may not do this any more, or not here. */
export type Loss = 'revoked' | 'policy';

/** Judges the exchange under the live snapshot. Never throws: what cannot be judged is lost. */
export function judgeAgain(exchange: Exchange, footing: Footing, runtime: Runtime): Footing | Loss {
  const { snapshot } = runtime;
  const found = snapshot.match(exchange.method, exchange.path);
  if (found === undefined || !('route' in found)) return 'policy';
  const { route } = found;
  if (route.upstream === undefined || (route.mcp === undefined) !== (footing.route.mcp === undefined)) return 'policy';
  let caller: Caller | undefined;
  if (route.requirements.kind !== 'none') {
    caller = callerAgain(exchange, footing, route, runtime);
    if (caller === undefined) return footing.caller === undefined ? 'policy' : 'revoked';
  }
  try {
    return isAllowed(exchange, route, caller, runtime) ? { snapshot, route, caller } : 'policy';
  } catch {
    return 'policy';
  }
}

function callerAgain(exchange: Exchange, footing: Footing, route: Route, runtime: Runtime): Caller | undefined {
  const { snapshot } = runtime;
  if (footing.caller === undefined) return undefined;
  try {
    return reauthenticate(
      footing.caller,
      { authenticators: footing.snapshot.authenticators, resource: footing.route.resource },
      {
        authenticators: snapshot.authenticators,
        resource: route.resource,
        requirements: route.requirements,
        peer: clientCertificateOf(exchange, snapshot, runtime),
      },
      { now: runtime.now(), clientAddress: exchange.clientAddress, resource: route.resource },
    );
  } catch {
    return undefined;
  }
}

/** Throws what the checks before the decision throw. */
function isAllowed(exchange: Exchange, route: Route, caller: Caller | undefined, runtime: Runtime): boolean {
  const { request, origin } = exchange;
  const { hosts } = runtime.snapshot;
  hosts.checkHost(request.headers.host!);
  hosts.checkOrigin(origin);
  const message = exchange.message && lookThrough(readMessage(exchange.message.bytes), route.metaTools);
  if (exchange.session !== undefined && route.sessions !== undefined) {
    identifySession(route.sessions, { headers: request.headers, message, principal: caller?.principal });
  }
  return decide(attributesOf(exchange, route, runtime, caller, message), route.policy).allow;
}
