// Configured rules → policy. Everything that a decision needs is compiled here, so that deciding parses nothing.
import type { McpRuleConfig, PathRuleConfig } from '../config/schema/config.ts';
import type { Selector, SelectorOptions } from './attributes.ts';
import { compileCondition } from './condition.ts';
import { compileRequirement, type Policy, type Rule } from './rule.ts';
import {
  compileClaims,
  compileClients,
  compileHttpMethods,
  compileNetworkSelector,
  compilePaths,
} from './selectors/clients.ts';
import { compileTarget } from './selectors/target.ts';

export { type Policy, scopesOf } from './rule.ts';

type McpSelectorConfig = NonNullable<McpRuleConfig['allow']>;
type PathSelectorConfig = NonNullable<PathRuleConfig['allow']>;
type SharedSelectorConfig = Pick<McpSelectorConfig, 'clients' | 'claims' | 'networks'>;

export interface PolicyOptions {
  /** The names of all configured authenticators: a `clients` entry that begins with one of them and `/` is qualified. */
  readonly authenticators: readonly string[];
}

export interface PathPolicyConfig {
  /** Short for one rule that allows everything with these scopes. */
  readonly scopes?: readonly string[] | undefined;
  readonly rules?: readonly PathRuleConfig[] | undefined;
}

/** Compiles the rules of an MCP route. Throws an Error with a public message that begins with the rule's place. */
export function compileMcpRules(rules: readonly McpRuleConfig[], options: PolicyOptions): Policy {
  return {
    kind: 'mcp',
    rules: rules.map((rule, index) => compileRule(rule, index, mcpSelectors, options)),
    toolNames: new Set(toolsNamedBy(rules)),
  };
}

/** The tools that rules name without a glob. */
export function toolsNamedBy(rules: readonly McpRuleConfig[]): string[] {
  const tools = rules.flatMap((rule) => [...(rule.allow?.tools ?? []), ...(rule.deny?.tools ?? [])]);
  return tools.filter((tool) => !tool.includes('*'));
}

/**
 * Compiles the rules of a path route. Without `rules` and `scopes` everyone who got past authentication may call it, under the rule name
 * `authenticated`; an empty list of rules allows nothing. Throws an Error with a public message.
 */
export function compilePathRules(config: PathPolicyConfig, options: PolicyOptions): Policy {
  if (config.scopes !== undefined && config.rules !== undefined) {
    throw new Error('scopes is short for one rule: give either scopes or rules');
  }
  const rules = config.rules ?? [
    config.scopes === undefined
      ? { name: 'authenticated', allow: {} }
      : { name: 'scopes', allow: {}, require: { scopes: [...config.scopes] } },
  ];
  return {
    kind: 'path',
    rules: rules.map((rule, index) => compileRule(rule, index, pathSelectors, options)),
    toolNames: new Set(),
  };
}

/** The target is tried first, then the selectors in their order: the cheapest and most telling first. */
type Selectors = Pick<Rule, 'target' | 'selectors'>;

function mcpSelectors(config: McpSelectorConfig, options: SelectorOptions): Selectors {
  return { target: compileTarget(config, options.effect), selectors: sharedSelectors(config, options) };
}

function pathSelectors(config: PathSelectorConfig, options: SelectorOptions): Selectors {
  const selectors = [config.methods && compileHttpMethods(config.methods), config.paths && compilePaths(config.paths)];
  return { target: undefined, selectors: [...selectors.filter(isPresent), ...sharedSelectors(config, options)] };
}

function sharedSelectors(config: SharedSelectorConfig, options: SelectorOptions): Selector[] {
  const selectors = [
    config.clients && compileClients(config.clients, options.authenticators),
    config.claims && compileClaims(config.claims),
    config.networks && compileNetworkSelector(config.networks),
  ];
  return selectors.filter(isPresent);
}

function isPresent(selector: Selector | undefined): selector is Selector {
  return selector !== undefined;
}

type RuleShape<S> = Pick<McpRuleConfig, 'name' | 'require'> & { allow?: S | undefined; deny?: S | undefined };

function compileRule<S extends { when?: string | undefined }>(
  config: RuleShape<S>,
  index: number,
  selectorsOf: (config: S, options: SelectorOptions) => Selectors,
  options: PolicyOptions,
): Rule {
  const place = `rules[${index}]`;
  const { allow, deny } = config;
  const selected = allow ?? deny;
  if (selected === undefined || (allow !== undefined && deny !== undefined)) {
    throw new Error(`${place}: a rule has either allow or deny`);
  }
  if (deny !== undefined && config.require !== undefined)
    throw new Error(`${place}: require belongs to allow, not to deny`);
  const effect = allow === undefined ? 'deny' : 'allow';
  try {
    return {
      name: config.name ?? place,
      effect,
      ...selectorsOf(selected, { ...options, effect }),
      when: selected.when === undefined ? undefined : compileCondition(selected.when),
      require: compileRequirement(config.require),
    };
  } catch (error) {
    throw new Error(`${place}: ${error instanceof Error ? error.message : 'cannot be read'}`, { cause: error });
  }
}
