// Authenticator of TLS client certificates: trusted at this moment, and on its allowlist.
import * as z from 'zod';
import type { Path, SectionReporter } from '../../config/schema/reporter.ts';
import { filePath, scopes, text } from '../../config/schema/values.ts';
import { type CertificateAuthenticator, refused, type Verification, type Verified } from '../authenticator.ts';
import type { AuthenticatorType } from '../authenticator-type.ts';
import type { Identity } from '../caller/principal.ts';
import { capScopes } from '../caller/scopes.ts';
import {
  type CertificateNames,
  type IdentityKey,
  identityKeyOf,
  identityKeys,
  matchingIdentity,
  oneIdentityNeeded,
} from './identity.ts';
import type { TrustStore } from './trust-store.ts';
import type { ParsedCertificate } from './x509.ts';

const entry = z.strictObject({
  ...identityKeys,
  clientId: text.describe('The client that the certificate stands for.'),
  scopes: scopes.optional().describe('Scopes that it grants; absent: grants none, limits none.'),
});
type Entry = z.output<typeof entry>;

const schema = z.strictObject({
  type: z.literal('mtls').describe('TLS client certificates from an allowlist.'),
  caFile: filePath.optional().describe('The authority of these clients, one of clientCaFile; default any of them.'),
  allow: z.array(entry).min(1).describe('The first entry that matches names the client.'),
  maxScopes: scopes.optional().describe('The most this authenticator may grant; default no cap.'),
});
export type MtlsConfig = z.output<typeof schema>;

export const mtlsType = {
  schema,
  check: checkEntries,
  create: (name, config, context) => createMtlsAuthenticator(name, config, context.trustStore(config.caFile)),
} satisfies AuthenticatorType<MtlsConfig>;

function checkEntries({ allow }: MtlsConfig, path: Path, reporter: SectionReporter): void {
  const seen = new Map<string, number>();
  allow.forEach((entry, index) => {
    const at = [...path, 'allow', index];
    const identity = checkIdentity(entry, at, reporter);
    if (identity === undefined) return;
    const key = `${identity} ${entry[identity]}`;
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, index);
    else reporter.warn(at, `can never match: allow[${earlier}] has the same ${identity}`);
  });
}

/** The key that names the identity; undefined, and reported, when there is not exactly one. */
function checkIdentity(entry: Entry, path: Path, reporter: SectionReporter): IdentityKey | undefined {
  const { dnsName, uri } = entry;
  const key = identityKeyOf(entry);
  if (key === undefined) reporter.error(path, oneIdentityNeeded);
  else if (dnsName?.includes('*')) {
    reporter.error([...path, 'dnsName'], 'is compared as a whole; * stands for nothing here');
  } else if (uri !== undefined && !URL.canParse(uri)) reporter.error([...path, 'uri'], 'expected a URI');
  return key;
}

/** Creates the verifier. `trustStore` is undefined where the listener asks for no certificates: then every one is refused. */
export function createMtlsAuthenticator(
  name: string,
  config: MtlsConfig,
  trustStore: TrustStore | undefined,
): CertificateAuthenticator {
  const cap = config.maxScopes && new Set(config.maxScopes);
  const verifications = new WeakMap<ParsedCertificate, Verification>();

  function identify(certificate: CertificateNames, notAfter?: number): Verification {
    for (const entry of config.allow) {
      const subject = matchingIdentity(entry, certificate);
      if (subject !== undefined) return verified(name, entry, subject, certificate.fingerprint, notAfter, cap);
    }
    return refused('identity', unlisted(name, certificate));
  }

  return {
    name,
    accepts: 'client-certificate',
    verify({ peer }, { now }) {
      const trust = trustStore?.evaluate(peer, now);
      if (trust?.trusted !== true) {
        const { principal } = (trust?.certificate && identify(trust.certificate)) ?? {};
        return refused(trust?.reason ?? 'untrusted', principal);
      }
      let verification = verifications.get(trust.certificate);
      if (verification === undefined || (verification.verified && verification.validity?.until !== trust.until)) {
        verification = trustedUntil(
          verification ?? identify(trust.certificate, trust.certificate.notAfter),
          trust.until,
        );
        verifications.set(trust.certificate, verification);
      }
      return verification;
    },
    assume: (names) => identify(names),
  };
}

/** Another path may be found when one has ended; the identity stays the same. */
function trustedUntil(verification: Verification, until: number): Verification {
  return verification.verified ? { ...verification, validity: { until } } : verification;
}

/** A certificate of an authority of ours that names no client of ours. */
function unlisted(name: string, { commonNames, dnsNames, fingerprint, uris }: CertificateNames): Identity {
  const subject = uris[0] ?? dnsNames[0] ?? commonNames[0] ?? fingerprint;
  return { kind: 'mtls', issuer: name, subject, clientId: undefined, credentialId: fingerprint, claims: {} };
}

function verified(
  name: string,
  entry: Entry,
  subject: string,
  fingerprint: string,
  expiresAt: number | undefined,
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
      credentialId: fingerprint,
      scopes: entry.scopes && capScopes(entry.scopes, cap),
      claims: {},
      issuedAt: undefined,
      expiresAt,
      confirmation: undefined,
    },
  };
}
