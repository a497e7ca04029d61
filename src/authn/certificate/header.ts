// Header in which a TLS-terminating proxy states the client certificate: its configuration and its reading.
import * as z from 'zod';
import { createBoundedCache } from '../../bounded-cache.ts';
import { filePath, peers } from '../../config/schema/values.ts';
import { GatewayError } from '../../errors.ts';
import { certificateFromDer } from '../../pem.ts';
import type { PeerCertificate } from '../credential.ts';
import { parseClientCert, type StatedCertificate } from './client-cert-header.ts';
import { identityKeys } from './identity.ts';
import { parseForwardedClientCert } from './xfcc-header.ts';

/** `server.clientCertificateHeader`. */
export const certificateHeaderSchema = z.strictObject({
  format: z
    .enum(['client-cert', 'x-forwarded-client-cert'])
    .default('client-cert')
    .describe('Client-Cert of RFC 9440, or X-Forwarded-Client-Cert of Envoy with exactly one element.'),
  from: peers.min(1).describe('The exact addresses of the proxies that it is believed from.'),
  proxy: z
    .strictObject(identityKeys)
    .optional()
    .describe("The proxy's own certificate, by which the hop is known. Needed beyond loopback."),
  clientCaFile: filePath.optional().describe('Where the listener has no tls: the authorities of client certificates.'),
  clientCrlFile: filePath.optional().describe('Where the listener has no tls: their revocation lists.'),
});
export type CertificateHeaderConfig = z.output<typeof certificateHeaderSchema>;

/** Parsed headers are cached by their text, so that the same certificate object comes of the same text. */
const cacheLimits = {
  entries: 1000,
  size: { bytes: 4 * 1024 * 1024, of: (_: PeerCertificate, text: string) => text.length },
};
const headerNames = { 'client-cert': 'Client-Cert', 'x-forwarded-client-cert': 'X-Forwarded-Client-Cert' } as const;

/** Creates the reader of that header. It throws GatewayError `duplicate_header`, or `bad_request` for what it cannot read. */
export function createHeaderReader({
  format,
}: Pick<CertificateHeaderConfig, 'format'>): (rawHeaders: readonly string[]) => PeerCertificate | undefined {
  const known = createBoundedCache<PeerCertificate>(cacheLimits);
  return (rawHeaders) => {
    const lines = linesOf(rawHeaders, format);
    const chain = format === 'client-cert' ? linesOf(rawHeaders, 'client-cert-chain') : [];
    if (lines.length === 0 && chain.length === 0) return undefined;
    if (lines.length > 1) throw new GatewayError('duplicate_header', `Send the ${headerNames[format]} header once.`);
    // Before the cache: a chain alone must not be taken for a certificate of the same text.
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
