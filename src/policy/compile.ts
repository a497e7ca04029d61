// Compilation of a route's rules into its policy. Everything is parsed here, once: deciding parses nothing.
import { compileMetaTools, type MetaToolConfig, noMetaTools } from '../mcp/meta-tools.ts';
import { metaToolsOf, type PresetConfig, presetOf, rulesOf } from './presets.ts';
import { compileRequirement, noRequirement } from './requirement.ts';
import { effects, type McpRuleConfig, type PathRuleConfig, type Policy, type Rule, type RuleConfigOf } from './rule.ts';
import {
  type RuleReporter,
  reporterBelow,
  type Selector,
  type SelectorContext,
  type SelectorType,
} from './selectors/selector-type.ts';
import { mcpSelectorTypes, pathSelectorTypes } from './selectors/selector-types.ts';

/** The part of a route that its policy is made of. */
export interface PolicyConfig {
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

/** Dependencies of the compilation. */
export interface CompileContext {
  /** The names of all configured authenticators: a `clients` entry that begins with one of them and `/` is qualified. */
  readonly authenticators: readonly string[];
  /** Takes paths within the route. */
  readonly reporter: RuleReporter;
}

/**
 * Compiles the policy of a route. Undefined where an error was reported. A path route without `rules` and `scopes` may be called by everyone who
 * got past authentication, under the rule name `authenticated`; an empty list of rules allows nothing.
 */
export function compilePolicy(config: PolicyConfig, { authenticators, reporter }: CompileContext): Policy | undefined {
  let isUsable = true;
  const observed: RuleReporter = {
    ...reporter,
    error(path, message) {
      isUsable = false;
      reporter.error(path, message);
    },
  };
  const context = { authenticators, reporter: observed };
  const policy = config.mcp === undefined ? pathPolicy(config, context) : mcpPolicy(config.mcp, context);
  return isUsable ? policy : undefined;
}

function mcpPolicy(mcp: McpPolicyConfig, { authenticators, reporter }: CompileContext): Policy {
  const rules = rulesOf(mcp);
  const metaTools = compileMetaTools(metaToolsOf(mcp));
  const context = { authenticators, reporter: reporterBelow(reporter, 'mcp') };
  return {
    kind: 'mcp',
    rules: compileRules(rules, mcpSelectorTypes, context),
    metaTools,
    toolNames: new Set([
      ...toolsNamedBy([...rules, ...presetOf(mcp).rules]),
      ...metaTools.calls.keys(),
      ...metaTools.searches.keys(),
    ]),
  };
}

function pathPolicy({ scopes, rules }: PolicyConfig, context: CompileContext): Policy {
  if (scopes === undefined && rules === undefined) return openPolicy;
  if (scopes !== undefined && rules !== undefined) {
    context.reporter.error(['scopes'], 'is short for one rule; it cannot stand beside rules');
  }
  const short = { name: 'scopes', allow: {}, require: { scopes: [...(scopes ?? [])] } };
  return {
    kind: 'path',
    rules: compileRules(rules ?? [short], pathSelectorTypes, context),
    metaTools: noMetaTools,
    toolNames: new Set(),
  };
}

/** Allows everything, to everyone who got past authentication. */
export const openPolicy: Policy = {
  kind: 'path',
  rules: [{ name: 'authenticated', effect: 'allow', selectors: [], require: noRequirement }],
  metaTools: noMetaTools,
  toolNames: new Set(),
};

/** The tools that rules name without a glob. */
function toolsNamedBy(rules: readonly McpRuleConfig[]): string[] {
  const tools = rules.flatMap((rule) => [...(rule.allow?.tools ?? []), ...(rule.deny?.tools ?? [])]);
  return tools.filter((tool) => !tool.includes('*'));
}

function compileRules<C>(
  rules: readonly RuleConfigOf<C>[],
  types: readonly SelectorType<C>[],
  { authenticators, reporter }: CompileContext,
): Rule[] {
  return rules.flatMap((rule, index) => {
    const context = { authenticators, reporter: reporterBelow(reporter, 'rules', index) };
    return compileRule({ ...rule, name: rule.name ?? `rules[${index}]` }, types, context);
  });
}

/** None where the rule has not exactly one effect, which is reported. */
function compileRule<C>(
  { name, require, ...selectors }: RuleConfigOf<C> & { readonly name: string },
  types: readonly SelectorType<C>[],
  { authenticators, reporter }: CompileContext,
): Rule[] {
  const requirement =
    require === undefined ? noRequirement : compileRequirement(require, reporterBelow(reporter, 'require'));
  const compiled = effects.flatMap((effect): Rule[] => {
    const config = selectors[effect];
    if (config === undefined) return [];
    const context = { effect, authenticators, reporter: reporterBelow(reporter, effect) };
    const own = types.flatMap((type) => compileSelector(type, config, context) ?? []);
    return [{ name, effect, selectors: own, require: requirement }];
  });
  if (selectors.deny !== undefined && require !== undefined) {
    reporter.error(['require'], 'belongs to allow; a deny demands nothing');
  }
  if (compiled.length === 1) return compiled;
  reporter.error([], 'needs either allow or deny');
  return [];
}

function compileSelector<C>(type: SelectorType<C>, config: C, context: SelectorContext): Selector | undefined {
  try {
    return type.compile(config, context);
  } catch (error) {
    context.reporter.error([], (error as Error).message);
    return undefined;
  }
}
