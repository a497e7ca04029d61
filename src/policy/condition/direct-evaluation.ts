// Direct evaluation of conditions: operators over literals and expressions that are known in a call, without the library.
import type { ASTNode } from '@marcbachmann/cel-js';
import { sizeInSteps } from './condition-meter.ts';
import { operands } from './condition-syntax.ts';
import { type Evaluate, operatorOf } from './direct-operators.ts';
import { type EvaluationState, maxSteps, type SharedExpression } from './evaluation.ts';

/** An expression without its literals. */
export interface DirectEvaluation {
  readonly evaluate: Evaluate;
  /** Each with its steps behind it. */
  readonly literals: readonly unknown[];
}

/** Leaves all to the library. */
export const neverDirect: DirectEvaluation = { evaluate: () => undefined, literals: [] };

/** Conditions that differ only in their literals have one evaluation: many then fit into the processor's caches. */
export type Shapes = Map<string, Evaluate>;

/** Compiles a checked expression. */
export function compileDirectly(
  root: ASTNode,
  shared: ReadonlyMap<ASTNode, SharedExpression>,
  shapes: Shapes,
): DirectEvaluation {
  const literals: unknown[] = [];
  const compiled = compileNode(root, shared, literals);
  const evaluate = shapes.get(compiled.shape) ?? compiled.evaluate;
  shapes.set(compiled.shape, evaluate);
  return { evaluate, literals };
}

/**
 * Yields what the library would, and counts the same steps. Undefined, and no steps, where that is not certain: a part is not known yet, is of a
 * type that the operators here do not take, or errs.
 */
export function evaluateDirectly(
  { evaluate, literals }: DirectEvaluation,
  state: EvaluationState,
): boolean | undefined {
  const before = state.steps;
  const value = evaluate(state, literals);
  if (typeof value === 'boolean' && state.steps <= maxSteps) return value;
  state.steps = before;
  return undefined;
}

interface Compiled {
  /** Equal for expressions with the same evaluation. */
  readonly shape: string;
  readonly evaluate: Evaluate;
}

const uncertain: Compiled = { shape: '-', evaluate: () => undefined };

function compileNode(node: ASTNode, shared: ReadonlyMap<ASTNode, SharedExpression>, literals: unknown[]): Compiled {
  const literal = literalOf(node);
  if (literal !== undefined) return literalAt(literals.push(literal.value, literal.steps) - 2);
  const expression = shared.get(node);
  if (expression !== undefined) return known(expression);
  const found = operatorOf(node);
  if (found === undefined) return uncertain;
  const [left = uncertain, right = uncertain] = operands(node).map((part) => compileNode(part, shared, literals));
  return {
    shape: `(${found.name} ${left.shape} ${right.shape})`,
    evaluate: found.operator(left.evaluate, right.evaluate),
  };
}

function literalAt(place: number): Compiled {
  return {
    shape: '?',
    evaluate(state, literals) {
      state.steps += literals[place + 1] as number;
      return literals[place];
    },
  };
}

function known(expression: SharedExpression): Compiled {
  return {
    shape: expression.form,
    evaluate(state) {
      const found = state.known?.values.get(expression);
      if (found === undefined) return undefined;
      state.steps += found.steps;
      return found.value;
    },
  };
}

interface Literal {
  readonly value: unknown;
  readonly steps: number;
}

/** A literal, a negative number, or a list of these. An integer is a number where that is the same. */
function literalOf(node: ASTNode): Literal | undefined {
  if (node.op === 'value') return { value: plain(node.args), steps: 1 + sizeInSteps(node.args) };
  if (node.op !== 'list' && node.op !== '-_') return undefined;
  const parts = operands(node).flatMap((part) => literalOf(part) ?? []);
  if (parts.length < operands(node).length) return undefined;
  const values = parts.map(({ value }) => value);
  const value = node.op === 'list' ? values : -(values[0] as number | bigint);
  return { value, steps: parts.reduce((sum, { steps }) => sum + steps, 1 + sizeInSteps(value)) };
}

function plain(value: unknown): unknown {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
