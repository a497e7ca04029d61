// Use of the configured API keys, with an advice for each: the migration to tokens.
import type { KeyUsage, KeyUse } from '../audit/reading/key-usage.ts';
import type { ConfiguredKey } from './configured-keys.ts';

/** A key and its use. Times are instants as text. */
export interface KeyRow {
  readonly key: string;
  readonly authenticator: string;
  readonly client: string | undefined;
  /** `gone` is no key of the file any more. The others are those of `keys list`. */
  readonly state: string;
  readonly requests: number;
  readonly refused: number;
  readonly lastUsed: string | undefined;
  /** The most frequent ones first. */
  readonly calls: readonly string[];
  readonly addresses: readonly string[];
  readonly until: string | undefined;
  readonly daysLeft: number | undefined;
  /** The last allowed request of the client with a token. */
  readonly lastToken: string | undefined;
  readonly advice: 'ready to switch' | 'needs a token' | 'switched' | 'not used' | 'refused' | 'gone';
}

const dayMs = 86_400_000;

/** Configured keys in their order, then keys of records that the file does not have. */
export function keyRows(keys: readonly ConfiguredKey[], usage: KeyUsage, now: number): KeyRow[] {
  const isConfigured = (use: KeyUse): boolean =>
    keys.some(({ authenticator, id }) => id === use.key && authenticator === use.authenticator);
  const rowOf = (
    key: string,
    authenticator: string,
    client: string | undefined,
    end: number | undefined,
    state: string,
  ): KeyRow => {
    const use = usage.of(authenticator, key);
    const lastToken = client === undefined ? undefined : usage.lastToken(client);
    return {
      key,
      authenticator,
      client,
      state,
      requests: use?.requests ?? 0,
      refused: use?.refused ?? 0,
      lastUsed: instantText(use?.last),
      calls: namesOf(use?.calls),
      addresses: namesOf(use?.addresses),
      until: instantText(end),
      daysLeft: end === undefined ? undefined : Math.max(0, Math.floor((end - now) / dayMs)),
      lastToken: instantText(lastToken),
      advice: state === 'gone' ? 'gone' : adviceOf(use, lastToken),
    };
  };
  return [
    ...keys.map(({ authenticator, clientId, end, id, state }) => rowOf(id, authenticator, clientId, end, state)),
    ...usage
      .all()
      .filter((use) => !isConfigured(use))
      .map(({ authenticator, client, key }) => rowOf(key, authenticator, client, undefined, 'gone')),
  ];
}

function adviceOf(use: KeyUse | undefined, lastToken: number | undefined): KeyRow['advice'] {
  if (use === undefined) return lastToken === undefined ? 'not used' : 'switched';
  if (use.requests === 0) return 'refused';
  return lastToken === undefined ? 'needs a token' : 'ready to switch';
}

function namesOf(counts: ReadonlyMap<string, number> = new Map()): string[] {
  return [...counts].sort(([, one], [, other]) => other - one).map(([name]) => name);
}

/** An instant in UTC, to the second; undefined for none. */
export function instantText(time: number | undefined): string | undefined {
  return time === undefined || !Number.isFinite(time) ? undefined : `${new Date(time).toISOString().slice(0, 19)}Z`;
}
