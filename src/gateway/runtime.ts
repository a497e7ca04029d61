// Process-wide state shared by all requests, and facts of a request that several steps need.
import type { Socket } from 'node:net';
import type { AuditLog } from '../audit/event.ts';
import type { Caller } from '../authn/caller/principal.ts';
import type { Revocations } from '../authn/caller/revocations.ts';
import { certificateThatCounts } from '../authn/certificate/peer.ts';
import type { PeerCertificate } from '../authn/credential.ts';
import { credentialRefused } from '../authn/errors.ts';
import type { BodyBudget } from '../http/body/budget.ts';
import type { CountPassed } from '../http/body/scavenges.ts';
import type { Log } from '../log.ts';
import type { McpMessage } from '../mcp/message.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Attributes } from '../policy/attributes.ts';
import { createEvaluation } from '../policy/condition/evaluation.ts';
import type { SharedState } from '../state/shared-state.ts';
import type { OpenStream } from '../upstream/transfer.ts';
import type { RequestContext } from './request/context.ts';
import type { StrangerLimit } from './request/stranger-limit.ts';
import type { Route } from './route.ts';
import type { PendingRequest, Siblings } from './siblings.ts';
import type { Snapshot } from './snapshot.ts';
import type { Placed, UnorderedSet } from './unordered-set.ts';

/** State shared by all requests. A reload replaces `snapshot` as a whole. */
export interface Runtime {
  snapshot: Snapshot;
  draining: boolean;
  /** Connections to the public listener that are open, also before their handshake. */
  connections: number;
  readonly now: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  readonly strangers: StrangerLimit;
  /** Records of verified callers' calls over a limit, by subject. */
  readonly overLimits: StrangerLimit;
  /** The state of limits. */
  readonly state: SharedState;
  /** The remote address of a connection; `unix:` on a unix socket. */
  readonly peerAddress: (socket: Socket) => string;
  readonly peerCertificate: (socket: Socket) => PeerCertificate | undefined;
  /** The revocations in force, which belong to no snapshot. */
  readonly revocations: () => Revocations;
  /** Bytes of the bodies of `open` that are held whole. */
  readonly bodies: BodyBudget;
  /** Told of each piece of a body that goes to the upstream or the client as it comes. */
  readonly countPassed: CountPassed;
  /** Requests that are not complete. */
  readonly open: UnorderedSet<RequestContext>;
  /** Event streams and WebSockets that are open. */
  readonly streams: UnorderedSet<LiveStream>;
  /** Drains after disconnect. */
  readonly drainingAnswers: UnorderedSet<DrainedRequest>;
  /** Undefined for a process by itself. */
  readonly siblings: Siblings | undefined;
}

/** A drain after disconnect, with what a cancellation names. */
export interface DrainedRequest extends Placed {
  readonly abort: () => void;
  readonly route: string;
  readonly subject: string;
  /** JSON text. */
  readonly id: string | undefined;
}

/** The configuration and caller under which a stream was last authorized. */
export interface AuthorizationState {
  readonly snapshot: Snapshot;
  readonly route: Route;
  readonly caller: Caller | undefined;
}

/** One open stream, from its head to the close of its response. */
export interface LiveStream extends Placed {
  readonly context: RequestContext;
  readonly stream: OpenStream;
  authorization: AuthorizationState;
  /** The revocation list of the last check; none at first, since the request may have begun under an older list. */
  revocations: Revocations | undefined;
  /** Bytes to the client at the last check. */
  bytes: number;
  /** Instant since which `bytes` has not changed; milliseconds since 1970. */
  quietSince: number;
  /** Instant at which the gateway began to end it; milliseconds since 1970. */
  endingSince: number | undefined;
}

/**
 * The client certificate of a request under a snapshot, which may be newer than the request. Throws a GatewayError when the certificate header of
 * a trusted proxy is unusable, or the proxy's own certificate is revoked.
 */
export function clientCertificateOf(
  { request }: Pick<RequestContext, 'request'>,
  { authenticators, config }: Pick<Snapshot, 'authenticators' | 'config'>,
  {
    now,
    peerAddress,
    peerCertificate,
    revocations,
  }: Pick<Runtime, 'now' | 'peerAddress' | 'peerCertificate' | 'revocations'>,
): PeerCertificate | undefined {
  const direct = certificateThatCounts(request.socket, config.server, peerCertificate);
  const peer = authenticators.certificateSource({
    direct,
    peerAddress: peerAddress(request.socket),
    rawHeaders: request.rawHeaders,
    now: now(),
  });
  const revokedBy =
    direct === undefined || peer === direct ? undefined : revocations().ofCertificate(direct.certificate);
  if (revokedBy !== undefined) throw credentialRefused('client-certificate', 'revoked', revokedBy);
  return peer;
}

/** True if this process has the request under way, drains included. */
export function isPending(
  { id, route, subject }: PendingRequest,
  { drainingAnswers, open }: Pick<Runtime, 'drainingAnswers' | 'open'>,
): boolean {
  for (const each of open) {
    if (each.message?.id !== id || each.error !== undefined) continue;
    if (each.message.kind === 'request' && each.subject === subject && each.route?.name === route) return true;
  }
  for (const each of drainingAnswers) {
    if (each.id === id && each.subject === subject && each.route === route) return true;
  }
  return false;
}

/** The attributes that the policy decides on. The reauthorization of a stream gives its caller and message of that time. */
export function attributesOf(
  context: Pick<RequestContext, 'caller' | 'clientAddress' | 'message' | 'method' | 'path'>,
  route: Pick<Route, 'name'>,
  runtime: Pick<Runtime, 'now'>,
  caller: Caller | undefined = context.caller,
  message: McpMessage | undefined = context.message,
): Attributes {
  return {
    route: route.name,
    http: context,
    client: { address: context.clientAddress },
    caller,
    message,
    evaluation: createEvaluation(),
    now: runtime.now(),
  };
}
