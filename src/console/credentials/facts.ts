// Facts of the credentials page: keys and their use, certificates, issuers, revocations, each with its end.
import { createKeyUsage } from '../../audit/reading/key-usage.ts';
import type { RevocationEntries } from '../../authn/caller/revocations.ts';
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import { nameText } from '../../authn/certificate/x509.ts';
import { configuredCertificates, revocationListExpiries } from '../../config/expiries.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema/config.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { configuredKeys, revocationsOfKeys } from '../../review/configured-keys.ts';
import { type KeyRow, keyRows } from '../../review/key-rows.ts';
import { type AloneList, type ListPart, partOf } from '../html/list-part.ts';
import { type KeySetFacts, keySetFacts } from '../key-sets.ts';

/** Functions of the console source that the page asks. */
export interface CredentialsSource {
  credentials(alone: CredentialsQuestion | undefined): Promise<ConfiguredCredentials>;
}

/** Lists of the page. */
export const credentialLists = ['keys', 'dates', 'certificates', 'clients', 'issuers', 'revoked'] as const;
/** The list that the page shows alone. */
export type CredentialsQuestion = AloneList & { readonly list: (typeof credentialLists)[number] };

/** Credentials of the configuration in force. Instants are in milliseconds since 1970. */
export interface ConfiguredCredentials {
  readonly keys: ListPart<KeyInUse>;
  /** Of all keys, not only of the part. */
  readonly usedKeys: number;
  /** Authenticators of keys, with the dates of their migration. */
  readonly keyAuthenticators: ListPart<KeyAuthenticatorFacts>;
  /** Requests that the use of the keys is counted from. */
  readonly period: { readonly first: number; readonly last: number } | undefined;
  /** The first to end first. */
  readonly certificates: ListPart<CertificateFacts>;
  readonly clientCertificates: ListPart<ClientCertificateFacts>;
  readonly issuers: ListPart<IssuerFacts>;
  readonly revocations: RevocationFacts;
}

/** A key, and its use among the last requests. */
export interface KeyInUse extends Pick<KeyRow, 'key' | 'authenticator' | 'client' | 'state' | 'requests' | 'advice'> {
  readonly end: number | undefined;
  /** Of its authenticator. */
  readonly sunset: number | undefined;
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
  readonly entries: ListPart<RevocationEntry>;
}

/** An entry of the revocation list. */
export interface RevocationEntry {
  readonly kind: string;
  readonly id: string;
}

type NamedAuthenticators = readonly (readonly [string, Config['authenticators'][string]])[];

/** Creates the functions. */
export function credentialFacts({ current, now, recent, revocations, runtime }: RunningParts): CredentialsSource {
  async function keysInUse(alone: AloneList | undefined) {
    const usage = createKeyUsage();
    const { found } = await recent.search({ filter: {}, after: 0, limit: Number.POSITIVE_INFINITY });
    for (const { record } of found) usage.add(record);
    const { config } = current().loaded;
    const keys = configuredKeys(config, revocationsOfKeys(revocations.current()), now());
    const known = new Map(keys.map((key) => [`${key.authenticator} ${key.id}`, key]));
    const all = keyRows(keys, usage, now());
    const part = partOf(all, 'keys', alone);
    const sunsetOf = (authenticator: string) => {
      const settings = config.authenticators[authenticator];
      return settings?.type === 'apiKey' ? settings.sunset : undefined;
    };
    return {
      period: Number.isFinite(usage.period.first) ? usage.period : undefined,
      usedKeys: all.filter(({ requests }) => requests > 0).length,
      keys: mapped(part, ({ advice, authenticator, client, key, lastToken, requests, state }): KeyInUse => {
        const configured = known.get(`${authenticator} ${key}`);
        return {
          ...{ advice, authenticator, client, key, requests, state },
          end: configured?.end,
          sunset: sunsetOf(authenticator),
          lastUsed: usage.of(authenticator, key)?.last,
          lastToken: lastToken === undefined ? undefined : Date.parse(lastToken),
          scopes: configured?.scopes ?? [],
        };
      }),
    };
  }

  return {
    async credentials(alone) {
      const { loaded } = current();
      const authenticators = Object.entries(loaded.config.authenticators);
      const dates = authenticators.flatMap(([name, each]): KeyAuthenticatorFacts[] => {
        if (each.type !== 'apiKey') return [];
        return [{ name, deprecation: each.deprecation, sunset: each.sunset, guide: each.migrationGuide }];
      });
      return {
        ...(await keysInUse(alone)),
        keyAuthenticators: partOf(dates, 'dates', alone),
        certificates: partOf(certificatesOf(loaded), 'certificates', alone),
        clientCertificates: partOf(clientCertificatesOf(authenticators), 'clients', alone),
        issuers: partOf(issuersOf(authenticators, keySetFacts(runtime)), 'issuers', alone),
        revocations: {
          path: revocations.path(),
          problem: revocations.state()?.problem,
          entries: partOf(listed(revocations.entries()), 'revoked', alone),
        },
      };
    },
  };
}

function mapped<T, U>({ rows, ...part }: ListPart<T>, of: (row: T) => U): ListPart<U> {
  return { ...part, rows: rows.map(of) };
}

function certificatesOf(loaded: LoadedConfig): CertificateFacts[] {
  const certificates = configuredCertificates(loaded).map(({ certificate, name, path }) => ({
    ...{ name, path, subject: nameText(certificate.subject) },
    isList: false,
    end: certificate.validToDate.getTime(),
  }));
  const lists = revocationListExpiries(loaded).map(({ expiresAtSeconds, name, path }) => ({
    ...{ name, path, subject: 'next list due' },
    isList: true,
    end: expiresAtSeconds * 1000,
  }));
  return [...certificates, ...lists].sort((one, other) => one.end - other.end);
}

function clientCertificatesOf(authenticators: NamedAuthenticators): ClientCertificateFacts[] {
  return authenticators.flatMap(([authenticator, each]) => {
    if (each.type !== 'mtls') return [];
    return each.allow.map((entry) => {
      const key = identityKeyOf(entry);
      const identity = key === undefined ? '' : `${key} ${entry[key]}`;
      return { authenticator, identity, client: entry.clientId, scopes: entry.scopes ?? [] };
    });
  });
}

function issuersOf(authenticators: NamedAuthenticators, keySets: readonly KeySetFacts[]): IssuerFacts[] {
  return authenticators.flatMap(([authenticator, each]): IssuerFacts[] => {
    if (each.type !== 'jwt' && each.type !== 'introspection') return [];
    const { issuer, type } = each;
    const keySet = type === 'jwt' ? keySets.find((set) => set.issuer === issuer) : undefined;
    return [{ authenticator, issuer, type, keySet }];
  });
}

function listed({ issuedBefore, ...lists }: RevocationEntries): RevocationEntry[] {
  const all = Object.entries(lists).flatMap(([kind, ids]) => ids.map((id) => ({ kind, id })));
  if (issuedBefore !== undefined) all.push({ kind: 'issuedBefore', id: new Date(issuedBefore).toISOString() });
  return all;
}
