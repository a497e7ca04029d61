// Policy tests: each case is judged, and compared with what it expects.
import type { Problem } from '../../config/problem.ts';
import { suggestion } from '../../config/schema/suggestion.ts';
import { type Judgement, judge } from '../judge.ts';
import type { PolicyFile } from '../policy-file.ts';
import { FormError } from '../request-form.ts';
import type { Expectation, PlacedCase } from './cases-file.ts';

/** The outcome of a case, in the words of `expect`. */
export interface CaseOutcome {
  readonly decision: 'allow' | 'deny';
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly rule: string | undefined;
  readonly unmet: string | undefined;
  readonly missing: readonly string[];
  readonly answer: number | undefined;
  readonly message: string | undefined;
}

/** A case that was run. */
export interface CaseResult {
  readonly name: string;
  /** The place of the case. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly ok: boolean;
  readonly expected: Expectation;
  readonly actual: CaseOutcome;
  /** Sentences; none where it passed. */
  readonly differences: readonly string[];
}

/** The results of cases, and their problems: a case that names what the policy file does not have is not run. */
export interface CasesRun {
  readonly results: readonly CaseResult[];
  readonly judgements: readonly Judgement[];
  readonly problems: readonly Problem[];
}

/** Runs cases on a policy. */
export function runCases(cases: readonly PlacedCase[], policyFile: PolicyFile, now: () => number): CasesRun {
  const results: CaseResult[] = [];
  const judgements: Judgement[] = [];
  const problems: Problem[] = [];
  for (const placed of cases) {
    const { expect: expected, name, ...form } = placed.case;
    try {
      const judgement = judge(policyFile, form, { now });
      judgements.push(judgement);
      const actual = outcomeOf(judgement);
      const differences = differencesOf(expected, actual, judgement);
      const { file, line, column } = placed.problem([], '');
      results.push({ name, file, line, column, ok: differences.length === 0, expected, actual, differences });
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
      problems.push(...error.problems.map(({ path, message }) => placed.problem(path, message)));
    }
  }
  return { results, judgements, problems };
}

function outcomeOf({ answer, decision, error }: Judgement): CaseOutcome {
  return {
    decision: error === undefined ? 'allow' : 'deny',
    code: error?.code,
    reason: error?.reason,
    rule: decision?.rule,
    unmet: decision?.allow === false ? decision.unmet : undefined,
    missing: error?.missingScopes ?? [],
    answer: answer?.status,
    message: error?.message,
  };
}

function differencesOf(expected: Expectation, actual: CaseOutcome, { route }: Judgement): string[] {
  const { allow, deny, answer, message, missing, reason, unmet } = expected;
  const differences: string[] = [];
  const compare = (what: string, wanted: unknown, found: unknown): void => {
    if (wanted !== undefined && wanted !== found) differences.push(`${what} is ${show(found)}, not ${show(wanted)}`);
  };
  compare('the decision', allow === undefined ? 'deny' : 'allow', actual.decision);
  if (differences.length > 0) return differences;
  compare('the code', deny === true ? undefined : deny, actual.code);
  const rule = allow === true ? expected.rule : (allow ?? expected.rule);
  if (rule !== undefined && rule !== actual.rule) {
    const names = [...(route?.policy.rules ?? []).map(({ name }) => name), 'open'];
    const lost = names.includes(rule) ? '' : `, which the route does not have${suggestion(rule, names)}`;
    differences.push(`the rule is ${show(actual.rule)}, not ${show(rule)}${lost}`);
  }
  if (reason !== actual.code) compare('the reason', reason, actual.reason ?? actual.code);
  compare('the unmet demand', unmet, actual.unmet);
  compare('the missing scopes', missing?.toSorted().join(' '), actual.missing.toSorted().join(' '));
  if (answer !== undefined && actual.answer === undefined) differences.push('the upstream gives the status');
  else compare('the status', answer, actual.answer);
  if (message !== undefined && !actual.message?.includes(message))
    differences.push(`the message is ${show(actual.message)}, and has no ${show(message)}`);
  return differences;
}

function show(value: unknown): string {
  if (value === undefined || value === '') return 'none';
  return typeof value === 'string' && /[^\w:.-]/.test(value) ? JSON.stringify(value) : String(value);
}
