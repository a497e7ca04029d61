// Client certificate of a TLS connection, as the TLS layer handed it over.
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors.ts';
import type { PeerCertificate } from '../credential.ts';

/** The certificate of the connection, read once per connection; undefined without TLS or without a certificate. */
export function createPeerCertificateReader(): (socket: Socket) => PeerCertificate | undefined {
  const known = new WeakMap<Socket, { peer: PeerCertificate | undefined }>();
  return (socket) => {
    if (!(socket instanceof TLSSocket)) return undefined;
    const found = known.get(socket);
    if (found !== undefined) return found.peer;
    const peer = readPeerCertificate(socket);
    known.set(socket, { peer });
    return peer;
  };
}

/**
 * The certificate that counts under what `clientCertificates` says now: the connection may be older than that. Throws GatewayError
 * `credentials_required` where one is demanded and the connection has none.
 */
export function certificateThatCounts(
  socket: Socket,
  config: { readonly tls?: { readonly clientCertificates: 'off' | 'optional' | 'required' } | undefined },
  read: (socket: Socket) => PeerCertificate | undefined,
): PeerCertificate | undefined {
  const asked = config.tls?.clientCertificates ?? 'off';
  if (asked === 'off') return undefined;
  const peer = read(socket);
  if (peer !== undefined || asked === 'optional') return peer;
  throw new GatewayError('credentials_required', 'Authentication is required: connect with a client certificate.', {
    headers: { connection: 'close' },
  });
}

function readPeerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const chain: X509Certificate[] = [];
  for (let next = certificate.issuerCertificate; next !== undefined && chain.length < 8; next = next.issuerCertificate)
    chain.push(next);
  const problem: unknown = socket.authorizationError;
  return {
    certificate,
    chain,
    authorizationError: problem ? String(problem instanceof Error ? problem.message : problem) : undefined,
  };
}
