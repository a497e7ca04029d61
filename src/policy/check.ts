// Checks of rules against their route: names told apart, selectors that can match, demands that can be met, no unreachable rule.
import type { CompileContext, PolicyConfig } from './compile.ts';
import { presetOf } from './presets.ts';
import { checkRequirement } from './requirement.ts';
import { effects, type RuleConfigOf } from './rule.ts';
import { type RouteContext, type RuleReporter, reporterBelow, type SelectorType } from './selectors/selector-type.ts';
import { mcpSelectorTypes, pathSelectorTypes } from './selectors/selector-types.ts';
import { unreachableRules } from './unreachable-rules.ts';

/** Reports what is wrong or doubtful in the rules of a route, those of its preset left out. `compilePolicy` reports what does not compile. */
export function checkPolicy({ mcp, rules = [] }: PolicyConfig, route: RouteContext, context: CompileContext): void {
  const { authenticators, reporter } = context;
  if (mcp === undefined) {
    const below = { authenticators, reporter: reporterBelow(reporter, 'rules') };
    checkRules(rules, pathSelectorTypes, route, below);
    return;
  }
  const below = { authenticators, reporter: reporterBelow(reporter, 'mcp', 'rules') };
  checkRules(mcp.rules, mcpSelectorTypes, route, below);
  // Records tell the rules of a preset by their names.
  const reserved = presetOf(mcp).rules.map(({ name }) => name);
  mcp.rules.forEach(({ name }, index) => {
    if (name === undefined || !reserved.includes(name)) return;
    below.reporter.error([index, 'name'], `${reporter.show(name)} is the name of a rule of the preset`);
  });
}

function checkRules<C extends object>(
  rules: readonly RuleConfigOf<C>[],
  types: readonly SelectorType<C>[],
  route: RouteContext,
  { authenticators, reporter }: CompileContext,
): void {
  checkNames(rules, reporter);
  rules.forEach((rule, index) => {
    const at = reporterBelow(reporter, index);
    for (const effect of effects) {
      const config = rule[effect];
      if (config === undefined) continue;
      const context = { effect, authenticators, reporter: reporterBelow(at, effect) };
      for (const type of types) type.check?.(config, route, context);
    }
    if (rule.deny !== undefined && Object.values(rule.deny).every((selector) => selector === undefined)) {
      at.error(['deny'], 'needs a selector; what no rule allows is denied anyway');
    }
    if (rule.require !== undefined) {
      checkRequirement(rule.require, route, authenticators, reporterBelow(at, 'require'));
    }
  });
  for (const { index, by } of unreachableRules(rules, types)) {
    const name = rules[by]?.name;
    const earlier = name === undefined ? `rules[${by}]` : `rules[${by}] ${reporter.show(name)}`;
    reporter.warn([index], `can never match: ${earlier} comes first and covers it`);
  }
}

function checkNames(rules: readonly RuleConfigOf<unknown>[], reporter: RuleReporter): void {
  const first = new Map<string, number>();
  rules.forEach(({ name }, index) => {
    if (name === undefined) return;
    const other = first.get(name);
    if (other === undefined) first.set(name, index);
    else reporter.error([index, 'name'], `${reporter.show(name)} is the name of rules[${other}] already`);
  });
}
