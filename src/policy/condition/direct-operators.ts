// Operators of directly evaluated conditions, for operands of JSON's plain types.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { EvaluationState } from './evaluation.ts';

/** Counts the steps of the value. Undefined where the value is not certain; the steps do not matter then. */
export type Evaluate = (state: EvaluationState, literals: readonly unknown[]) => unknown;

/** The second operand of a negation is not used. */
type Operator = (left: Evaluate, right: Evaluate) => Evaluate;

/** The operator of a node, and its name. */
export function operatorOf({ op, args }: ASTNode): { readonly name: string; readonly operator: Operator } | undefined {
  const name = op === 'rcall' && args[2].length === 1 ? args[0] : op;
  const operator = Object.hasOwn(operators, name) ? operators[name] : undefined;
  return operator && { name, operator };
}

const operators: Readonly<Record<string, Operator>> = {
  '&&': logic(false),
  '||': logic(true),
  '!_': (operand) => (state, literals) => {
    state.steps += 1;
    return negation(operand(state, literals));
  },
  '==': binary(equal),
  '!=': binary((left, right) => negation(equal(left, right))),
  '<': compared((left, right) => left < right),
  '<=': compared((left, right) => left <= right),
  '>': compared((left, right) => left > right),
  '>=': compared((left, right) => left >= right),
  in: binary((value, list) => {
    if (!Array.isArray(list) || isObject(value) || list.some(isObject)) return undefined;
    return list.some((element) => equal(value, element));
  }),
  startsWith: ofTexts((text, part) => text.startsWith(part)),
  endsWith: ofTexts((text, part) => text.endsWith(part)),
  contains: ofTexts((text, part) => text.includes(part)),
};

/** The second operand is evaluated where the first does not decide. */
function logic(deciding: boolean): Operator {
  return (left, right) => (state, literals) => {
    state.steps += 1;
    const first = left(state, literals);
    return first === !deciding ? right(state, literals) : first === deciding ? deciding : undefined;
  };
}

function binary(operate: (left: unknown, right: unknown) => boolean | undefined): Operator {
  return (left, right) => (state, literals) => {
    state.steps += 1;
    const first = left(state, literals);
    if (first === undefined) return undefined;
    const second = right(state, literals);
    return second === undefined ? undefined : operate(first, second);
  };
}

function compared(compare: (left: number, right: number) => boolean): Operator {
  return binary((left, right) => (areComparable(left, right) ? compare(left as number, right as number) : undefined));
}

function ofTexts(operate: (text: string, part: string) => boolean): Operator {
  return binary((text, part) =>
    typeof text === 'string' && typeof part === 'string' ? operate(text, part) : undefined,
  );
}

/** A double equals the integer of the same value. */
function equal(left: unknown, right: unknown): boolean | undefined {
  if (isObject(left) || isObject(right)) return undefined;
  return left === right || (isNumber(left) && isNumber(right) && left <= right && left >= right);
}

function negation(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? !value : undefined;
}

/** Two texts, or two numbers. */
function areComparable(left: unknown, right: unknown): boolean {
  return isNumber(left) ? isNumber(right) : typeof left === 'string' && typeof right === 'string';
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
