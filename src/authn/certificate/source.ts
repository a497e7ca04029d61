// Which client certificate counts for a request: that of its own connection, or the one that a trusted proxy states in a header.
import { LRUCache } from 'lru-cache';
import type { ServerConfig } from '../../config/schema/config.ts';
import { GatewayError } from '../../errors.ts';
import { compileNetworks, plainAddress } from '../../ip-ranges.ts';
import { certificateFromDer } from '../../pem.ts';
import type { PeerCertificate } from '../credential.ts';
import { credentialRefused } from '../errors.ts';
import { parseClientCert, type StatedCertificate } from './client-cert-header.ts';
import { matchingIdentity } from './mtls.ts';
import type { TrustStore } from './trust-store.ts';
import { parseForwardedClientCert } from './xfcc-header.ts';

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

type HeaderConfig = NonNullable<ServerConfig['clientCertificateHeader']>;

/** Parsed headers are known by their text; so are the certificates in them, to everything that remembers by object. */
const maxRemembered = 1000;

/** The files that client certificates are judged by, wherever they come from; undefined where nobody asks for any. */
export function clientAuthorities({
  clientCertificateHeader: header,
  tls,
}: Pick<ServerConfig, 'clientCertificateHeader' | 'tls'>):
  | { readonly caFile: string | undefined; readonly crlFile: string | undefined }
  | undefined {
  if (header === undefined && (tls === undefined || tls.clientCertificates === 'off')) return undefined;
  return tls === undefined
    ? { caFile: header?.clientCaFile, crlFile: header?.clientCrlFile }
    : { caFile: tls.clientCaFile, crlFile: tls.clientCrlFile };
}

/** Compiles `server.clientCertificateHeader`. Without it no header is ever looked at. */
export function compileCertificateSource(
  { clientCertificateHeader: config }: Pick<ServerConfig, 'clientCertificateHeader'>,
  trust: TrustStore | undefined,
): CertificateSource {
  if (config === undefined) return ({ direct }) => direct;
  const isListed = compileNetworks(config.from);
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
  { proxy }: HeaderConfig,
  direct: PeerCertificate | undefined,
  trust: TrustStore | undefined,
  now: number,
): boolean {
  if (proxy === undefined || direct === undefined || trust === undefined) return false;
  const judged = trust.evaluate(direct, now);
  return judged.trusted && matchingIdentity(proxy, judged.certificate) !== undefined;
}

const headerNames = { 'client-cert': 'Client-Cert', 'x-forwarded-client-cert': 'X-Forwarded-Client-Cert' } as const;

function createHeaderReader({ format }: HeaderConfig): (rawHeaders: readonly string[]) => PeerCertificate | undefined {
  const known = new LRUCache<string, PeerCertificate>({ max: maxRemembered });
  return (rawHeaders) => {
    const lines = linesOf(rawHeaders, format);
    const chain = format === 'client-cert' ? linesOf(rawHeaders, 'client-cert-chain') : [];
    if (lines.length === 0 && chain.length === 0) return undefined;
    if (lines.length > 1) throw new GatewayError('duplicate_header', `Send the ${headerNames[format]} header once.`);
    // Before anything is remembered by its text: a chain alone must not be taken for the certificate that was once written like it.
    if (lines.length === 0) throw unreadable(headerNames[format]);
    const text = [...lines, ...chain].join('\n');
    const before = known.get(text);
    if (before !== undefined) return before;
    const stated = format === 'client-cert' ? parseClientCert(lines, chain) : parseForwardedClientCert(lines);
    const peer = stated && peerOf(stated);
    if (peer === undefined) throw unreadable(headerNames[format]);
    known.set(text, peer);
    return peer;
  };
}

function linesOf(rawHeaders: readonly string[], name: string): string[] {
  const lines: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const written = rawHeaders[index]!;
    if (written.length === name.length && written.toLowerCase() === name) lines.push(rawHeaders[index + 1]!);
  }
  return lines;
}

/** Undefined when something in it is no certificate, or more than that. */
function peerOf({ leaf, chain }: StatedCertificate): PeerCertificate | undefined {
  try {
    return {
      certificate: certificateFromDer(leaf),
      chain: chain.map(certificateFromDer),
      authorizationError: undefined,
      fromHeader: true,
    };
  } catch {
    return undefined;
  }
}

function unreadable(name: string): GatewayError {
  return new GatewayError(
    'bad_request',
    `The ${name} header that the proxy in front of this gateway wrote cannot be read: it must hold exactly one client certificate in its standard form.`,
    { reason: 'client_certificate_header' },
  );
}

function both(): GatewayError {
  return new GatewayError(
    'ambiguous_credentials',
    'There is a client certificate on this connection and another one in a header. Send either one.',
    { reason: 'client_certificate_header' },
  );
}
