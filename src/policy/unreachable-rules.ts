// Lint: rules that can never govern, because an earlier one matches everything that they match.

import type { RuleConfig } from '../config/schema/config.ts';
import { pathPatternCovers } from '../http/path-pattern.ts';
import { covers } from './glob.ts';
import { methodsOfKinds, type TargetSelectorConfig } from './selectors/target.ts';

export interface ShadowedRule {
  readonly index: number;
  /** The earlier rule that always governs instead. */
  readonly by: number;
}

interface AnySelector extends TargetSelectorConfig {
  readonly paths?: readonly string[] | undefined;
  readonly clients?: readonly string[] | undefined;
  readonly claims?: Readonly<Record<string, readonly unknown[]>> | undefined;
  readonly networks?: readonly string[] | undefined;
  readonly when?: string | undefined;
}

/** Finds rules behind a wider one. It reports only what is certain: conditions are compared as text, networks by name. */
export function shadowedRules(rules: readonly RuleConfig[]): ShadowedRule[] {
  const selectors: AnySelector[] = rules.map((rule) => rule.allow ?? rule.deny ?? {});
  const shadowed: ShadowedRule[] = [];
  selectors.forEach((narrower, index) => {
    const by = selectors.findIndex((wider, earlier) => earlier < index && selectorCovers(wider, narrower));
    if (by !== -1) shadowed.push({ index, by });
  });
  return shadowed;
}

function selectorCovers(wider: AnySelector, narrower: AnySelector): boolean {
  return (
    (wider.when === undefined || wider.when === narrower.when) &&
    targetCovers(wider, narrower) &&
    listCovers(wider.paths, narrower.paths, pathPatternCovers) &&
    listCovers(wider.clients, narrower.clients, (one, other) => one === other || other.endsWith(`/${one}`)) &&
    listCovers(wider.networks, narrower.networks, Object.is) &&
    claimsCover(wider.claims ?? {}, narrower.claims ?? {})
  );
}

const kinds = ['tools', 'resources', 'prompts'] as const;

function targetCovers(wider: TargetSelectorConfig, narrower: TargetSelectorConfig): boolean {
  const widerKinds = kinds.filter((kind) => wider[kind] !== undefined);
  const narrowerKinds = kinds.filter((kind) => narrower[kind] !== undefined);
  if (widerKinds.length > 0) {
    if (narrowerKinds.length === 0) return false;
    if (!narrowerKinds.every((kind) => wider[kind] !== undefined && listCovers(wider[kind], narrower[kind], covers)))
      return false;
  }
  if (wider.methods === undefined) return true;
  // The resources of a subscription are not allowed by a method's name alone.
  if (widerKinds.length === 0 && narrower.resources !== undefined && reachesSubscriptions(narrower)) return false;
  return listCovers(
    wider.methods,
    narrower.methods ?? (narrowerKinds.length > 0 ? methodsOfKinds(narrower) : undefined),
    covers,
  );
}

function reachesSubscriptions({ methods }: TargetSelectorConfig): boolean {
  return methods === undefined || methods.some((glob) => covers(glob, 'subscriptions/listen'));
}

/** No list stands for everything. */
function listCovers<T>(
  wider: readonly T[] | undefined,
  narrower: readonly T[] | undefined,
  itemCovers: (wider: T, narrower: T) => boolean,
): boolean {
  if (wider === undefined) return true;
  return narrower?.every((item) => wider.some((other) => itemCovers(other, item))) ?? false;
}

function claimsCover(wider: NonNullable<AnySelector['claims']>, narrower: NonNullable<AnySelector['claims']>): boolean {
  return Object.entries(wider).every(([claim, values]) => {
    const others = Object.hasOwn(narrower, claim) ? narrower[claim] : undefined;
    return others?.every((value) => values.includes(value)) ?? false;
  });
}
