// Checks of rules: one effect each, conditions that compile, clients and authenticators that can be meant, no rule behind a wider one.
import { authenticatorNamesOf } from '../../authn/requirements.ts';
import { pathPatternCovers } from '../../http/path-pattern.ts';
import { compileMcpRules } from '../../policy/compile.ts';
import { compileCondition, conditionWarnings, unguardedFields } from '../../policy/condition.ts';
import { metaToolsOf, presetOf } from '../../policy/presets.ts';
import { parseClientEntry } from '../../policy/selectors/clients.ts';
import { shadowedRules } from '../../policy/unreachable-rules.ts';
import { formatPath } from '../problem.ts';
import type { McpConfig, McpRuleConfig, PathRuleConfig, RouteConfig, RuleConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { nearest, suggestion } from '../schema/suggestion.ts';
import { actingAuthenticators, alternativesOf, authenticatorNamed } from './authenticate.ts';
import type { CheckContext } from './context.ts';

type PathSelector = NonNullable<PathRuleConfig['allow']>;
type McpSelector = NonNullable<McpRuleConfig['allow']>;

export function checkRules(context: CheckContext, route: RouteConfig, base: Path): void {
  const path = route.mcp === undefined ? [...base, 'rules'] : [...base, 'mcp', 'rules'];
  const rules: readonly RuleConfig[] = route.mcp?.rules ?? route.rules ?? [];
  checkNames(context, rules, path);
  if (route.mcp !== undefined) checkPreset(context, route.mcp, path);
  rules.forEach((rule, index) => {
    const at = [...path, index];
    checkEffect(context, rule, at);
    for (const key of ['allow', 'deny'] as const) {
      const selector = rule[key];
      if (selector === undefined) continue;
      const where = [...at, key];
      checkClients(context, route, selector.clients ?? [], [...where, 'clients']);
      checkClaims(context, route, selector.claims, [...where, 'claims']);
      checkCondition(context, selector.when, [...where, 'when']);
      if (route.mcp === undefined) checkPaths(context, route, selector, where);
      else checkTarget(context, selector, key, where);
    }
    checkRequirement(context, route, rule, [...at, 'require']);
  });
  for (const { index, by } of shadowedRules(rules)) {
    context.warn([...path, index], `can never match: ${ruleAt(context, rules, by)} comes first and covers it`);
  }
}

function ruleAt(context: CheckContext, rules: readonly RuleConfig[], index: number): string {
  const name = rules[index]?.name;
  return name === undefined ? `rules[${index}]` : `rules[${index}] ${context.show(name)}`;
}

function checkNames(context: CheckContext, rules: readonly RuleConfig[], path: Path): void {
  const first = new Map<string, number>();
  rules.forEach(({ name }, index) => {
    if (name === undefined) return;
    const other = first.get(name);
    if (other === undefined) first.set(name, index);
    else context.error([...path, index, 'name'], `${context.show(name)} is the name of rules[${other}] already`);
  });
}

/** Records tell the rules of a preset by their names. And a meta-tool is never what a call is about, but the way to it. */
function checkPreset(context: CheckContext, mcp: McpConfig, path: Path): void {
  const reserved = new Set(presetOf(mcp).rules.map(({ name }) => name));
  const metaTools = new Map(Object.entries(metaToolsOf(mcp)));
  mcp.rules.forEach(({ name, allow }, index) => {
    if (name !== undefined && reserved.has(name)) {
      context.error([...path, index, 'name'], `${context.show(name)} is the name of a rule of the preset`);
    }
    allow?.tools?.forEach((tool, position) => {
      const metaTool = metaTools.get(tool);
      if (metaTool === undefined || 'results' in metaTool) return;
      const at = [...path, index, 'allow', 'tools', position];
      context.warn(at, `can never match: ${context.show(tool)} is looked through; name the tools that it may call`);
    });
  });
}

function checkEffect(context: CheckContext, rule: RuleConfig, at: Path): void {
  if ((rule.allow === undefined) === (rule.deny === undefined)) context.error(at, 'needs either allow or deny');
  if (rule.deny !== undefined && rule.require !== undefined) {
    context.error([...at, 'require'], 'belongs to allow; a deny demands nothing');
  }
  if (rule.deny !== undefined && Object.values(rule.deny).every((selector) => selector === undefined)) {
    context.error([...at, 'deny'], 'needs a selector; what no rule allows is denied anyway');
  }
}

/** An allow without a target would open every method there is and will be. */
function checkTarget(context: CheckContext, selector: McpSelector, effect: 'allow' | 'deny', at: Path): void {
  const { tools, resources, prompts, methods } = selector;
  if (effect === 'allow' && (tools ?? resources ?? prompts ?? methods) === undefined) {
    context.error(at, 'needs a target: tools, resources, prompts or methods');
  }
  try {
    compileMcpRules([{ [effect]: { tools, resources, prompts, methods } } as McpRuleConfig], { authenticators: [] });
  } catch (error) {
    context.error(at, (error as Error).message.replace(/^rules\[0\]: /, ''));
  }
}

function checkPaths(context: CheckContext, route: RouteConfig, selector: PathSelector, at: Path): void {
  selector.paths?.forEach((path, index) => {
    if (!pathPatternCovers(route.path, path)) {
      context.error(
        [...at, 'paths', index],
        `can never match: it is not within the route's path ${context.show(route.path)}`,
      );
    }
  });
  selector.methods?.forEach((method, index) => {
    const { methods } = route;
    if (methods === undefined || methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))) return;
    context.error([...at, 'methods', index], "can never match: it is not among the route's methods");
  });
}

/** With several authenticators that may name clients, a bare id could be another issuer's client of that name. */
function checkClients(context: CheckContext, route: RouteConfig, clients: readonly string[], at: Path): void {
  if (clients.length === 0) return;
  if (route.authenticate === 'none') {
    context.error(at, 'cannot be enforced with authenticate: none');
    return;
  }
  const acting = actingAuthenticators(alternativesOf(route.authenticate, []), context.draft.authenticators ?? {});
  clients.forEach((entry, index) => {
    const { authenticator } = parseClientEntry(entry, context.declared.authenticators);
    const where = [...at, index];
    if (authenticator === undefined) {
      if (acting.length < 2) return;
      const example = context.show(qualified(entry, acting));
      context.error(where, `several authenticators can name clients on this route; write which, such as ${example}`);
    } else if (!acting.includes(authenticator)) {
      context.error(
        where,
        `can never match: authenticator ${context.show(authenticator)} names no client on this route`,
      );
    }
  });
}

/** How an entry could be written: with the authenticator that its misspelt qualifier is near to, else with the first. */
function qualified(entry: string, acting: readonly string[]): string {
  const slash = entry.indexOf('/');
  const meant = slash === -1 ? undefined : nearest(entry.slice(0, slash), acting);
  return meant === undefined ? `${acting[0]}/${entry}` : meant + entry.slice(slash);
}

/** Only tokens carry claims, and of these only the configured ones are kept. */
function checkClaims(context: CheckContext, route: RouteConfig, claims: PathSelector['claims'], at: Path): void {
  if (claims === undefined) return;
  if (route.authenticate === 'none') {
    context.error(at, 'cannot be enforced with authenticate: none');
    return;
  }
  const names = authenticatorNamesOf(route.authenticate);
  const configs = names.map((name) => authenticatorNamed(context, name));
  if (configs.includes(undefined)) return;
  const known = configs.flatMap((config) =>
    config !== undefined && 'claims' in config ? Object.keys(config.claims) : [],
  );
  for (const claim of Object.keys(claims)) {
    if (known.includes(claim)) continue;
    const near = suggestion(claim, known);
    context.error(
      [...at, claim],
      `no authenticator of this route has the claim ${context.show(claim)} in its claims${near}`,
    );
  }
}

function checkRequirement(context: CheckContext, route: RouteConfig, { require }: RuleConfig, at: Path): void {
  if (require === undefined) return;
  checkCondition(context, require.when, [...at, 'when']);
  if (route.authenticate === 'none') {
    for (const key of ['scopes', 'anyScope', 'authenticatedBy', 'senderConstrained'] as const) {
      if (require[key] !== undefined && require[key] !== false)
        context.error([...at, key], 'can never be met with authenticate: none');
    }
    return;
  }
  const names = authenticatorNamesOf(route.authenticate);
  require.authenticatedBy?.forEach((name, index) => {
    if (names.includes(name)) return;
    const unknown = !context.declared.authenticators.includes(name);
    context.error(
      [...at, 'authenticatedBy', index],
      unknown
        ? `unknown authenticator ${context.show(name)}${suggestion(name, context.declared.authenticators)}`
        : `can never be met: ${formatPath(at.slice(0, 2))}.authenticate does not name ${context.show(name)}; add it to optional`,
    );
  });
}

/** What the compiler says repeats parts of the condition. */
function checkCondition(context: CheckContext, source: string | undefined, at: Path): void {
  if (source === undefined) return;
  const hidden = context.isInterpolated(source);
  try {
    compileCondition(source);
  } catch (error) {
    context.error(at, hidden ? 'the condition cannot be compiled' : (error as Error).message);
    return;
  }
  if (hidden) return;
  for (const field of unguardedFields(source)) {
    context.warn(at, `${field} may be absent, and then the call is denied; guard it with has(${field})`);
  }
  for (const warning of conditionWarnings(source)) context.warn(at, warning);
}
