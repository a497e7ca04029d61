// What every request shares, and what is asked of a request in more than one place.
import type { Socket } from 'node:net';
import type { AuditLog } from '../audit/event.ts';
import type { PeerCertificate } from '../authn/credential.ts';
import { credentialRefused } from '../authn/errors.ts';
import type { Caller } from '../authn/principal.ts';
import type { Revocations } from '../authn/revocations.ts';
import { certificateThatCounts } from '../http/listener.ts';
import type { Log } from '../log.ts';
import type { McpMessage } from '../mcp/message.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Attributes } from '../policy/attributes.ts';
import type { Exchange as AnyExchange } from './request/context.ts';
import type { LiveStream } from './request/streams.ts';
import type { Route, Snapshot } from './snapshot.ts';

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

/** What is decided on, now. A stream that goes on is judged again with what stands for its caller and message then. */
export function attributesOf(
  exchange: Exchange,
  route: Route,
  runtime: Pick<Runtime, 'now'>,
  caller: Caller | undefined = exchange.caller,
  message: McpMessage | undefined = exchange.message,
): Attributes {
  return {
    route: route.name,
    http: exchange,
    client: { address: exchange.clientAddress },
    caller,
    message,
    now: runtime.now(),
  };
}
