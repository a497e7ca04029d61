// Common subexpressions of the conditions of a policy: each is evaluated once in a call.
import type { ASTNode } from '@marcbachmann/cel-js';
import { operands, variableNames } from './condition-syntax.ts';
import { operatorOf } from './direct-operators.ts';
import type { SharedExpression } from './evaluation.ts';

/** The expressions of a policy by their form. */
export type SharedExpressions = Map<string, SharedExpression>;

/**
 * The parts of a checked expression that may be known from another place: all without a variable of a loop, but literals and operators that can be
 * evaluated directly. The object of a field access counts other steps than a value, and is another expression.
 */
export function shareExpressions(root: ASTNode, all: SharedExpressions): ReadonlyMap<ASTNode, SharedExpression> {
  const shared = new Map<ASTNode, SharedExpression>();
  const visit = (node: ASTNode, isHolder: boolean): string | undefined => {
    const parts = operands(node).map((part, index) => visit(part, index === 0 && isAccess(node)));
    const form = formOf(node, parts);
    if (form === undefined || !isShareable(node)) return form;
    const key = isHolder ? `holder ${form}` : form;
    const expression = all.get(key) ?? { form: key, places: 0 };
    expression.places += 1;
    all.set(key, expression);
    shared.set(node, expression);
    return form;
  };
  visit(root, false);
  return shared;
}

function isAccess({ op }: ASTNode): boolean {
  return op === '.' || op === '[]';
}

function isShareable(node: ASTNode): boolean {
  const { op } = node;
  return isAccess(node) || op === 'id' || op === 'call' || (op === 'rcall' && operatorOf(node) === undefined);
}

/**
 * Equal for expressions of the same parts. Undefined with a variable of a loop, a literal that is an object, or a list or map made by the expression:
 * each evaluation makes another one, which does not equal the first where it holds NaN.
 */
function formOf(node: ASTNode, parts: readonly (string | undefined)[]): string | undefined {
  if (node.op === 'value') {
    return typeof node.args === 'object' && node.args !== null
      ? undefined
      : `${typeof node.args} ${JSON.stringify(String(node.args))}`;
  }
  if (node.op === 'id') return variableNames.includes(node.args) ? node.args : undefined;
  if (node.op === 'list' || node.op === 'map' || parts.includes(undefined)) return undefined;
  const name = node.op === '.' ? node.args[1] : node.op === 'call' || node.op === 'rcall' ? node.args[0] : '';
  return `(${node.op} ${name} ${parts.join(' ')})`;
}
