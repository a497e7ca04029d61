// Verifies client certificates: trusted at this moment, and on the allowlist by exactly what they say.
import type { MtlsAuthenticatorConfig } from '../../config/schema/config.ts';
import type { CertificateVerifier, Verification, Verified } from '../authenticator.ts';
import { capScopes } from '../scopes.ts';
import type { TrustStore } from './trust-store.ts';
import type { ParsedCertificate } from './x509.ts';

type Entry = MtlsAuthenticatorConfig['allow'][number];

/** Creates the verifier. `trustStore` is undefined where the listener asks for no certificates: then every one is refused. */
export function createMtlsAuthenticator(
  name: string,
  config: MtlsAuthenticatorConfig,
  trustStore: TrustStore | undefined,
): CertificateVerifier {
  const cap = config.maxScopes && new Set(config.maxScopes);
  const verifications = new WeakMap<ParsedCertificate, Verification>();

  function identify(certificate: ParsedCertificate): Verification {
    for (const entry of config.allow) {
      const subject = matchingIdentity(entry, certificate);
      if (subject !== undefined) return verified(name, entry, subject, certificate, cap);
    }
    return { verified: false, reason: 'identity' };
  }

  return {
    name,
    kind: 'mtls',
    verify(credential, { now }) {
      if (credential.kind !== 'client-certificate' || trustStore === undefined) {
        return { verified: false, reason: 'untrusted' };
      }
      const trust = trustStore.evaluate(credential.peer, now);
      if (!trust.trusted) return { verified: false, reason: trust.reason };
      let verification = verifications.get(trust.certificate);
      if (verification === undefined || (verification.verified && verification.until !== trust.until)) {
        verification = trustedUntil(verification ?? identify(trust.certificate), trust.until);
        verifications.set(trust.certificate, verification);
      }
      return verification;
    },
  };
}

/** Another path may be found when one has ended; whose the certificate is stays the same. */
function trustedUntil(verification: Verification, until: number): Verification {
  return verification.verified ? { ...verification, until } : verification;
}

/** What a certificate may be known by. */
export type CertificateIdentity = Pick<Entry, 'commonName' | 'dnsName' | 'uri' | 'fingerprint'>;

/** The identity by which the entry matches; every one that the entry names must be there. Compared code unit by code unit. */
export function matchingIdentity(entry: CertificateIdentity, certificate: ParsedCertificate): string | undefined {
  const { commonName, dnsName, uri, fingerprint } = entry;
  const [onlyName, ...furtherNames] = certificate.commonNames;
  const matches =
    (commonName === undefined || (onlyName === commonName && furtherNames.length === 0)) &&
    (dnsName === undefined || certificate.dnsNames.includes(dnsName)) &&
    (uri === undefined || certificate.uris.includes(uri)) &&
    (fingerprint === undefined || certificate.fingerprint === fingerprint);
  return matches ? (uri ?? dnsName ?? commonName ?? fingerprint) : undefined;
}

function verified(
  name: string,
  entry: Entry,
  subject: string,
  certificate: ParsedCertificate,
  cap: ReadonlySet<string> | undefined,
): Verified {
  return {
    verified: true,
    principal: {
      kind: 'mtls',
      authenticator: name,
      issuer: name,
      subject,
      clientId: entry.clientId,
      credentialId: certificate.fingerprint,
      scopes: entry.scopes && capScopes(entry.scopes, cap),
      claims: {},
      issuedAt: undefined,
      expiresAt: certificate.notAfter,
      confirmation: undefined,
    },
  };
}
