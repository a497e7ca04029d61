// Checks of the names of scopes: those of the vocabulary, those that are nearly another, and caps that no caller gets beyond.
import { alternativesOf } from '../../../authn/alternatives.ts';
import { impliedBy } from '../../../authn/caller/scopes.ts';
import { membersRead } from '../../../policy/condition/condition-types.ts';
import { presetOf } from '../../../policy/presets.ts';
import type { RequirementConfig } from '../../../policy/requirement.ts';
import type { Policy, RuleConfig } from '../../../policy/rule.ts';
import { parseClientEntry } from '../../../policy/selectors/clients.ts';
import type { PlaceOfKey } from '../../files/keys-file.ts';
import type { RouteConfig } from '../../schema/config.ts';
import type { Path } from '../../schema/reporter.ts';
import { editDistance, suggestion } from '../../schema/suggestion.ts';
import { type CheckContext, type Where, whereBelow } from '../context.ts';
import { actingAuthenticators, authenticatorNamed } from './authenticate.ts';

/** Checks every scope of the file, also those in conditions of compiled policies. */
export function checkScopeNames(
  context: CheckContext,
  placeOfKey: PlaceOfKey,
  policies: ReadonlyMap<string, Policy>,
): void {
  const { admin, routes = [], scopes: vocabulary } = context.draft;
  const uses = [
    ...usesAt(admin?.allow?.scopes, ['admin', 'allow', 'scopes'], 'demanded'),
    ...routes.flatMap((route, index) => usesIn(route, index, policies)),
    ...grants(context, placeOfKey),
  ];
  if (vocabulary === undefined) warnOfNearScopes(context, uses);
  else if (context.isWhole(['scopes'])) checkVocabulary(context, uses, Object.keys(vocabulary));
  for (const [index, route] of routes.entries()) checkCaps(context, route, ['routes', index]);
}

interface ScopeUse {
  readonly scope: string;
  /** Undefined for a rule of a preset, which is not in the file. */
  readonly where: Where | undefined;
  /** `demanded` by a rule, `granted` to callers, or `asked` for by challenges and implications, which have a check of their own. */
  readonly by: 'demanded' | 'granted' | 'asked';
}

function usesAt(scopes: readonly string[] | undefined, where: Where, by: ScopeUse['by']): ScopeUse[] {
  return (scopes ?? []).map((scope, index) => ({ scope, where: whereBelow(where, index), by }));
}

function usesIn(route: RouteConfig, index: number, policies: ReadonlyMap<string, Policy>): ScopeUse[] {
  const at: Path = ['routes', index];
  const compiled = policies.get(route.name)?.rules ?? [];
  const ofPreset = route.mcp?.preset?.rules === true ? presetOf(route.mcp).rules : [];
  return [
    ...usesAt(route.scopes, [...at, 'scopes'], 'demanded'),
    ...usesAt(route.mcp?.challengeScopes, [...at, 'mcp', 'challengeScopes'], 'asked'),
    ...ownRules(route, at).flatMap(({ rule, path }, position) => {
      const { require = {}, allow } = rule;
      const { effect, when, require: demands } = compiled[position] ?? {};
      const inCondition = (condition: typeof when, key: string): ScopeUse[] =>
        condition?.source === undefined
          ? []
          : membersRead(condition.ast, 'principal.scopes').map((scope) => ({
              scope,
              where: [...path, key, 'when'],
              by: 'demanded',
            }));
      return [
        ...usesAt(require.scopes, [...path, 'require', 'scopes'], 'demanded'),
        ...usesAt(require.anyScope, [...path, 'require', 'anyScope'], 'demanded'),
        ...inCondition(when, effect ?? (allow === undefined ? 'deny' : 'allow')),
        ...inCondition(demands?.when, 'require'),
      ];
    }),
    ...ofPreset.flatMap(({ require }) =>
      (require?.scopes ?? []).map((scope) => ({ scope, where: undefined, by: 'demanded' as const })),
    ),
  ];
}

function ownRules({ mcp, rules = [] }: RouteConfig, at: Path): { rule: RuleConfig; path: Path }[] {
  const [own, below]: [readonly RuleConfig[], Path] =
    mcp === undefined ? [rules, [...at, 'rules']] : [mcp.rules, [...at, 'mcp', 'rules']];
  return own.map((rule, index) => ({ rule, path: [...below, index] }));
}

function grants({ draft }: CheckContext, placeOfKey: PlaceOfKey): ScopeUse[] {
  const { authenticators = {}, scopeImplies = {} } = draft;
  return [
    ...Object.entries(authenticators).flatMap(([name, config]) => {
      const at: Path = ['authenticators', name];
      const keys = config.type === 'apiKey' ? (config.keys ?? []) : [];
      const certificates = config.type === 'mtls' ? config.allow : [];
      return [
        ...usesAt(config.maxScopes, [...at, 'maxScopes'], 'granted'),
        ...keys.flatMap(({ scopes }, index) =>
          usesAt(scopes, whereBelow(placeOfKey(name, index), 'scopes'), 'granted'),
        ),
        ...certificates.flatMap(({ scopes }, index) => usesAt(scopes, [...at, 'allow', index, 'scopes'], 'granted')),
      ];
    }),
    ...Object.entries(scopeImplies).flatMap(([scope, implied]) => [
      { scope, where: ['scopeImplies', scope], by: 'granted' as const },
      ...usesAt(implied, ['scopeImplies', scope], 'asked'),
    ]),
  ];
}

function checkVocabulary(context: CheckContext, uses: readonly ScopeUse[], vocabulary: readonly string[]): void {
  const unknown = uses.filter(({ scope }) => !vocabulary.includes(scope));
  for (const { scope, where } of unknown) {
    if (where === undefined) continue;
    context.error(where, `${context.show(scope)} is not in scopes${suggestion(scope, vocabulary)}`);
  }
  const ofPresets = [...new Set(unknown.flatMap(({ scope, where }) => (where === undefined ? [scope] : [])))];
  if (ofPresets.length > 0) context.warn(['scopes'], `lacks ${ofPresets.join(', ')}, which rules of a preset demand`);
}

/** A scope that is used once, and nearly one that counts for more: used more often, or demanded, or else the first. */
function warnOfNearScopes(context: CheckContext, uses: readonly ScopeUse[]): void {
  const [weights, counts] = [new Map<string, number>(), new Map<string, number>()];
  for (const { scope, where, by } of uses) {
    const weight = where === undefined ? 100 : by === 'demanded' ? 10 : 1;
    weights.set(scope, (weights.get(scope) ?? 0) + weight);
    counts.set(scope, (counts.get(scope) ?? 0) + 1);
  }
  const scopes = [...weights.keys()];
  if (scopes.length > maxCompared) return;
  const words = new Map(scopes.map((scope) => [scope, wordsOf(scope)]));
  for (const { scope, where, by } of uses) {
    if (where === undefined || by === 'asked' || counts.get(scope)! > 1) continue;
    const [own, position] = [weights.get(scope)!, scopes.indexOf(scope)];
    const meant = scopes.find((other, index) => {
      const its = weights.get(other)!;
      const isAbove = its > own || (its === own && index < position);
      return isAbove && isNearly(words.get(scope)!, words.get(other)!);
    });
    if (meant === undefined) continue;
    context.warn(where, `${context.show(scope)} is nearly another scope (did you mean ${context.show(meant)}?)`);
  }
}

/** Each is compared with each. */
const maxCompared = 300;

/** The same but for case and separators, or for a letter in a word of four or more. */
function isNearly(words: readonly string[], others: readonly string[]): boolean {
  if (words.join('') === others.join('')) return true;
  return words.length === others.length && words.every((word, index) => isNearlyWord(word, others[index]!));
}

function wordsOf(scope: string): string[] {
  return scope.toLowerCase().split(/[^a-z0-9]+/);
}

/** Words that differ in their digits are names of different things. */
function isNearlyWord(one: string, other: string): boolean {
  if (one === other) return true;
  const shorter = Math.min(one.length, other.length);
  if (shorter < 4 || one.replace(/\d/g, '') === other.replace(/\d/g, '')) return false;
  return editDistance(one, other) <= Math.max(1, Math.floor(shorter / 6));
}

/** Warns of demands that no caller of the route can meet, because of `maxScopes`. Rules of a preset demand more than one may want to grant. */
function checkCaps(context: CheckContext, route: RouteConfig, at: Path): void {
  const acting = actingAuthenticators(alternativesOf(route.authenticate), context.draft.authenticators ?? {});
  const check = (demands: RequirementConfig, path: Path, clients: readonly string[] | undefined): void => {
    const owners = clients?.map((entry) => parseClientEntry(entry, context.declared.authenticators).authenticator);
    const governed = owners?.includes(undefined) === false ? acting.filter((name) => owners.includes(name)) : acting;
    const reaches = (scope: string) => governed.length === 0 || governed.some((name) => canGrant(context, name, scope));
    const names = governed.map((name) => context.show(name)).join(', ');
    demands.scopes?.forEach((scope, index) => {
      if (reaches(scope)) return;
      const message = `no caller can ever have ${context.show(scope)}: maxScopes of ${names} does not hold it`;
      context.warn([...path, 'scopes', index], message);
    });
    if (demands.anyScope?.some(reaches) === false) {
      context.warn([...path, 'anyScope'], `no caller can ever have one of them: maxScopes of ${names} holds none`);
    }
  };
  if (route.scopes !== undefined) check({ scopes: route.scopes }, at, undefined);
  for (const { rule, path } of ownRules(route, at))
    check(rule.require ?? {}, [...path, 'require'], rule.allow?.clients);
}

function canGrant(context: CheckContext, name: string, scope: string): boolean {
  const cap = authenticatorNamed(context, name)?.maxScopes;
  const { scopeImplies = {} } = context.draft;
  return cap === undefined || cap.some((each) => each === scope || impliedBy(each, scopeImplies).includes(scope));
}
