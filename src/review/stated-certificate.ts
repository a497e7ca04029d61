// Certificates of request forms: the names of a trusted certificate that nobody has to hold.
import { type CertificateNames, type IdentityKey, identityKeyOf } from '../authn/certificate/identity.ts';
import type { Path } from '../config/schema/reporter.ts';
import type { PolicyFile } from './policy-file.ts';

/** Reports a problem of a form, at a path below the caller. */
export type Wrong = (message: string, ...path: Path) => undefined;

/** In the place of the fingerprint and of a key that nobody has. */
export const madeUp = 'made-up';

/** An entry of an allowlist. */
interface AllowedCertificate {
  readonly clientId: string;
  readonly key: IdentityKey;
  readonly identity: string;
}

/** The entries of the allowlists, or of that of one authenticator. */
export function entriesOf({ loaded }: PolicyFile, authenticator?: string): AllowedCertificate[] {
  return Object.entries(loaded.config.authenticators).flatMap(([name, config]) =>
    config.type !== 'mtls' || (authenticator ?? name) !== name
      ? []
      : config.allow.map((entry) => {
          const key = identityKeyOf(entry)!;
          return { clientId: entry.clientId, key, identity: entry[key]! };
        }),
  );
}

/** The names of a certificate that has this one: of the kind that an allowlist has it, or of the kind that it looks like. */
export function namesOf(text: string, policyFile: PolicyFile, wrong: Wrong): CertificateNames | undefined {
  if (policyFile.snapshot.authenticators.clientTrust === undefined)
    return wrong('no certificate is asked for: server.tls.clientCertificates is off', 'certificate');
  const isFingerprint = /^sha256:[0-9a-f]{64}$/i.test(text);
  const identity = isFingerprint ? text.toLowerCase() : text;
  const key =
    entriesOf(policyFile).find((entry) => entry.identity === identity)?.key ?? kindOf(identity, isFingerprint);
  const named = (kind: IdentityKey): string[] => (kind === key ? [identity] : []);
  return {
    commonNames: named('commonName'),
    dnsNames: named('dnsName'),
    uris: named('uri'),
    fingerprint: named('fingerprint')[0] ?? madeUp,
  };
}

function kindOf(identity: string, isFingerprint: boolean): IdentityKey {
  if (isFingerprint) return 'fingerprint';
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(identity) ? 'uri' : 'commonName';
}
