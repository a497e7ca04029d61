// Lint for unreachable rules: those that can never govern, because an earlier one matches everything that they match.
import type { RuleConfigOf } from '../rule.ts';
import type { SelectorType } from '../selectors/selector-type.ts';

/** A rule that never decides. */
export interface UnreachableRule {
  readonly index: number;
  /** The earlier rule that always governs instead. */
  readonly by: number;
}

/** Finds rules behind a wider one that is enforced. It reports only what is certain: conditions are compared as text, networks by name. */
export function unreachableRules<C>(
  rules: readonly RuleConfigOf<C>[],
  types: readonly SelectorType<C>[],
): UnreachableRule[] {
  const selectors = rules.map(({ allow, deny }) => allow ?? deny);
  return selectors.flatMap((narrower, index) => {
    const by = selectors.slice(0, index).findIndex((wider, earlier) => {
      if (wider === undefined || narrower === undefined || rules[earlier]!.mode === 'report') return false;
      return types.every((type) => type.covers(wider, narrower));
    });
    return by === -1 ? [] : [{ index, by }];
  });
}
