// Coverage of rules by policy tests: the rules that governed a case, on the side that allows and on the side that denies.
import type { RouteConfig } from '../../config/schema/config.ts';
import { unreachableRules } from '../../policy/lint/unreachable-rules.ts';
import { presetOf } from '../../policy/presets.ts';
import type { Rule } from '../../policy/rule.ts';
import { mcpSelectorTypes, pathSelectorTypes } from '../../policy/selectors/selector-types.ts';
import type { Judgement } from '../judge.ts';
import type { PolicyFile } from '../policy-file.ts';

/** The cases that a rule governed. A side that the rule does not have is undefined. */
export interface RuleCoverage {
  readonly route: string;
  readonly rule: string;
  readonly allowed: number | undefined;
  readonly denied: number | undefined;
}

/** The coverage of each enforced rule of each route, in their order, those of presets included. Rules that can never govern are left out. */
export function coverageOf({ snapshot }: PolicyFile, judgements: readonly Judgement[]): RuleCoverage[] {
  return snapshot.routes.flatMap((route, position) => {
    const unreachable = unreachableOf(snapshot.config.routes[position]!);
    const { rules, withReported = { rules } } = route.policy;
    const reachable = withReported.rules.filter((rule, index) => rule.mode === 'enforce' && !unreachable.has(index));
    const decisions = judgements.flatMap((each) => (each.route === route && each.decision ? [each.decision] : []));
    return reachable.map((rule) => {
      // A message that names several things is allowed by several rules.
      const governed = decisions.filter(
        (each) => each.rule === rule.name || each.rule?.split(', ').includes(rule.name),
      );
      const count = (allow: boolean) => governed.filter((each) => each.allow === allow).length;
      return {
        route: route.name,
        rule: rule.name,
        allowed: rule.effect === 'allow' ? count(true) : undefined,
        denied: rule.effect === 'deny' || demands(rule) ? count(false) : undefined,
      };
    });
  });
}

/** Reports whether the rule governed no case. */
export function isUncovered({ allowed = 0, denied = 0 }: RuleCoverage): boolean {
  return allowed + denied === 0;
}

function unreachableOf({ mcp, rules = [] }: RouteConfig): Set<number> {
  const found =
    mcp === undefined
      ? unreachableRules(rules, pathSelectorTypes)
      : unreachableRules([...mcp.rules, ...(mcp.preset?.rules ? presetOf(mcp).rules : [])], mcpSelectorTypes);
  return new Set(found.map(({ index }) => index));
}

function demands({ require }: Rule): boolean {
  const { anyScope, authenticatedBy, scopes, senderConstrained, when } = require;
  return (
    senderConstrained || when !== undefined || [anyScope, authenticatedBy, scopes].some(({ length }) => length > 0)
  );
}
