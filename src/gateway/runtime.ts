// Process-wide state shared by all requests, and the questions about a request that several steps ask.
import type { Socket } from 'node:net';
import type { AuditLog } from '../audit/event.ts';
import { certificateThatCounts } from '../authn/certificate/peer.ts';
import type { PeerCertificate } from '../authn/credential.ts';
import { credentialRefused } from '../authn/errors.ts';
import type { Caller } from '../authn/principal.ts';
import type { Revocations } from '../authn/revocations.ts';
import type { Log } from '../log.ts';
import type { McpMessage } from '../mcp/message.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Attributes } from '../policy/attributes.ts';
import type { OpenStream } from '../upstream/transfer.ts';
import type { RequestContext } from './request/context.ts';
import type { Route } from './route.ts';
import type { Snapshot } from './snapshot.ts';

/** State shared by all requests. A reload replaces `snapshot` as a whole. */
export interface Runtime {
  snapshot: Snapshot;
  draining: boolean;
  readonly now: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: AuditLog;
  /** The address of the other end; `unix:` on a unix socket. */
  readonly peerAddress: (socket: Socket) => string;
  readonly peerCertificate: (socket: Socket) => PeerCertificate | undefined;
  /** The revocations in force, which belong to no snapshot. */
  readonly revocations: () => Revocations;
  /** Requests that have begun and not ended. */
  readonly open: Set<RequestContext>;
  /** Event streams and WebSockets that are open. */
  readonly streams: Set<LiveStream>;
  /** Answers that are read to their end after their client has left; each function gives one up. */
  readonly drainingAnswers: Set<() => void>;
}

/** Under which configuration a stream was last found allowed, and as whose. */
export interface AuthorizationState {
  readonly snapshot: Snapshot;
  readonly route: Route;
  readonly caller: Caller | undefined;
}

/** One open stream, from its head to the close of its response. */
export interface LiveStream {
  readonly context: RequestContext;
  readonly stream: OpenStream;
  authorization: AuthorizationState;
  /** The first instant at which one of its credentials has expired; milliseconds since 1970. */
  endsAt: number;
  /** The revocation list that it was last held against; none at first: the request may have begun before the list in force. */
  revocations: Revocations | undefined;
  /** Bytes handed on when it was last looked at, and since when they have not changed. */
  bytes: number;
  quietSince: number;
  /** When it was told to end. */
  endingSince: number | undefined;
}

/**
 * The client certificate under this snapshot, which may be newer than the request. Throws GatewayError when nobody can say which certificate
 * counts, or that of the proxy that says so is revoked.
 */
export function clientCertificateOf(
  { request }: Pick<RequestContext, 'request'>,
  { authenticators, config }: Snapshot,
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

/** The attributes that the policy decides on, now. A stream is judged again with what stands for its caller and message then. */
export function attributesOf(
  context: RequestContext,
  route: Route,
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
    now: runtime.now(),
  };
}
