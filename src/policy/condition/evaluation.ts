// Evaluation state of a request: the steps that its conditions may still take, and why they have no answer any more.
import type { Coverage } from '../glob.ts';

/** All conditions of one request, or of one list in an answer, together. A step is a part of an expression, or 32 characters of a value. */
export const maxSteps = 250_000;

/** `ambiguous_name` and `inexact_number`: another reader of the arguments could read something else. */
export type ConditionProblem = 'ambiguous_name' | 'inexact_number' | 'too_many_steps' | 'too_many_values';

/** A condition that cannot be answered, whatever the rest of its expression yields. */
class ConditionError extends Error {
  readonly problem: ConditionProblem;

  constructor(problem: ConditionProblem) {
    super(problem);
    this.problem = problem;
  }
}

/** The variables of a condition. `args` is read from the message when a condition first asks for it. */
export interface ConditionVariables {
  readonly principal: Readonly<Record<string, unknown>>;
  readonly args: unknown;
  readonly tool: string | undefined;
  readonly route: string;
  readonly request: { readonly method: string; readonly path: string; readonly address: string };
}

/** An expression over the variables that conditions of one policy have in common. */
export interface SharedExpression {
  /** Equal for the same expression. */
  readonly form: string;
  /** The number of places that have it. */
  places: number;
}

/** The value of an expression in a call, with the steps that it took. */
export interface KnownValue {
  readonly value: unknown;
  readonly steps: number;
}

/** The state that the conditions of a request share. */
export interface EvaluationState {
  steps: number;
  /** The first; CEL itself ignores an error beside an operand that decides. */
  error: ConditionError | undefined;
  /** The variables of the call or list item that was judged last: its conditions share them. */
  variables:
    | { readonly attributes: object; readonly item: object | undefined; readonly values: ConditionVariables }
    | undefined;
  /** Expressions over these variables that conditions have evaluated. */
  known: { readonly of: ConditionVariables; readonly values: Map<SharedExpression, KnownValue> } | undefined;
  /** The arguments as conditions see them, once one has read them. */
  args: unknown;
  /** The texts of the condition that is evaluated: names that it may look for among those of an object. */
  texts: ReadonlySet<string>;
  /** The number of times that all names of an object were read. */
  enumerations: number;
  /** By condition, for those that are the same for every item of a list. */
  coverages: Map<object, Coverage | 'error'> | undefined;
  /** Of the rules in report mode: they take none of the steps above. */
  reports: EvaluationState | undefined;
}

const noTexts: ReadonlySet<string> = new Set();

/** The state before the first condition. */
export function createEvaluation(): EvaluationState {
  return {
    steps: 0,
    error: undefined,
    variables: undefined,
    known: undefined,
    args: undefined,
    texts: noTexts,
    enumerations: 0,
    coverages: undefined,
    reports: undefined,
  };
}

/** Ends this evaluation and all further ones of the request. */
export function fail(state: EvaluationState, problem: ConditionProblem): never {
  state.error ??= new ConditionError(problem);
  throw state.error;
}

/** Counts steps. Throws beyond the limit. */
export function takeSteps(state: EvaluationState, steps: number): void {
  state.steps += steps;
  if (state.steps > maxSteps) fail(state, 'too_many_steps');
}
