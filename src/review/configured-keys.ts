// API keys of a configuration, with their ends.
import { type ApiKeyEntry, endOfKey } from '../authn/api-key.ts';
import { compileRevocations, noEntries, type Revocations, type RevokedBy } from '../authn/caller/revocations.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema/config.ts';

/** A configured key. */
export interface ConfiguredKey extends Omit<ApiKeyEntry, 'hash'> {
  readonly authenticator: string;
  /** The first instant refused, of the key or its authenticator; milliseconds since 1970. */
  readonly end: number | undefined;
  readonly endsWithSunset: boolean;
  readonly state: 'good' | 'not yet' | 'ends soon' | 'expired' | 'sunset' | 'revoked';
}

const soonMs = 30 * 86_400_000;

/** All keys of the configuration, the first to end first. `now` is in milliseconds since 1970. */
export function configuredKeys(
  { authenticators }: Pick<Config, 'authenticators'>,
  revokedBy: KeyRevocations,
  now: number,
): ConfiguredKey[] {
  const keys = Object.entries(authenticators).flatMap(([authenticator, settings]): ConfiguredKey[] => {
    if (settings.type !== 'apiKey') return [];
    return (settings.keys ?? []).map(({ hash: _, ...key }) => {
      const end = endOfKey(key, settings);
      return {
        ...key,
        authenticator,
        end: Number.isFinite(end) ? end : undefined,
        endsWithSunset: end === settings.sunset,
        state: revokedBy(authenticator, key) ? 'revoked' : stateOf(key, end, settings.sunset, now),
      };
    });
  });
  return keys.sort((one, other) => (one.end ?? Infinity) - (other.end ?? Infinity));
}

/** The property by which a key is revoked, as its requests would be refused. */
export type KeyRevocations = (
  authenticator: string,
  key: Pick<ApiKeyEntry, 'id' | 'clientId'>,
) => RevokedBy | undefined;

/** The revocations of keys by the list that a configuration was loaded with. */
export function keyRevocations({ revocations }: Pick<LoadedConfig, 'revocations'>): KeyRevocations {
  return revocationsOfKeys(compileRevocations(revocations?.list?.entries ?? noEntries));
}

/** The revocations of keys among all of them. */
export function revocationsOfKeys({ ofPrincipal }: Pick<Revocations, 'ofPrincipal'>): KeyRevocations {
  return (authenticator, { id, clientId }) =>
    ofPrincipal({ kind: 'api-key', authenticator, subject: clientId, clientId, credentialId: id });
}

function stateOf(
  { notBefore = 0 }: Pick<ApiKeyEntry, 'notBefore'>,
  end: number,
  sunset = Infinity,
  now: number,
): ConfiguredKey['state'] {
  if (sunset <= now) return 'sunset';
  if (end <= now) return 'expired';
  if (notBefore > now) return 'not yet';
  return end - now < soonMs ? 'ends soon' : 'good';
}
