// Lint for names in MCP rules: those that the server behind the route does not have, and its tools that a rule opens to every caller.
import { nearest } from '../../config/schema/suggestion.ts';
import { methodNames } from '../../mcp/methods.ts';
import type { CompileCondition } from '../condition/condition.ts';
import { comparedWith } from '../condition/condition-lint.ts';
import { compileCoverage, compileGlobs } from '../glob.ts';
import type { KnownNames } from '../presets.ts';
import { effects, type McpRuleConfig } from '../rule.ts';
import type { RouteContext, RuleContext } from '../selectors/selector-type.ts';

type Kind = 'tools' | 'resources' | 'prompts';

const kinds = {
  tools: { one: 'tool', method: 'tools/call' },
  resources: { one: 'resource', method: 'resources/read' },
  prompts: { one: 'prompt', method: 'prompts/get' },
} as const satisfies Record<Kind, { readonly one: string; readonly method: string }>;
const kindNames = Object.keys(kinds) as Kind[];

/** The part of a rule that names things. */
type Target = Readonly<Partial<Record<Kind | 'methods', readonly string[] | undefined>>> & {
  readonly when?: string | undefined;
};

/** Warns of names that are not known. Without known names only methods are, which MCP defines. */
export function lintNames(
  rules: readonly McpRuleConfig[],
  { known, isRecorded }: Pick<RouteContext, 'known' | 'isRecorded'>,
  { warn, show, compileCondition }: RuleContext,
): void {
  rules.forEach((rule, index) => {
    for (const effect of effects) {
      const target: Target = rule[effect] ?? {};
      target.methods?.forEach((glob, place) => {
        const message = methodProblem(glob, show);
        if (message !== undefined) warn([index, effect, 'methods', place], message);
      });
      for (const tool of known === undefined ? [] : toolsComparedIn(target.when, compileCondition)) {
        const message = nameProblem('tools', tool, known!, { show, isExpected: true });
        if (message !== undefined) warn([index, effect, 'when'], message);
      }
      for (const kind of known === undefined ? [] : kindNames) {
        target[kind]?.forEach((glob, place) => {
          const message = nameProblem(kind, glob, known!, { show, isExpected: isRecorded && effect === 'allow' });
          if (message !== undefined) warn([index, effect, kind, place], message);
        });
      }
    }
  });
}

/**
 * The sentence on a name or glob that no known name is or matches. Undefined for a glob that is near to none, unless it is an `allow` and a catalogue
 * was recorded: it may be meant for what later versions and extensions bring.
 */
export function nameProblem(
  kind: Kind,
  glob: string,
  known: KnownNames,
  { show, isExpected }: { readonly show: (value: string) => string; readonly isExpected: boolean },
): string | undefined {
  const names = known[kind];
  const isGlob = glob.includes('*');
  if (isGlob ? names.some(compileGlobs([glob])) : names.includes(glob)) return undefined;
  if (kind === 'resources' && known.resourceTemplates.some((template) => reachesTemplate(glob, template))) {
    return undefined;
  }
  const meant = nearestToGlob(glob, names);
  if (isGlob && !isExpected && meant === undefined) return undefined;
  const near = meant === undefined ? '' : ` (did you mean "${meant}"?)`;
  return `${show(glob)} ${isGlob ? 'matches' : 'is'} no known ${kinds[kind].one} of this server${near}`;
}

function toolsComparedIn(when: string | undefined, compileCondition: CompileCondition): string[] {
  try {
    return when === undefined ? [] : comparedWith(compileCondition(when).ast, 'tool');
  } catch {
    // Reported where the condition is compiled.
    return [];
  }
}

function reachesTemplate(glob: string, template: string): boolean {
  return compileCoverage([glob])(template.split(/\{[^{}]*\}/), new Set()) !== 'none';
}

/** Only what is near to a method of MCP: servers may have methods of their own. */
function methodProblem(glob: string, show: (value: string) => string): string | undefined {
  if (methodNames.some(compileGlobs([glob]))) return undefined;
  const meant = nearestToGlob(glob, methodNames);
  return meant && `${show(glob)} is no method of MCP (did you mean "${meant}"?)`;
}

/** Of a glob the longer one of its ends is compared, with ends of the names. */
function nearestToGlob(glob: string, names: readonly string[]): string | undefined {
  if (!glob.includes('*')) return nearest(glob, names);
  const [start, end] = [glob.slice(0, glob.indexOf('*')), glob.slice(glob.lastIndexOf('*') + 1)];
  const literal = start.length >= end.length ? start : end;
  if (literal.length < 4) return undefined;
  const endsOf = (name: string): string[] =>
    Array.from(name, (_, at) => (literal === start ? name.slice(0, at + 1) : name.slice(at)));
  const meant = nearest(literal, names.flatMap(endsOf));
  return meant && names.find((name) => endsOf(name).includes(meant));
}

/** Warns of rules that allow every caller what a rule of the preset gives a scope for. `everyone` says who that is. */
export function lintOpenedTools(
  rules: readonly McpRuleConfig[],
  presetRules: readonly McpRuleConfig[],
  everyone: string,
  { warn }: RuleContext,
): void {
  const guarded = presetRules.flatMap(({ allow, require: { scopes = [] } = {} }) =>
    kindNames.flatMap((kind) =>
      (allow?.[kind] ?? []).flatMap((name) => scopes.map((scope) => ({ kind, name, scope }))),
    ),
  );
  rules.forEach((rule, index) => {
    const { allow } = rule;
    if (allow === undefined || restrictsCallers(rule)) return;
    const earlier = rules.slice(0, index).flatMap(unconditionalTarget);
    const opened = guarded.filter(
      ({ kind, name }) => reaches(allow, kind, name) && !earlier.some((each) => reaches(each, kind, name)),
    );
    if (opened.length === 0) return;
    const names = [...new Set(opened.map(({ name }) => name))];
    const scopes = [...new Set(opened.map(({ scope }) => scope))];
    const [shown, more] = [names.slice(0, 3).join(', '), names.length > 3 ? ` and ${names.length - 3} more` : ''];
    const demanded = `the preset demands ${scopes.join(', ')}; write require: {scopes: […]}`;
    warn([index, 'allow'], `opens ${shown}${more} to ${everyone}, where ${demanded}`);
  });
}

function restrictsCallers({ allow, require = {} }: McpRuleConfig): boolean {
  const { scopes, anyScope, authenticatedBy, senderConstrained } = require;
  const asksForCaller = [allow?.when, require.when].some((condition) => condition?.includes('principal'));
  const demands = [scopes, anyScope, authenticatedBy, allow?.clients, Object.keys(allow?.claims ?? {})];
  return asksForCaller || senderConstrained === true || demands.some((list) => list !== undefined && list.length > 0);
}

/** The target of a rule that governs every call of what it names. */
function unconditionalTarget({ allow, deny }: McpRuleConfig): Target[] {
  const { clients, claims, networks, when, ...target } = allow ?? deny ?? {};
  return [clients, claims, networks, when].every((selector) => selector === undefined) ? [target] : [];
}

/** Reports whether a rule of this target is about calls of the name. */
function reaches(target: Target, kind: Kind, name: string): boolean {
  const { methods } = target;
  if (methods !== undefined && !compileGlobs(methods)(kinds[kind].method)) return false;
  const names = target[kind];
  if (names !== undefined) return compileGlobs(names)(name);
  return methods !== undefined && kindNames.every((each) => target[each] === undefined);
}

/** Reports whether rules allow some caller some call of a tool; conditions and demands may be met by nobody. */
export function allowsSome(rules: readonly McpRuleConfig[], tool: string): boolean {
  const enforced = rules.filter(({ mode }) => mode !== 'report');
  const about = enforced.filter(({ allow, deny }) => reaches(allow ?? deny ?? {}, 'tools', tool));
  const governing = about.findIndex(
    ({ deny, ...rule }) => deny !== undefined && unconditionalTarget({ deny, ...rule }).length > 0,
  );
  return about.slice(0, governing === -1 ? undefined : governing).some(({ allow }) => allow !== undefined);
}
