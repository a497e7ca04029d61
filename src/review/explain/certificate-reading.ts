// Reading of a client certificate: its names, chain and entry on the allowlist, and the reason for which it verified or not.
import { identityKeyOf, matchingIdentity } from '../../authn/certificate/identity.ts';
import { createCertificateReader, nameText, type ParsedCertificate } from '../../authn/certificate/x509.ts';
import type { PeerCertificate } from '../../authn/credential.ts';
import {
  type CredentialReading,
  instant,
  judged,
  notLookedAt,
  type ReadingContext,
  revokedBy,
} from './credential-reading.ts';

/** Reads a certificate. */
export function readCertificate(peer: PeerCertificate, context: ReadingContext): CredentialReading {
  const parsed = createCertificateReader()(peer.certificate);
  const found = judged(['client-certificate'], context);
  const reading = { kind: 'client certificate' as const, ...found, id: found.id ?? parsed?.fingerprint };
  const facts = parsed === undefined ? {} : factsOfCertificate(parsed, peer);
  const asked = context.policyFile.snapshot.config.server.tls?.clientCertificates ?? 'off';
  if (asked === 'off')
    return {
      ...reading,
      state: 'not_looked_at',
      why: 'the listener asks for none: server.tls.clientCertificates is off',
      facts,
    };
  if (found.state === 'not_looked_at') return { ...reading, why: notLookedAt, facts };
  const entry = parsed && entryOf(parsed, context, found.authenticator);
  if (found.state === 'verified')
    return { ...reading, why: `its chain holds, and it has ${entry ?? 'a trusted authority'}`, facts };
  return { ...reading, why: whyCertificate(found.reason!, parsed, context), facts };
}

function factsOfCertificate(
  parsed: ParsedCertificate,
  { certificate, chain }: PeerCertificate,
): Record<string, string> {
  const names = { commonName: parsed.commonNames, dnsName: parsed.dnsNames, uri: parsed.uris };
  const present = Object.entries(names).filter(([, values]) => values.length > 0);
  return {
    ...Object.fromEntries(present.map(([name, values]) => [name, values.join(', ')])),
    issuer: nameText(certificate.issuer),
    notBefore: instant(parsed.notBefore),
    notAfter: instant(parsed.notAfter),
    chain: chain.length === 0 ? 'the certificate alone' : `${chain.length} more`,
  };
}

/** The first entry of an allowlist that the certificate matches, in words. */
function entryOf(
  parsed: ParsedCertificate,
  context: ReadingContext,
  authenticator: string | undefined,
): string | undefined {
  for (const { name, text, matches } of allowlist(parsed, context))
    if (matches && (authenticator ?? name) === name) return `${text} of "${name}"`;
  return undefined;
}

function allowlist(parsed: ParsedCertificate, { policyFile }: ReadingContext) {
  return Object.entries(policyFile.loaded.config.authenticators).flatMap(([name, config]) =>
    config.type !== 'mtls'
      ? []
      : config.allow.map((entry, index) => {
          const key = identityKeyOf(entry)!;
          const text = `allow[${index}] ${key} ${entry[key]}`;
          return { name, text, matches: matchingIdentity(entry, parsed) !== undefined };
        }),
  );
}

const maxShown = 12;

function whyCertificate(reason: string, parsed: ParsedCertificate | undefined, context: ReadingContext): string {
  switch (reason) {
    case 'format':
      return 'it cannot be read';
    case 'untrusted':
      return 'no chain leads from it to an authority of clientCaFile: it is of another authority, or an intermediate certificate is missing from the file';
    case 'expired':
      return `it, or an authority above it, has expired; its own end is ${instant(parsed?.notAfter)}`;
    case 'not_yet_valid':
      return `it is not valid before ${instant(parsed?.notBefore)}`;
    case 'revoked':
      return `it is revoked: ${revokedBy(context)}`;
    case 'purpose':
      return 'it is not for the authentication of clients (extended key usage clientAuth)';
    case 'algorithm':
      return 'its key or signature is too weak';
    case 'identity': {
      const tried = parsed === undefined ? [] : allowlist(parsed, context).map(({ name, text }) => `${name}.${text}`);
      const more = tried.length > maxShown ? `, and ${tried.length - maxShown} more` : '';
      return `its chain holds, but no entry matches it; tried: ${tried.slice(0, maxShown).join(', ')}${more}`;
    }
    default:
      return reason;
  }
}
