// A selector says whether a rule is about a request at all. Each kind has its own file; this is what they share.
import type { Facts } from './attributes.ts';

export type Selector = (facts: Facts) => boolean;

/** Denials look at the meta-tool a call came through as well as at what it reaches; allowances at what it reaches only. */
export type Effect = 'allow' | 'deny';

export interface SelectorOptions {
  readonly effect: Effect;
  /** The names of all configured authenticators: what may stand before the `/` of a qualified client. */
  readonly authenticators: readonly string[];
}
