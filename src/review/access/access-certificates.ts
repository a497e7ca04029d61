// Certificates of allowlists in an access review, and those of a client that a policy cannot tell apart.
import type { Verified } from '../../authn/authenticator.ts';
import { type ClientCertificate, identifyBy } from '../../authn/certificate/identify.ts';
import { type CertificateNames, identityKeyOf } from '../../authn/certificate/identity.ts';
import type { Requirements } from '../../authn/requirements.ts';
import type { Variable } from '../../policy/access/access-formula.ts';
import type { PolicyFile } from '../policy-file.ts';

/** The certificate of an entry. */
export interface NamedCertificate {
  readonly authenticator: string;
  readonly identity: string;
  readonly certificate: ClientCertificate & { readonly verified: Verified };
}

/** A certificate for each entry of the allowlists, as the route identifies it. */
export function certificatesOf({ loaded }: PolicyFile, { certificates }: Requirements): readonly NamedCertificate[] {
  return Object.entries(loaded.config.authenticators).flatMap(([authenticator, section]) => {
    if (section.type !== 'mtls') return [];
    return section.allow.flatMap((entry): NamedCertificate[] => {
      const identity = entry[identityKeyOf(entry)!]!;
      const names: CertificateNames = {
        commonNames: entry.commonName === undefined ? [] : [entry.commonName],
        dnsNames: entry.dnsName === undefined ? [] : [entry.dnsName],
        uris: entry.uri === undefined ? [] : [entry.uri],
        fingerprint: entry.fingerprint ?? '',
      };
      const found = identifyBy((each) => each.assume(names), certificates);
      if ('refused' in found || found.verified?.principal.authenticator !== authenticator) return [];
      return [{ authenticator, identity, certificate: { ...found, verified: found.verified } }];
    });
  });
}

/** Certificates of one client that the policy cannot tell apart. */
export interface CertificateKind {
  readonly authenticator: string;
  readonly certificates: readonly NamedCertificate[];
}

/** Certificates of the same authenticator and scopes together. */
export function kindsOf(certificates: readonly NamedCertificate[]): readonly CertificateKind[] {
  const kindOf = ({ authenticator, certificate }: NamedCertificate): string =>
    JSON.stringify([authenticator, certificate.verified.principal.scopes]);
  return [...Map.groupBy(certificates, kindOf).values()].map((alike) => ({
    authenticator: alike[0]!.authenticator,
    certificates: alike,
  }));
}

/** The certificate beside a token or key; the first value is none. */
export function certificateVariable(kinds: readonly CertificateKind[]): Variable {
  return {
    key: `certificate ${kinds.map(keyOfKind).join('\n')}`,
    values: kinds.length + 1,
    words(mask) {
      const chosen = kinds.filter((_, index) => mask & (2 << index));
      if (chosen.length === 0) return 'without a certificate';
      const names = chosen.flatMap(({ authenticator, certificates }) => {
        const isAll = kinds.every((kind) => kind.authenticator !== authenticator || chosen.includes(kind));
        return isAll ? authenticator : certificates.map(({ identity }) => `${authenticator}/${identity}`);
      });
      return `with a certificate of ${[...new Set(names)].join(' or ')}${mask & 1 ? ' or none' : ''}`;
    },
  };
}

function keyOfKind({ authenticator, certificates }: CertificateKind): string {
  return `${authenticator} ${JSON.stringify(certificates[0]!.certificate.verified.principal.scopes ?? 'any')}`;
}
