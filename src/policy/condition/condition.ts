// CEL conditions: compiled when the file is loaded, bounded when they run, and an error in one is never an answer.
import { createRequire } from 'node:module';
import type * as cel from '@marcbachmann/cel-js';
import { originalOf } from './argument-view.ts';
import { meterExpression } from './condition-meter.ts';
import { checkSyntax, hasLoop, namesIn, textsIn } from './condition-syntax.ts';
import { checkMembers, declareTypes, typeAdvice } from './condition-types.ts';
import {
  compileDirectly,
  type DirectEvaluation,
  evaluateDirectly,
  neverDirect,
  type Shapes,
} from './direct-evaluation.ts';
import { type ConditionVariables, createEvaluation, type EvaluationState, fail } from './evaluation.ts';
import { foreignOperator } from './foreign-operators.ts';
import { type SharedExpressions, shareExpressions } from './shared-expressions.ts';

/** A compiled condition. */
export interface Condition extends DirectEvaluation {
  /** Evaluates the whole of it. */
  readonly run: (variables: ConditionVariables, state: EvaluationState) => unknown;
  readonly ast: cel.ASTNode;
  /** Its text as configured, for explanations; undefined where it has a part from the environment or a file. */
  readonly source: string | undefined;
  /** The variables that stand in the expression. */
  readonly names: ReadonlySet<string>;
}

/** Lists and maps in the arguments may hold this many values together where a condition iterates; beyond, it errors. */
export const maxIteratedValues = 10_000;

/**
 * Compiles a condition, each text once. Throws an Error whose message can be shown beside the place in the file: syntax, unknown variables and
 * functions, wrong types, a result that is not a boolean, or a shape whose cost the caller of a tool could blow up.
 */
export type CompileCondition = (source: string) => Condition;

/** Creates a compiler. The library is loaded with the first condition: many configurations have none. */
export function createConditionCompiler(): CompileCondition {
  const compiled = new Map<string, Condition>();
  const sharing: Sharing = { expressions: new Map(), shapes: new Map() };
  let language: Language | undefined;
  return (source) => {
    let condition = compiled.get(source);
    if (condition === undefined) {
      language ??= loadLanguage();
      condition = compile(source, language, sharing);
      compiled.set(source, condition);
    }
    return condition;
  };
}

/** Parts that conditions of a policy have in common. */
interface Sharing {
  readonly expressions: SharedExpressions;
  readonly shapes: Shapes;
}

function compile(source: string, language: Language, { expressions, shapes }: Sharing): Condition {
  const expression = parse(source, language);
  const iterates = hasLoop(expression.ast);
  const texts = textsIn(expression.ast);
  const idle = createEvaluation();
  let current = idle;
  const shared = shareExpressions(expression.ast, expressions);
  meterExpression(expression.ast, () => current, shared);
  const run = (variables: ConditionVariables, state: EvaluationState): unknown => {
    if (iterates && countValues(variables.args, 0) > maxIteratedValues) fail(state, 'too_many_values');
    state.texts = texts;
    current = state;
    try {
      return expression(variables);
    } finally {
      current = idle;
    }
  };
  const { ast } = expression;
  // Values are counted before a loop, also where another operand decides.
  const direct = iterates ? neverDirect : compileDirectly(ast, shared, shapes);
  return { ...direct, run, ast, source, names: namesIn(ast) };
}

/**
 * Yields the value of a condition. Throws when it errors or its value is neither true nor false, and once the state has an error: the caller denies
 * with `condition_error`.
 */
export function evaluateCondition(
  condition: Condition,
  variables: ConditionVariables,
  state: EvaluationState,
): boolean {
  if (state.known?.of !== variables) state.known = { of: variables, values: new Map() };
  const result = evaluateDirectly(condition, state) ?? condition.run(variables, state);
  if (state.error !== undefined) throw state.error;
  if (typeof result !== 'boolean') throw new Error('the condition is neither true nor false');
  return result;
}

/** Counts no further than it must. */
function countValues(value: unknown, counted: number): number {
  if (typeof value !== 'object' || value === null) return counted + 1;
  let total = counted + 1;
  for (const inner of Object.values(originalOf(value))) {
    if (total > maxIteratedValues) return total;
    total = countValues(inner, total);
  }
  return total;
}

/** CEL with the variables and limits of conditions. Conditions share one, which takes 3 KB. */
interface Language {
  readonly library: typeof cel;
  readonly environment: cel.Environment;
  /** For the check of types alone. */
  readonly typed: cel.Environment;
}

const require = createRequire(import.meta.url);

function loadLanguage(): Language {
  const library = require('@marcbachmann/cel-js') as typeof cel;
  const objects = createEnvironment(library).registerVariable('principal', 'map').registerVariable('request', 'map');
  return { library, environment: objects, typed: declareTypes(createEnvironment(library)) };
}

function parse(source: string, { library, environment, typed }: Language): cel.ParseResult {
  try {
    const expression = environment.parse(source);
    checkSyntax(expression.ast);
    checkMembers(expression.ast);
    for (const { valid, type, error } of [typed.check(source), expression.check()]) {
      if (!valid) throw error;
      if (type !== 'bool' && type !== 'dyn') throw new Error(`the condition yields ${type}, not true or false`);
    }
    return expression;
  } catch (error) {
    throw new Error(publicMessage(error, source, library), { cause: error });
  }
}

function createEnvironment({ Environment }: typeof cel): cel.Environment {
  return new Environment({
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 1000, maxDepth: 32, maxListElements: 256, maxMapEntries: 64, maxCallArguments: 8 },
  })
    .registerVariable('args', 'map')
    .registerVariable('tool', 'string')
    .registerVariable('route', 'string');
}

function publicMessage(error: unknown, source: string, library: typeof cel): string {
  const { EvaluationError, ParseError, TypeError: CelTypeError } = library;
  if (error instanceof ParseError || error instanceof CelTypeError || error instanceof EvaluationError) {
    if (error.range === undefined) return error.summary;
    const { start } = error.range;
    return foreignOperator(source, start) ?? `${error.summary} at character ${start + 1}${typeAdvice(error.summary)}`;
  }
  return error instanceof Error ? error.message : 'the condition cannot be read';
}
