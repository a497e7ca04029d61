// The decision on a request: attributes and policy in, allow or deny out. Pure, and a denial unless a rule says otherwise.
import type { McpMessage, McpTarget, NamedThing } from '../mcp/message.ts';
import type { Attributes } from './attributes.ts';
import { createEvaluation } from './condition/evaluation.ts';
import {
  type Decision,
  type DenialReason,
  type Denied,
  noRule,
  open,
  type Reports,
  unknownMember,
  withReports,
} from './decision.ts';
import { missingScopes, requiredScopes, unmetCredential, unmetScope } from './requirement.ts';
import type { Policy, Rule } from './rule.ts';
import { rulesOfCall } from './rule-index.ts';
import type { Selector } from './selectors/selector-type.ts';
import { holds } from './selectors/when.ts';

/**
 * The first rule whose selectors all match governs, whatever it then demands. Where none does, the open methods of an MCP route are allowed
 * (rule `open`) and everything else is denied. A message that names resources or tasks must be allowed by itself and for each of them. Rules in report
 * mode are decided too, change nothing, and stand in `reports`.
 */
export function decide(attributes: Attributes, policy: Policy): Decision {
  const { message } = attributes;
  const decision = decideOne(attributes, policy);
  // A rule for the method allows no subscription to what cannot be judged.
  if (decision.allow && message?.method === 'subscriptions/listen' && !message.membersKnown) {
    return withReports(decision.reports, unknownMember);
  }
  if (message?.named === undefined) return decision;
  const others = message.named.flatMap((thing) => messagesNaming(thing, message));
  return allOf([decision, ...others.map((each) => decideOne({ ...attributes, message: each }, policy))]);
}

/**
 * The messages that stand for a thing that a message names: each must be allowed too. They are the right to read it, and for a resource also the
 * message itself with that target.
 */
export function messagesNaming(thing: NamedThing, message: McpMessage): McpMessage[] {
  if (thing.kind === 'task') return [{ ...message, method: 'tasks/get', target: undefined }];
  const target: McpTarget = { kind: 'resource', name: thing.name };
  return [
    { ...message, target },
    { ...message, method: 'resources/read', target },
  ];
}

function decideOne(attributes: Attributes, policy: Policy): Decision {
  const { rules, index } = policy.withReported ?? policy;
  let reports: Reports;
  let beside: Attributes | undefined;
  // Of the rule before, which often has the same.
  let selectors: readonly Selector[] | undefined;
  let isMatch = false;
  for (const position of rulesOfCall(attributes, index)) {
    const rule = rules[position]!;
    const isEnforced = rule.mode === 'enforce';
    if (!isEnforced) beside ??= apart(attributes);
    const facts = isEnforced ? attributes : beside!;
    let decision: Decision;
    let governs = false;
    try {
      if (rule.selectors !== selectors) {
        isMatch = allMatch(rule.selectors, facts);
        selectors = rule.selectors;
      }
      if (!isMatch) continue;
      if (rule.when !== undefined && !holds(rule.when, facts)) continue;
      governs = true;
      decision = rule.effect === 'deny' ? deny('denied', rule, facts) : demand(rule, facts);
    } catch {
      const { problem } = facts.evaluation.error ?? {};
      decision = deny('condition_error', governs ? rule : { ...rule, message: undefined }, facts, { problem });
    }
    if (isEnforced) return withReports(reports, decision);
    reports = [...(reports ?? []), decision];
  }
  if (policy.kind !== 'mcp' || !isOpen(attributes)) return withReports(reports, noRule);
  return withReports(reports, hasUnknownMember(attributes) ? unknownMember : open);
}

/** The attributes for rules in report mode, whose conditions share an evaluation of their own. */
function apart(attributes: Attributes): Attributes {
  const { evaluation } = attributes;
  evaluation.reports ??= createEvaluation();
  return { ...attributes, evaluation: evaluation.reports };
}

function allMatch(selectors: readonly Selector[], attributes: Attributes): boolean {
  for (const selector of selectors) if (!selector.matches(attributes)) return false;
  return true;
}

/** One decision of several. A denial that no scope cures comes first; missing scopes come together, so that a client asks once. */
export function allOf(decisions: readonly Decision[]): Decision {
  return withReports(reportsOf(decisions), judgementOf(decisions));
}

/** One report a rule: that of a part that it would deny, if there is one. */
function reportsOf(decisions: readonly Decision[]): Reports {
  const all = decisions.flatMap(({ reports = [] }) => reports);
  const rules = distinct(all.map(({ rule }) => rule));
  const denialFirst = [...all.filter(({ allow }) => !allow), ...all];
  return rules.length === 0 ? undefined : rules.map((name) => denialFirst.find(({ rule }) => rule === name)!);
}

function judgementOf(decisions: readonly Decision[]): Decision {
  const denials = decisions.filter((decision) => !decision.allow);
  const final = denials.find(({ reason }) => reason !== 'insufficient_scope');
  if (final !== undefined) return final;
  const requiredScopes = distinct(decisions.flatMap((decision) => decision.requiredScopes));
  const [first] = denials;
  if (first !== undefined) {
    const missingScopes = distinct(denials.flatMap((denied) => denied.missingScopes));
    const { message, ...rest } = first;
    // The words of one rule are not about the scopes of another.
    const isOfAll = message !== undefined && denials.every(({ rule }) => rule === first.rule);
    return { ...rest, requiredScopes, missingScopes, ...(isOfAll && { message }) };
  }
  const limits = distinct(decisions.flatMap((decision) => (decision.allow && decision.limits) || []));
  return {
    allow: true,
    rule: distinct(decisions.map(({ rule }) => rule)).join(', '),
    requiredScopes,
    ...(limits.length > 0 && { limits }),
  };
}

function distinct<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}

/**
 * Scopes are named as missing only when nothing else is: a client must not be sent to fetch what would not help it. Throws where the condition of
 * the requirement errs.
 */
function demand(rule: Rule, attributes: Attributes): Decision {
  const { require } = rule;
  const { caller } = attributes;
  const isTrue = require.when === undefined || holds(require.when, attributes);
  const unmet = unmetCredential(require, caller) ?? (isTrue ? undefined : 'when');
  if (unmet !== undefined) return deny('denied', rule, attributes, { unmet });
  const granted = caller?.scopes ?? [];
  const unmetByScopes = unmetScope(require, granted);
  if (unmetByScopes !== undefined) {
    const reason = caller === undefined ? 'denied' : 'insufficient_scope';
    return deny(reason, rule, attributes, { unmet: unmetByScopes });
  }
  const allowed = { allow: true, rule: rule.name, requiredScopes: requiredScopes(require, granted) } as const;
  return rule.limits === undefined ? allowed : { ...allowed, limits: rule.limits };
}

function deny(
  reason: DenialReason,
  rule: Rule,
  attributes: Attributes,
  cause?: Pick<Denied, 'unmet' | 'problem'>,
): Denied {
  const granted = attributes.caller?.scopes ?? [];
  const required = requiredScopes(rule.require, granted);
  const missing = missingScopes(required, granted);
  const { name, message } = rule;
  const told = message !== undefined && { message };
  return { allow: false, reason, rule: name, requiredScopes: required, missingScopes: missing, ...told, ...cause };
}

/** By exact name, where all that they hold is known. Lists are filtered on their way back; what a `subscriptions/listen` subscribes to needs a rule. */
const openMethods: ReadonlySet<string> = new Set([
  'initialize',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed',
  'ping',
  'server/discover',
  'subscriptions/listen',
  'logging/setLevel',
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
]);

/** The verbs of the transport that carry no message: opening a stream and ending a session. */
const openVerbs: ReadonlySet<string> = new Set(['GET', 'DELETE']);

/** Reports whether a request on an MCP route needs no rule. Client responses belong to a stream that is already theirs. */
export function isOpen({ message, http }: Attributes): boolean {
  if (message === undefined) return openVerbs.has(http.method);
  if (message.method === undefined) return message.kind === 'response';
  return message.target === undefined && openMethods.has(message.method);
}

/** Of a method: what it may name is not known. */
export function hasUnknownMember({ message }: Attributes): boolean {
  return message?.method !== undefined && !message.membersKnown;
}
