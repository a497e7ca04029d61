// Compilation of a route's rules into its policy, and their checks. Everything is parsed here, once: deciding parses nothing.
import { compileMetaTools, type MetaToolConfig, noMetaTools } from '../mcp/meta-tools.ts';
import { createConditionCompiler } from './condition/condition.ts';
import { lintArguments } from './lint/argument-lint.ts';
import { lintNames, lintOpenedTools } from './lint/name-lint.ts';
import { unreachableRules } from './lint/unreachable-rules.ts';
import { metaToolsOf, type PresetConfig, presetOf } from './presets.ts';
import { compileRequirement, noRequirement } from './requirement.ts';
import { effects, type McpRuleConfig, type PathRuleConfig, type Policy, type Rule, type RuleConfigOf } from './rule.ts';
import { indexRules } from './rule-index.ts';
import {
  contextBelow,
  type PolicyContext,
  type RuleContext,
  type Selector,
  type SelectorContext,
  type SelectorType,
} from './selectors/selector-type.ts';
import { mcpSelectorTypes, pathSelectorTypes } from './selectors/selector-types.ts';
import { compileWhen } from './selectors/when.ts';

/** The part of a route that its policy is made of. */
export interface PolicyConfig {
  readonly authenticate?: unknown;
  /** Short for one rule of a path route that allows everything with these scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** Of a path route. */
  readonly rules?: readonly PathRuleConfig[] | undefined;
  readonly mcp?: McpPolicyConfig | undefined;
}

/** The policy keys of an MCP route. */
export interface McpPolicyConfig {
  readonly preset?: PresetConfig | undefined;
  readonly rules: readonly McpRuleConfig[];
  readonly metaTools?: Readonly<Record<string, MetaToolConfig>> | undefined;
}

/**
 * Compiles the policy of a route, and checks it where the context has the route. Undefined where an error was reported. A path route without
 * `rules` and `scopes` may be called by everyone who got past authentication, under the rule name `authenticated`; an empty list of rules allows
 * nothing.
 */
export function compilePolicy(config: PolicyConfig, given: PolicyContext): Policy | undefined {
  let isUsable = true;
  const context: RuleContext = {
    ...given,
    compileCondition: createConditionCompiler(),
    selectors: new Map(),
    error(path, message) {
      isUsable = false;
      given.error(path, message);
    },
  };
  const policy = config.mcp === undefined ? pathPolicy(config, context) : mcpPolicy(config.mcp, context);
  return isUsable ? policy : undefined;
}

function mcpPolicy(mcp: McpPolicyConfig, context: RuleContext): Policy {
  const preset = presetOf(mcp);
  const below = contextBelow(context, 'mcp', 'rules');
  // Records tell the rules of a preset by their names.
  const reserved = preset.rules.map(({ name }) => name);
  mcp.rules.forEach(({ name }, index) => {
    if (name === undefined || !reserved.includes(name)) return;
    below.error([index, 'name'], `${context.show(name)} is the name of a rule of the preset`);
  });
  if (context.route !== undefined) {
    lintNames(mcp.rules, context.route, below);
    lintArguments(mcp.rules, context.route.inputSchemas, below);
    lintOpenedTools(mcp.rules, preset.rules, context.route.callers?.everyone ?? 'everybody', below);
  }
  const unchecked = { ...contextBelow(context, 'mcp', 'preset'), route: undefined };
  const metaTools = compileMetaTools(metaToolsOf(mcp));
  const rules = [
    ...compileRules(mcp.rules, mcpSelectorTypes, below),
    ...compileRules(mcp.preset?.rules === true ? preset.rules : [], mcpSelectorTypes, unchecked),
  ];
  return {
    kind: 'mcp',
    ...listRules(rules),
    metaTools,
    toolNames: new Set([
      ...toolsNamedBy([...mcp.rules.filter(({ mode }) => mode !== 'report'), ...preset.rules]),
      ...metaTools.calls.keys(),
      ...metaTools.searches.keys(),
    ]),
  };
}

function pathPolicy({ authenticate, scopes, rules }: PolicyConfig, context: RuleContext): Policy {
  if (scopes === undefined && rules === undefined) return authenticate === 'none' ? openPolicy : authenticatedPolicy;
  if (scopes !== undefined && rules !== undefined) {
    context.error(['scopes'], 'is short for one rule; it cannot stand beside rules');
  }
  const short = { name: 'scopes', allow: {}, require: { scopes: [...(scopes ?? [])] } };
  const compiled =
    rules === undefined
      ? compileRules([short], pathSelectorTypes, { ...context, route: undefined })
      : compileRules(rules, pathSelectorTypes, contextBelow(context, 'rules'));
  return policyOfPaths(compiled);
}

function policyOfPaths(rules: readonly Rule[]): Policy {
  return { kind: 'path', ...listRules(rules), metaTools: noMetaTools, toolNames: new Set() };
}

function listRules(all: readonly Rule[]): Pick<Policy, 'rules' | 'index' | 'withReported'> {
  const list = (rules: readonly Rule[]) => ({ rules, index: indexRules(rules) });
  const enforced = all.filter(({ mode }) => mode === 'enforce');
  return { ...list(enforced), withReported: enforced.length === all.length ? undefined : list(all) };
}

/** Allows everything, to everyone who got past authentication. */
const authenticatedPolicy = policyOfOneRule('authenticated');
/** Allows everything, on a route without authentication. */
export const openPolicy = policyOfOneRule('anyone');

function policyOfOneRule(name: string): Policy {
  return policyOfPaths([
    { name, effect: 'allow', selectors: [], when: undefined, require: noRequirement, mode: 'enforce' },
  ]);
}

/** The tools that rules name without a glob. */
function toolsNamedBy(rules: readonly McpRuleConfig[]): string[] {
  const tools = rules.flatMap((rule) => [...(rule.allow?.tools ?? []), ...(rule.deny?.tools ?? [])]);
  return tools.filter((tool) => !tool.includes('*'));
}

function compileRules<C extends Conditional>(
  rules: readonly RuleConfigOf<C>[],
  types: readonly SelectorType<C>[],
  context: RuleContext,
): Rule[] {
  if (context.route !== undefined) checkTogether(rules, types, context);
  return rules.flatMap((rule, index) =>
    compileRule({ ...rule, name: rule.name ?? `rules[${index}]` }, types, contextBelow(context, index)),
  );
}

/** Reports rules of one name, and rules that an earlier one covers. */
function checkTogether<C>(
  rules: readonly RuleConfigOf<C>[],
  types: readonly SelectorType<C>[],
  context: RuleContext,
): void {
  const first = new Map<string, number>();
  rules.forEach(({ name }, index) => {
    if (name === undefined) return;
    const other = first.get(name);
    if (other === undefined) first.set(name, index);
    else context.error([index, 'name'], `${context.show(name)} is the name of rules[${other}] already`);
  });
  for (const { index, by } of unreachableRules(rules, types)) {
    const name = rules[by]?.name;
    const earlier = name === undefined ? `rules[${by}]` : `rules[${by}] ${context.show(name)}`;
    context.warn([index], `can never match: ${earlier} comes first and covers it`);
  }
}

/** Selectors, and the condition beside them. */
interface Conditional {
  readonly when?: string | undefined;
}

/** None where the rule has not exactly one effect, which is reported. */
function compileRule<C extends Conditional>(
  { name, require, message, limits = [], mode = 'enforce', ...selectors }: RuleConfigOf<C> & { readonly name: string },
  types: readonly SelectorType<C>[],
  context: RuleContext,
): Rule[] {
  const requirement = compileRequirement(require ?? {}, contextBelow(context, 'require'));
  const compiled = effects.flatMap((effect): Rule[] => {
    const config = selectors[effect];
    if (config === undefined) return [];
    const below = { ...contextBelow(context, effect), effect };
    const compiled = compileSelectors(types, config, below);
    const when = compileWhen(config.when, contextBelow(below, 'when'));
    const under = limits.length > 0 && { limits };
    return [{ name, effect, selectors: compiled, when, require: requirement, message, ...under, mode }];
  });
  const { deny } = selectors;
  if (deny !== undefined && require !== undefined) {
    context.error(['require'], 'belongs to allow; a deny demands nothing');
  }
  if (deny !== undefined && limits.length > 0) {
    context.error(['limits'], 'belong to allow; what is denied takes nothing from a limit');
  } else if (mode === 'report' && limits.length > 0) {
    context.warn(['limits'], 'are not asked while the rule is only reported');
  }
  if (deny !== undefined && Object.values(deny).every((selector) => selector === undefined)) {
    context.error(['deny'], 'needs a selector; what no rule allows is denied anyway');
  }
  checkMessage(message, deny !== undefined || Object.values(require ?? {}).some(Boolean), context);
  if (compiled.length === 1) return compiled;
  context.error([], 'needs either allow or deny');
  return [];
}

/** Callers read it: no value that was put in may stand in it. */
function checkMessage(message: string | undefined, isTold: boolean, context: RuleContext): void {
  if (message === undefined) return;
  if (context.isInterpolated(message)) {
    context.error(['message'], 'must not hold an interpolated value: callers are told it');
  } else if (!isTold) context.warn(['message'], 'is told to nobody: the rule denies nothing and has no require');
}

function compileSelectors<C extends Conditional>(
  types: readonly SelectorType<C>[],
  config: C,
  context: SelectorContext,
): readonly Selector[] {
  const compiled = types.flatMap((type) => compileSelector(type, config, context) ?? []);
  const key = `${context.effect} ${JSON.stringify({ ...config, when: undefined })}`;
  const shared = context.selectors.get(key) ?? compiled;
  context.selectors.set(key, shared);
  return shared;
}

function compileSelector<C>(type: SelectorType<C>, config: C, context: SelectorContext): Selector | undefined {
  if (context.route !== undefined) type.check?.(config, context.route, context);
  try {
    const compiled = type.compile(config, context);
    return compiled && { ...compiled, wanted: wantedOf(type, config, context), had: (call) => type.had(call, config) };
  } catch (error) {
    context.error([], (error as Error).message);
    return undefined;
  }
}

/** The keys of a selector that are given. */
function wantedOf<C>({ keys }: SelectorType<C>, config: C, { isInterpolated }: SelectorContext): Selector['wanted'] {
  const given = Object.entries(config as object).filter(([key, value]) => key in keys && value !== undefined);
  const isHidden = (value: unknown): boolean =>
    typeof value === 'string'
      ? isInterpolated(value)
      : typeof value === 'object' && value !== null && Object.values(value).some(isHidden);
  const wanted = Object.fromEntries(given);
  if (!isHidden(wanted)) return wanted;
  const show = (_key: string, value: unknown): unknown =>
    typeof value === 'string' && isInterpolated(value) ? 'the interpolated value' : value;
  return JSON.parse(JSON.stringify(wanted), show) as Selector['wanted'];
}
