// Lint for conditions that compile: fields that may be absent, and arithmetic that JSON numbers do not have.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { PrincipalKind } from '../../authn/caller/principal.ts';
import type { Condition } from './condition.ts';
import { fieldPath, operands, textOf } from './condition-syntax.ts';

/**
 * The fields of `args`, `principal.claims`, iterated elements and `principal.clientId` that are read where no `has()` makes sure of them: a call without the field is
 * denied with `condition_error`. Each is given as it is written, such as `args.request.limit`.
 */
export function unguardedFields({ ast }: Pick<Condition, 'ast'>): string[] {
  const found = new Set<string>();
  collect(ast, new Set(), found);
  return [...found];
}

/** Sentences for `check` about what errs whenever it is evaluated, and about what is never so. */
export function conditionWarnings({ ast }: Pick<Condition, 'ast'>): string[] {
  const found = new Set<string>();
  for (const kind of comparedWith(ast, 'principal.kind')) {
    if (principalKinds.some((each) => each === kind)) continue;
    found.add(`principal.kind is never ${JSON.stringify(kind)}, but one of ${principalKinds.join(', ')}`);
  }
  const visit = (node: ASTNode): void => {
    const [field, number] = orderedAsText(node) ?? [];
    if (field) found.add(`${field} is compared as text with "${number}", and a number then errs: write ${number}`);
    if (isArithmetic(node)) {
      const [left, right] = node.args;
      const field = (isInteger(left) && fieldPath(right)) || (isInteger(right) && fieldPath(left));
      const number = isInteger(left) ? left.args : right.args;
      if (field) {
        found.add(
          `"${node.op}" between ${field} and ${number} always errs, since JSON numbers are decimals: write int(${field})`,
        );
      }
    }
    for (const part of operands(node)) visit(part);
  };
  visit(ast);
  return [...found];
}

/** The texts that a variable or field is compared with, by `==`, `!=` or `in`. */
export function comparedWith(root: ASTNode, path: string): string[] {
  const found = new Set<string>();
  const visit = (node: ASTNode): void => {
    if (node.op === '==' || node.op === '!=' || node.op === 'in') {
      const [left, right] = node.args;
      const others = fieldPath(left) === path ? [right] : fieldPath(right) === path && node.op !== 'in' ? [left] : [];
      for (const other of others.flatMap((each) => (each.op === 'list' ? each.args : [each]))) {
        const text = textOf(other);
        if (text !== undefined) found.add(text);
      }
    }
    for (const part of operands(node)) visit(part);
  };
  visit(root);
  return [...found];
}

/** A field and the number that stands in quotes on the other side of `<`, `<=`, `>` or `>=`. */
function orderedAsText(node: ASTNode): [string, string] | undefined {
  if (node.op !== '<' && node.op !== '<=' && node.op !== '>' && node.op !== '>=') return undefined;
  const [left, right] = node.args;
  const field = fieldPath(left) ?? fieldPath(right);
  const text = textOf(left) ?? textOf(right);
  return field !== undefined && text !== undefined && /^-?\d+(\.\d+)?$/.test(text) ? [field, text] : undefined;
}

type Arithmetic = ASTNode & { op: '+' | '-' | '*' | '/' | '%' };

function isArithmetic(node: ASTNode): node is Arithmetic {
  return node.op === '+' || node.op === '-' || node.op === '*' || node.op === '/' || node.op === '%';
}

function isInteger(node: ASTNode): boolean {
  return node.op === 'value' && typeof node.args === 'bigint';
}

/** Both sides of `&&` and `||` guard each other: CEL ignores an error beside a side that decides. */
function collect(node: ASTNode, guarded: ReadonlySet<string>, found: Set<string>): void {
  switch (node.op) {
    case '&&':
      collect(node.args[0], union(guarded, provenBy(node.args[1], true)), found);
      collect(node.args[1], union(guarded, provenBy(node.args[0], true)), found);
      return;
    case '||':
      collect(node.args[0], union(guarded, provenBy(node.args[1], false)), found);
      collect(node.args[1], union(guarded, provenBy(node.args[0], false)), found);
      return;
    case '?:':
      collect(node.args[0], guarded, found);
      collect(node.args[1], union(guarded, provenBy(node.args[0], true)), found);
      collect(node.args[2], union(guarded, provenBy(node.args[0], false)), found);
      return;
    case '.':
    case '[]': {
      const path = fieldPath(node);
      if (path !== undefined && !alwaysThere.has(path) && !guarded.has(path)) found.add(path);
      break;
    }
    case 'call':
      // The field that has() asks for may be absent; what it is a field of may not.
      if (node.args[0] === 'has') {
        for (const asked of node.args[1]) for (const part of operands(asked)) collect(part, guarded, found);
        return;
      }
      break;
  }
  for (const part of operands(node)) collect(part, guarded, found);
}

/** The fields that are certainly there when the node has the given value. */
function provenBy(node: ASTNode, value: boolean): ReadonlySet<string> {
  switch (node.op) {
    case 'call': {
      const asked = node.args[1][0];
      const path = node.args[0] === 'has' && asked !== undefined ? fieldPath(asked) : undefined;
      return value && path !== undefined ? new Set([path]) : none;
    }
    case 'in': {
      const [key, holder] = node.args;
      const path = key.op === 'value' && typeof key.args === 'string' ? fieldPath(holder) : undefined;
      return value && path !== undefined ? new Set([`${path}.${key.args}`]) : none;
    }
    case '!_':
      return provenBy(node.args, !value);
    case '&&':
    case '||': {
      const left = provenBy(node.args[0], value);
      const right = provenBy(node.args[1], value);
      return (node.op === '&&') === value ? union(left, right) : intersection(left, right);
    }
    default:
      return none;
  }
}

const none: ReadonlySet<string> = new Set();

function union(left: ReadonlySet<string>, right: ReadonlySet<string>): ReadonlySet<string> {
  return right.size === 0 ? left : new Set([...left, ...right]);
}

function intersection(left: ReadonlySet<string>, right: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...left].filter((path) => right.has(path)));
}

/** Of callers, and `none` on a route without authentication. */
const principalKinds: readonly (PrincipalKind | 'none')[] = ['oauth', 'api-key', 'mtls', 'none'];

/** Everything else comes from the caller or from its token. */
const alwaysThere: ReadonlySet<string> = new Set([
  'principal.kind',
  'principal.issuer',
  'principal.subject',
  'principal.scopes',
  'principal.claims',
  'request.method',
  'request.path',
  'request.address',
]);
