// Metering of conditions: each evaluated part of an expression counts its steps, so that no arguments make a condition run long.
import type { ASTNode } from '@marcbachmann/cel-js';
import { originalOf } from './argument-view.ts';
import { operands } from './condition-syntax.ts';
import { type EvaluationState, maxSteps, type SharedExpression, takeSteps } from './evaluation.ts';
import { stringFunctions } from './string-functions.ts';

interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}

type Evaluate = (evaluator: Evaluator, node: ASTNode, context: unknown) => unknown;

/** The part of a node that the library keeps to itself. */
interface Evaluable {
  readonly meta: {
    readonly evaluate: Evaluate;
    /** In place of a macro call: another node, or an evaluation of its own. */
    readonly alternate?: Evaluable;
    readonly macro?: { evaluate: Evaluate };
  };
  setMeta(key: 'evaluate', value: Evaluate): unknown;
}

const charactersPerStep = 32;
/** The cost of an element of a list or a member of an object, in characters. */
const elementCharacters = 8;
/** An error takes as long as this: it describes where it happened. */
const errorSteps = 125;

/**
 * Makes a checked expression count the steps of its evaluation, and gives some of its functions a meaning of ours. A part counts one step and the
 * size of its value, as everything that is done with the value takes time in proportion to that; the object of a field access counts one.
 * A part that is `shared` with other places is evaluated once in a call, and counts each time.
 */
export function meterExpression(
  root: ASTNode,
  stateOf: () => EvaluationState,
  shared: ReadonlyMap<ASTNode, SharedExpression>,
): void {
  let lastError: unknown;
  const metered =
    (evaluate: Evaluate, isHolder: boolean): Evaluate =>
    (evaluator, node, context) => {
      const state = stateOf();
      takeSteps(state, 1);
      try {
        const value = evaluate(evaluator, node, context);
        if (!isHolder) takeSteps(state, sizeInSteps(value));
        return value;
      } catch (error) {
        if (error !== lastError && error !== state.error) takeSteps(state, errorSteps);
        lastError = error;
        throw error;
      }
    };
  const visit = (node: ASTNode, isHolder: boolean): void => {
    const { meta, setMeta } = node as unknown as Evaluable;
    const expression = shared.get(node);
    const once = (evaluate: Evaluate): Evaluate =>
      expression === undefined ? evaluate : evaluateOnce(expression, evaluate, stateOf);
    if (meta.macro !== undefined) meta.macro.evaluate = once(metered(meta.macro.evaluate, false));
    const target = (meta.alternate ?? node) as Evaluable;
    setMeta.call(target, 'evaluate', once(metered(withOwnFunction(node, target.meta.evaluate), isHolder)));
    operands(node).forEach((part, index) => {
      visit(part, index === 0 && (node.op === '.' || node.op === '[]'));
    });
  };
  visit(root, false);
}

/**
 * An error is not remembered: each place reports its own. Nor is a value for which all names of an object were read, as each condition compares them
 * with texts of its own.
 */
function evaluateOnce(expression: SharedExpression, evaluate: Evaluate, stateOf: () => EvaluationState): Evaluate {
  return (evaluator, node, context) => {
    const state = stateOf();
    if (expression.places === 1 || state.known === undefined) return evaluate(evaluator, node, context);
    const { values } = state.known;
    const found = values.get(expression);
    if (found !== undefined) {
      takeSteps(state, found.steps);
      return found.value;
    }
    const { steps, enumerations } = state;
    const value = evaluate(evaluator, node, context);
    if (state.enumerations === enumerations) values.set(expression, { value, steps: state.steps - steps });
    return value;
  };
}

/** The evaluation of a call whose only operand is text, by our own function of that name. Other operands go to the library. */
function withOwnFunction(node: ASTNode, evaluate: Evaluate): Evaluate {
  if (node.op !== 'call' && node.op !== 'rcall') return evaluate;
  const [operand, ...more] = operands(node);
  const own = Object.hasOwn(stringFunctions, node.args[0]) ? stringFunctions[node.args[0]] : undefined;
  if (own === undefined || operand === undefined || more.length > 0) return evaluate;
  return (evaluator, call, context) => {
    const value = evaluator.run(operand, context);
    return typeof value === 'string' ? own(value) : evaluate(evaluator, call, context);
  };
}

/** The steps of a value of that size. */
export function sizeInSteps(value: unknown): number {
  return Math.floor(sizeOf(value) / charactersPerStep);
}

/** In characters; not much further than the limit of steps. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  let size = 0;
  for (const inner of Object.values(originalOf(value))) {
    size += elementCharacters + sizeOf(inner);
    if (size > maxSteps * charactersPerStep) break;
  }
  return size;
}
