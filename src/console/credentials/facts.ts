// Facts of the credentials page: keys and their use, certificates, issuers, revocations, each with its end.
import { createKeyUsage } from '../../audit/reading/key-usage.ts';
import type { RevocationEntries } from '../../authn/caller/revocations.ts';
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import { nameText } from '../../authn/certificate/x509.ts';
import { configuredCertificates, revocationListExpiries } from '../../config/expiries.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { configuredKeys, revocationsOfKeys } from '../../review/configured-keys.ts';
import { type KeyRow, keyRows } from '../../review/key-rows.ts';
import { type KeySetFacts, keySetFacts } from '../key-sets.ts';

/** Functions of the console source that the page asks. */
export interface CredentialsSource {
  credentials(): Promise<ConfiguredCredentials>;
}

/** Credentials of the configuration in force. Instants are in milliseconds since 1970. */
export interface ConfiguredCredentials {
  readonly keys: readonly KeyInUse[];
  /** Authenticators of keys, with the dates of their migration. */
  readonly keyAuthenticators: readonly KeyAuthenticatorFacts[];
  /** Requests that the use of the keys is counted from. */
  readonly period: { readonly first: number; readonly last: number } | undefined;
  readonly certificates: readonly CertificateFacts[];
  readonly clientCertificates: readonly ClientCertificateFacts[];
  readonly issuers: readonly IssuerFacts[];
  readonly revocations: RevocationFacts;
}

/** A key, and its use among the last requests. */
export interface KeyInUse extends Pick<KeyRow, 'key' | 'authenticator' | 'client' | 'state' | 'requests' | 'advice'> {
  readonly end: number | undefined;
  readonly lastUsed: number | undefined;
  readonly lastToken: number | undefined;
  readonly scopes: readonly string[];
}

/** Dates of an authenticator of keys. */
export interface KeyAuthenticatorFacts {
  readonly name: string;
  readonly deprecation: number | undefined;
  readonly sunset: number | undefined;
  readonly guide: string | undefined;
}

/** The first certificate of a configured file, or a revocation list. */
export interface CertificateFacts {
  readonly name: string;
  readonly path: string;
  readonly subject: string;
  readonly isList: boolean;
  readonly end: number;
}

/** An entry of the allowlist of client certificates. */
export interface ClientCertificateFacts {
  readonly authenticator: string;
  readonly identity: string;
  readonly client: string;
  readonly scopes: readonly string[];
}

/** An issuer of tokens. */
export interface IssuerFacts {
  readonly authenticator: string;
  readonly issuer: string;
  readonly type: 'jwt' | 'introspection';
  /** Undefined where tokens are introspected. */
  readonly keySet: KeySetFacts | undefined;
}

/** The revocation list in force. */
export interface RevocationFacts {
  readonly path: string | undefined;
  readonly problem: string | undefined;
  readonly count: number;
  /** As many as a page shows. */
  readonly entries: readonly { readonly kind: string; readonly id: string }[];
}

/** Rows of each table. */
const maxShown = 200;

/** Creates the functions. */
export function credentialFacts({ current, now, recent, revocations, runtime }: RunningParts): CredentialsSource {
  async function keysInUse() {
    const usage = createKeyUsage();
    const { found } = await recent.search({ filter: {}, after: 0, limit: Number.POSITIVE_INFINITY });
    for (const { record } of found) usage.add(record);
    const keys = configuredKeys(current().loaded.config, revocationsOfKeys(revocations.current()), now());
    const known = new Map(keys.map((key) => [`${key.authenticator} ${key.id}`, key]));
    const rows = keyRows(keys, usage, now()).slice(0, maxShown);
    return {
      period: Number.isFinite(usage.period.first) ? usage.period : undefined,
      keys: rows.map(({ advice, authenticator, client, key, lastToken, requests, state }): KeyInUse => {
        const configured = known.get(`${authenticator} ${key}`);
        return {
          ...{ advice, authenticator, client, key, requests, state },
          end: configured?.end,
          lastUsed: usage.of(authenticator, key)?.last,
          lastToken: lastToken === undefined ? undefined : Date.parse(lastToken),
          scopes: configured?.scopes ?? [],
        };
      }),
    };
  }

  return {
    async credentials() {
      const { loaded } = current();
      const authenticators = Object.entries(loaded.config.authenticators);
      const keySets = keySetFacts(runtime);
      return {
        ...(await keysInUse()),
        keyAuthenticators: authenticators.flatMap(([name, each]) =>
          each.type === 'apiKey'
            ? [{ name, deprecation: each.deprecation, sunset: each.sunset, guide: each.migrationGuide }]
            : [],
        ),
        certificates: [
          ...configuredCertificates(loaded).map(({ certificate, name, path }) => ({
            ...{ name, path, subject: nameText(certificate.subject) },
            isList: false,
            end: certificate.validToDate.getTime(),
          })),
          ...revocationListExpiries(loaded).map(({ expiresAtSeconds, name, path }) => ({
            ...{ name, path, subject: 'next list due' },
            isList: true,
            end: expiresAtSeconds * 1000,
          })),
        ],
        clientCertificates: authenticators
          .flatMap(([authenticator, each]) => {
            if (each.type !== 'mtls') return [];
            return each.allow.map((entry) => {
              const key = identityKeyOf(entry);
              const identity = key === undefined ? '' : `${key} ${entry[key]}`;
              return { authenticator, identity, client: entry.clientId, scopes: entry.scopes ?? [] };
            });
          })
          .slice(0, maxShown),
        issuers: authenticators.flatMap(([authenticator, each]): IssuerFacts[] => {
          if (each.type !== 'jwt' && each.type !== 'introspection') return [];
          const { issuer, type } = each;
          const keySet = type === 'jwt' ? keySets.find((set) => set.issuer === issuer) : undefined;
          return [{ authenticator, issuer, type, keySet }];
        }),
        revocations: {
          path: revocations.path(),
          problem: revocations.state()?.problem,
          ...listed(revocations.entries()),
        },
      };
    },
  };
}

function listed({ issuedBefore, ...lists }: RevocationEntries): Pick<RevocationFacts, 'count' | 'entries'> {
  const all = Object.entries(lists).flatMap(([kind, ids]) => ids.map((id) => ({ kind, id })));
  if (issuedBefore !== undefined) all.push({ kind: 'issuedBefore', id: new Date(issuedBefore).toISOString() });
  return { count: all.length, entries: all.slice(0, maxShown) };
}
