// Metering of conditions: each evaluated part of an expression counts its steps, so that no arguments make a condition run long.
import type { ASTNode } from '@marcbachmann/cel-js';
import { originalOf } from './argument-view.ts';
import { fieldNames, operands } from './condition-syntax.ts';
import { type EvaluationState, maxSteps, type SharedField, takeSteps } from './evaluation.ts';
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
 * One of the `fields` that stands in several places is read once in a call, and counts each time.
 */
export function meterExpression(root: ASTNode, stateOf: () => EvaluationState, fields: Map<string, SharedField>): void {
  let lastError: unknown;
  const metered =
    (evaluate: Evaluate, isHolder: boolean): Evaluate =>
    (evaluator, node, context) => {
      const state = stateOf();
      takeSteps(state, 1);
      try {
        const value = evaluate(evaluator, node, context);
        if (!isHolder) takeSteps(state, Math.floor(sizeOf(value) / charactersPerStep));
        return value;
      } catch (error) {
        if (error !== lastError && error !== state.error) takeSteps(state, errorSteps);
        lastError = error;
        throw error;
      }
    };
  const visit = (node: ASTNode, isHolder: boolean): void => {
    const { meta, setMeta } = node as unknown as Evaluable;
    const field = sharedField(node, isHolder, fields);
    const once = (evaluate: Evaluate): Evaluate =>
      field === undefined ? evaluate : readOnce(field, evaluate, stateOf);
    if (meta.macro !== undefined) meta.macro.evaluate = once(metered(meta.macro.evaluate, false));
    const target = (meta.alternate ?? node) as Evaluable;
    setMeta.call(target, 'evaluate', once(metered(withOwnFunction(node, target.meta.evaluate), isHolder)));
    operands(node).forEach((part, index) => {
      visit(part, index === 0 && (node.op === '.' || node.op === '[]'));
    });
  };
  visit(root, false);
}

/** The entry of a node that is a field, or `has()` of one. As the object of another field it counts other steps, and is another entry. */
function sharedField(node: ASTNode, isHolder: boolean, fields: Map<string, SharedField>): SharedField | undefined {
  const isAsked = node.op === 'call' && node.args[0] === 'has';
  const names = node.op === '.' || isAsked ? fieldNames(isAsked ? node.args[1][0]! : node) : undefined;
  if (names === undefined) return undefined;
  const key = JSON.stringify([isAsked, isHolder, ...names]);
  const field = fields.get(key) ?? { places: 0 };
  field.places += 1;
  fields.set(key, field);
  return field;
}

/** A field that errs is not remembered: each place reports its own error. */
function readOnce(field: SharedField, evaluate: Evaluate, stateOf: () => EvaluationState): Evaluate {
  return (evaluator, node, context) => {
    const state = stateOf();
    if (field.places === 1 || state.fields === undefined) return evaluate(evaluator, node, context);
    const { known } = state.fields;
    const found = known.get(field);
    if (found !== undefined) {
      takeSteps(state, found.steps);
      return found.value;
    }
    const before = state.steps;
    const value = evaluate(evaluator, node, context);
    known.set(field, { value, steps: state.steps - before });
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
