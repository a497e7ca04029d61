// Access by a policy: the residual of its rules for a caller and an item, where arguments, networks, scopes and claims are not known yet.
import { noMetaTools } from '../../mcp/meta-tools.ts';
import { decide } from '../decide.ts';
import { unmetCredential } from '../requirement.ts';
import type { Policy, Rule } from '../rule.ts';
import { indexRules } from '../rule-index.ts';
import { type Access, type Clause, errs, isFalse, isTrue, type Literal, negated, type Way } from './access-formula.ts';
import { type Steps, simplify } from './access-simplification.ts';
import { scopeVariable } from './access-variables.ts';
import { attributesOf, type OpenCall, type OpenCaller, type Residual } from './open-call.ts';
import { conditionOf, coverage, literalsOf, looksAtCall } from './open-parts.ts';

/** The rules of the policy that may govern the call, whoever makes it. */
export function rulesFor(call: OpenCall, { kind, rules }: Policy): readonly Rule[] {
  const nobody: OpenCaller = {
    caller: undefined,
    hasFixedScopes: true,
    openClaims: [],
    openFields: new Set(),
    clauses: [],
  };
  const attributes = attributesOf(nobody, call);
  return rules.filter(({ selectors }) =>
    selectors.every((selector) => !looksAtCall(selector, kind) || coverage(selector, call, attributes) !== 'none'),
  );
}

/**
 * Walks the rules as `decide` does, the first that matches governs. The way on which a rule allows a call has conditions for all that is open
 * it, and that no earlier rule governs it. Undefined where more than `maxOpen` rules depend on what is open: the steps to simplify that grow
 * with the fourth power of their number.
 */
export function* accessOf(
  open: OpenCaller,
  call: OpenCall,
  { kind, maxOpen, rules }: AskedRules,
): Steps<Access | undefined> {
  const ways: Way[] = [];
  const before: Clause[] = [...open.clauses];
  const attributes = attributesOf(open, call);
  for (const rule of rules) {
    yield;
    const match = matchOf(rule, { open, call, attributes, kind });
    if (match === undefined) continue;
    const { literals, condition } = match;
    if (rule.effect === 'allow' && condition !== errs) {
      const demanded = demandsOf(rule, { open, call, attributes, kind });
      const matched = typeof condition === 'number' ? literals : [...literals, condition];
      if (demanded !== undefined) {
        ways.push({ rule: rule.name, clauses: [...before, ...matched.map((literal) => [literal]), ...demanded] });
      }
    }
    // A condition that errs denies the call: no later rule is asked.
    const passing = literals.map(negated);
    if (typeof condition !== 'number')
      passing.push({ ...condition, mask: condition.mask === isTrue ? isFalse : isTrue });
    before.push(passing);
    if (passing.length === 0) return yield* simplify(ways);
    if (before.length - open.clauses.length > maxOpen) return undefined;
  }
  const rest = decide(attributes, {
    kind,
    rules: [],
    index: indexRules([]),
    withReported: undefined,
    metaTools: noMetaTools,
    toolNames: new Set(),
  });
  return yield* simplify(rest.allow ? [...ways, { rule: rest.rule, clauses: before }] : ways);
}

/** The rules that may govern a call. */
export interface AskedRules {
  readonly kind: Policy['kind'];
  readonly rules: readonly Rule[];
  readonly maxOpen: number;
}

/** The open part of the selectors and the condition of a rule; undefined where it matches no such call. */
function matchOf(
  rule: Rule,
  residual: Residual,
): { literals: Literal[]; condition: Literal | typeof isTrue | typeof errs } | undefined {
  const literals: Literal[] = [];
  for (const selector of rule.selectors) {
    const remaining = literalsOf(selector, residual);
    if (remaining === undefined) return undefined;
    literals.push(...remaining);
  }
  const condition = rule.when === undefined ? isTrue : conditionOf(rule.when, residual);
  return condition === isFalse ? undefined : { literals, condition };
}

/** The demands of a rule as clauses; undefined where no such call meets them. */
function demandsOf({ require }: Rule, residual: Residual): Clause[] | undefined {
  const { caller, hasFixedScopes } = residual.open;
  if (unmetCredential(require, caller) !== undefined) return undefined;
  const condition = require.when === undefined ? isTrue : conditionOf(require.when, residual);
  if (condition === isFalse || condition === errs) return undefined;
  const all = typeof condition === 'number' ? [] : [[condition]];
  const possible = (scope: string): boolean => caller?.scopes.includes(scope) === true;
  if (!require.scopes.every(possible)) return undefined;
  const any = require.anyScope.filter(possible);
  if (require.anyScope.length > 0 && any.length === 0) return undefined;
  if (hasFixedScopes) return all;
  const has = (scope: string): Literal => ({ variable: scopeVariable(scope), mask: isTrue });
  return [...require.scopes.map((scope) => [has(scope)]), ...(any.length === 0 ? [] : [any.map(has)]), ...all];
}
