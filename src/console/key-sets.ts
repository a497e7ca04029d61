// Key sets of the issuers (JWKS, RFC 7517): their facts, and how pages show them.
import type { Runtime } from '../gateway/runtime.ts';
import type { Html } from './html/html.ts';
import { badge } from './html/parts.ts';

/** The key set of an issuer. */
export interface KeySetFacts {
  readonly issuer: string;
  readonly isReady: boolean;
  /** Since the last successful fetch; undefined before the first. */
  readonly ageSeconds: number | undefined;
}

/** The key sets in force. */
export function keySetFacts({ snapshot }: Pick<Runtime, 'snapshot'>): KeySetFacts[] {
  return [...snapshot.authenticators.keySets.values()].map((keySet) => ({
    issuer: keySet.issuer,
    isReady: keySet.ready(),
    ageSeconds: keySet.ageSeconds(),
  }));
}

/** A badge, and the age of the keys. */
export function keySetState({ ageSeconds, isReady }: KeySetFacts): [Html, string] {
  return [
    isReady ? badge('ready', 'good') : badge('no keys', 'bad'),
    ageSeconds === undefined ? 'keys not fetched yet' : `keys are ${Math.round(ageSeconds)} s old`,
  ];
}
