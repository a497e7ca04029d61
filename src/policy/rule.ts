// A compiled policy: what `decide` walks. Built once per configuration snapshot, immutable, shared by all requests of a route.
import type { Condition } from './condition.ts';
import type { Requirement } from './requirement.ts';
import type { Effect, Selector } from './selector.ts';
import type { TargetSelector } from './target.ts';

export interface Rule {
  /** As configured, or its place, such as `rules[2]`. */
  readonly name: string;
  readonly effect: Effect;
  /** What the rule is about; undefined: everything. */
  readonly target: TargetSelector | undefined;
  /** Who it is about, and on path routes also what; all must match. */
  readonly selectors: readonly Selector[];
  /** Evaluated after the selectors. */
  readonly when: Condition | undefined;
  readonly require: Requirement;
}

export interface Policy {
  /** On an MCP route some methods need no rule. */
  readonly kind: 'mcp' | 'path';
  readonly rules: readonly Rule[];
  /** The tools that the rules name without a glob: a closed list for metric labels. */
  readonly toolNames: ReadonlySet<string>;
}

/** The scopes that the rules speak of, without duplicates: what a client may be told to ask for first. Of `anyScope` the first. */
export function scopesOf(policy: Policy): string[] {
  return [...new Set(policy.rules.flatMap(({ require }) => [...require.scopes, ...require.anyScope.slice(0, 1)]))];
}
