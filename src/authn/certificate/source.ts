// Source of the client certificate of a request: its own connection, or the header of a trusted proxy.
import { GatewayError } from '../../errors.ts';
import { compilePeers, plainAddress } from '../../ip-ranges.ts';
import type { PeerCertificate } from '../credential.ts';
import { credentialRefused } from '../errors.ts';
import { type CertificateHeaderConfig, createHeaderReader } from './header.ts';
import { matchingIdentity } from './identity.ts';
import type { TrustStore } from './trust-store.ts';

/** The facts that decide about the client certificate of a request. */
export interface CertificateEvidence {
  /** The certificate of this connection. */
  readonly direct: PeerCertificate | undefined;
  /** The address of the other end of this connection, whoever it speaks for. */
  readonly peerAddress: string;
  readonly rawHeaders: readonly string[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Throws GatewayError `bad_request` or `duplicate_header` for a header from the proxy that cannot be read, `ambiguous_credentials` for a certificate
 * of the connection beside one in the header, `invalid_certificate` for the proxy's own certificate from anywhere else.
 */
export type CertificateSource = (evidence: CertificateEvidence) => PeerCertificate | undefined;

/** The part of `server` that decides about client certificates. */
export interface ClientCertificateConfig {
  readonly clientCertificateHeader?: CertificateHeaderConfig | undefined;
  readonly tls?:
    | {
        readonly clientCertificates: 'off' | 'optional' | 'required';
        readonly clientCaFile?: string | undefined;
        readonly clientCrlFile?: string | undefined;
      }
    | undefined;
}

/** The files that client certificates are verified with, wherever they come from; undefined where nobody asks for any. */
export function clientAuthorities({
  clientCertificateHeader: header,
  tls,
}: ClientCertificateConfig): { readonly caFile: string | undefined; readonly crlFile: string | undefined } | undefined {
  if (header === undefined && (tls === undefined || tls.clientCertificates === 'off')) return undefined;
  return tls === undefined
    ? { caFile: header?.clientCaFile, crlFile: header?.clientCrlFile }
    : { caFile: tls.clientCaFile, crlFile: tls.clientCrlFile };
}

/** Compiles `server.clientCertificateHeader`. Without it no header is read. */
export function compileCertificateSource(
  { clientCertificateHeader: config }: ClientCertificateConfig,
  trust: TrustStore | undefined,
): CertificateSource {
  if (config === undefined) return ({ direct }) => direct;
  const isListed = compilePeers(config.from);
  const readHeader = createHeaderReader(config);
  return ({ direct, now, peerAddress, rawHeaders }) => {
    const listed = isListed(plainAddress(peerAddress));
    const provenHop = isProxy(config, direct, trust, now);
    if (provenHop && !listed) throw credentialRefused('client-certificate', 'identity');
    // Whoever is not the proxy may write headers as it likes: they are no evidence, and are dropped like every other of that name.
    if (!listed || (config.proxy !== undefined && !provenHop)) return direct;
    const stated = readHeader(rawHeaders);
    if (provenHop) return stated;
    if (stated !== undefined && direct !== undefined) throw both();
    return stated ?? direct;
  };
}

/** The hop itself is mTLS with the identity of the proxy. */
function isProxy(
  { proxy }: CertificateHeaderConfig,
  direct: PeerCertificate | undefined,
  trust: TrustStore | undefined,
  now: number,
): boolean {
  if (proxy === undefined || direct === undefined || trust === undefined) return false;
  const verified = trust.evaluate(direct, now);
  return verified.trusted && matchingIdentity(proxy, verified.certificate) !== undefined;
}

function both(): GatewayError {
  return new GatewayError(
    'ambiguous_credentials',
    'There is a client certificate on this connection and another one in a header. Send either one.',
    { reason: 'client_certificate_header' },
  );
}
