// Explanation of a decision: the selectors, conditions and demands of each rule. Pure, and total: it never throws.
import type { McpTarget } from '../mcp/message.ts';
import type { Attributes } from './attributes.ts';
import { createEvaluation } from './condition/evaluation.ts';
import { allOf, hasUnknownMember, isOpen, messagesNaming } from './decide.ts';
import { type Decision, noRule, open, unknownMember, withReports } from './decision.ts';
import type { Policy } from './rule.ts';
import { type RuleReading, readRule, unread } from './rule-reading.ts';

export type { ConditionReading, DemandReading, RuleReading, ScopeReading, SelectorReading } from './rule-reading.ts';

/** The reading of a decision. */
export interface Explanation {
  /** The same as that of `decide`. */
  readonly decision: Decision;
  /** The message itself, and the things that it names beside its target. All must be allowed. */
  readonly parts: readonly PartReading[];
}

/** The reading of the rules for one thing that a request asks for. */
export interface PartReading {
  /** Of a message; undefined for a request without one, and in responses. */
  readonly method: string | undefined;
  readonly target: McpTarget | undefined;
  /** The meta-tool that the call was looked through for. */
  readonly via: string | undefined;
  /** All of the policy, in order. */
  readonly rules: readonly RuleReading[];
  /** The reason of a decision that no rule made; undefined where one governs. */
  readonly otherwise: 'open' | 'no_rule' | 'unknown_member' | undefined;
  readonly decision: Decision;
}

/** Explains the decision on a request. `stated` are the scopes that the token names itself, before `maxScopes`, where they are known. */
export function explain(
  attributes: Attributes,
  policy: Policy,
  stated: readonly string[] = [],
  evaluation = createEvaluation(),
): Explanation {
  // Of its own, as each evaluation takes steps.
  const request = { ...attributes, evaluation };
  const { message } = request;
  const own = readPart(request, policy, stated);
  if (own.decision.allow && message?.method === 'subscriptions/listen' && !message.membersKnown) {
    const decision = withReports(own.decision.reports, unknownMember);
    const part: PartReading = { ...own, otherwise: 'unknown_member', decision };
    return { decision: part.decision, parts: [part] };
  }
  if (message?.named === undefined) return { decision: own.decision, parts: [own] };
  const others = message.named.flatMap((thing) => messagesNaming(thing, message));
  const parts = [own, ...others.map((each) => readPart({ ...request, message: each }, policy, stated))];
  return { decision: allOf(parts.map(({ decision }) => decision)), parts };
}

function readPart(attributes: Attributes, policy: Policy, stated: readonly string[]): PartReading {
  const { message } = attributes;
  // The conditions of rules in report mode share an evaluation of their own.
  const { evaluation } = attributes;
  evaluation.reports ??= createEvaluation();
  const beside = { ...attributes, evaluation: evaluation.reports };
  const reports: Decision[] = [];
  let decision: Decision | undefined;
  const rules = (policy.withReported ?? policy).rules.map((rule): RuleReading => {
    if (decision !== undefined) return unread(rule);
    const isEnforced = rule.mode === 'enforce';
    const reading = readRule(rule, isEnforced ? attributes : beside, stated);
    if (isEnforced) decision = reading.decision;
    else if (reading.decision !== undefined) reports.push(reading.decision);
    return reading;
  });
  const otherwise = decision === undefined ? withoutRule(attributes, policy) : undefined;
  decision ??= { open, no_rule: noRule, unknown_member: unknownMember }[otherwise!];
  return {
    method: message?.method,
    target: message?.target,
    via: message?.via,
    rules,
    otherwise,
    decision: withReports(reports.length > 0 ? reports : undefined, decision),
  };
}

function withoutRule(attributes: Attributes, { kind }: Policy): NonNullable<PartReading['otherwise']> {
  if (kind !== 'mcp' || !isOpen(attributes)) return 'no_rule';
  return hasUnknownMember(attributes) ? 'unknown_member' : 'open';
}
