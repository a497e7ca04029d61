// Conditions in words: the comparisons of a CEL expression, without the has() that only protect them.
import type { ASTNode } from '@marcbachmann/cel-js';
import type { Condition } from '../condition/condition.ts';
import { operands } from '../condition/condition-syntax.ts';

/** A condition, or what it negates. */
export interface ReadCondition {
  /** The condition is true where the parts are not. */
  readonly isNegated: boolean;
  /** The texts of the parts that must all be true. */
  readonly parts: readonly string[];
  /** The has() that are true where the parts are: those of all that the parts read. */
  readonly implied: readonly string[];
  /** Public: the parts unshortened. */
  readonly source: string;
  /** Public: the parts as a person reads them. */
  readonly words: string;
  /** It is true or false for every call. */
  readonly neverErrs: boolean;
}

/** Reads a condition for calls of that tool. `shown` is false for one that no message may repeat. */
export function readCondition(
  { ast }: Pick<Condition, 'ast'>,
  tool: string | undefined,
  shown: boolean,
): ReadCondition {
  const isNegated = ast.op === '!_';
  const conjuncts = conjunctsOf(isNegated ? ast.args : ast, tool);
  const words = conjuncts.filter((part) => !isGuard(part, conjuncts)).map(wordsOf);
  return {
    isNegated,
    parts: [...new Set(conjuncts.map(partOf))],
    implied: conjuncts.flatMap(fieldsNeeded).map(hasOf),
    source: shown ? `\`${textOf(isNegated ? ast.args : ast)}\`` : hidden,
    words: shown ? [...new Set(words)].join(' and ') : hidden,
    neverErrs: conjuncts.every(neverErrs),
  };
}

const hidden = 'its condition holds';

const texts: ReadonlySet<string> = new Set(['request.method', 'request.path', 'request.address', 'tool', 'route']);
const textTests: ReadonlySet<string> = new Set(['startsWith', 'endsWith', 'contains']);

/** Of tests on texts that every call has. */
function neverErrs(node: ASTNode): boolean {
  switch (node.op) {
    case '&&':
    case '||':
    case '!_':
      return operands(node).every(neverErrs);
    case '==':
    case '!=':
      return operands(node).every(isText);
    case 'rcall':
      return textTests.has(node.args[0]) && operands(node).every(isText);
    default:
      return false;
  }
}

function isText(node: ASTNode): boolean {
  return (node.op === 'value' && typeof node.args === 'string') || texts.has(textOf(node));
}

/** The fields of `principal` and `request` that a condition reads, such as `principal.scopes`; a variable as a whole by its name alone. */
export function fieldsRead({ ast }: Pick<Condition, 'ast'>): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (node: ASTNode): void => {
    const field = node.op === '.' || node.op === '[]' ? fieldOf(node) : undefined;
    if (field !== undefined) found.add(field);
    else if (node.op === 'id') found.add(node.args);
    else operands(node).forEach(visit);
  };
  visit(ast);
  return found;
}

/** Reports whether the first condition can only be true where the second is. */
export function conditionEntails(one: ReadCondition, other: ReadCondition): boolean {
  const certain = [...one.parts, ...one.implied];
  return other.parts.every((part) => certain.some((mine) => partEntails(mine, part)));
}

/**
 * Reports whether the first condition can only err where the second does. A conjunction errs where no part is false and one errs. So no part of the
 * second may be false then, and each part of the first that may be the cause has one in the second that errs as well.
 */
export function errorEntails({ parts, implied }: ReadCondition, other: ReadCondition): boolean {
  const errsToo = (one: string, more: string): boolean => partEntails(one, more) && errAlike(one, more);
  return (
    other.parts.every((part) => parts.some((mine) => errsToo(mine, part))) &&
    parts.every((mine) => implied.includes(mine) || other.parts.some((part) => errsToo(mine, part)))
  );
}

/** Equal parts, and bounds of the same value whose numbers are of one type. */
function errAlike(one: string, other: string): boolean {
  return one === other || one.includes('.', one.lastIndexOf(' ')) === other.includes('.', other.lastIndexOf(' '));
}

/** Reports whether the first part can only be true where the second is: they are equal, or bounds of the same value. */
function partEntails(one: string, other: string): boolean {
  if (one === other) return true;
  const [bound, wider] = [boundIn(one), boundIn(other)];
  if (bound === undefined || wider === undefined || bound.of !== wider.of || bound.isUpper !== wider.isUpper)
    return false;
  if (bound.limit === wider.limit) return bound.isStrict || !wider.isStrict;
  return bound.limit < wider.limit === bound.isUpper;
}

function boundIn(part: string) {
  const [, of, operator = '', limit] = /^([\w.]+) (<=?|>=?) (-?\d{1,15}(?:\.\d{1,9})?)$/.exec(part) ?? [];
  if (of === undefined) return undefined;
  return { of, isUpper: operator.startsWith('<'), isStrict: operator.length === 1, limit: Number(limit) };
}

/** `principal.claims` for a field of that variable; undefined for anything deeper, and what no literal names. */
function fieldOf(node: ASTNode & { op: '.' | '[]' }): string | undefined {
  const [holder, name] = node.args;
  const field = typeof name === 'string' ? name : name.op === 'value' ? name.args : undefined;
  return holder.op === 'id' && typeof field === 'string' ? `${holder.args}.${field}` : undefined;
}

/** Without parts that the tool decides and that leave the answer to the others. */
function conjunctsOf(node: ASTNode, tool: string | undefined): ASTNode[] {
  if (node.op === '&&') {
    const [left, right] = node.args;
    if (decidedBy(tool, left) === true) return conjunctsOf(right, tool);
    if (decidedBy(tool, right) === true) return conjunctsOf(left, tool);
    return [...conjunctsOf(left, tool), ...conjunctsOf(right, tool)];
  }
  if (node.op === '||') {
    const [left, right] = node.args;
    if (decidedBy(tool, left) === false) return conjunctsOf(right, tool);
    if (decidedBy(tool, right) === false) return conjunctsOf(left, tool);
  }
  return [node];
}

/** The value of `tool == 'name'` and `tool != 'name'` for calls of the tool. */
function decidedBy(tool: string | undefined, node: ASTNode): boolean | undefined {
  if (tool === undefined || (node.op !== '==' && node.op !== '!=')) return undefined;
  const [left, right] = node.args;
  if (left.op !== 'id' || left.args !== 'tool' || right.op !== 'value') return undefined;
  return (right.args === tool) === (node.op === '==');
}

/** The source. The range of a part ends before parentheses that close behind it. */
function textOf({ input, range }: ASTNode): string {
  const text = input.slice(range.start, range.end);
  const brackets = text.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '');
  const open = brackets.split('(').length - brackets.split(')').length;
  return open > 0 ? text + ')'.repeat(open) : '('.repeat(-open) + text;
}

/** The source of a part, a has() in one spelling. */
function partOf(node: ASTNode): string {
  const asked = askedBy(node);
  return asked === undefined ? textOf(node) : hasOf(asked);
}

function hasOf(field: string): string {
  return `has(${field})`;
}

/** The fields without which the value of a part is an error. */
function fieldsNeeded(node: ASTNode): string[] {
  switch (node.op) {
    case '.':
    case '[]':
      return [textOf(node), ...fieldsNeeded(node.args[0])];
    case 'rcall':
      return textTests.has(node.args[0]) ? operands(node).flatMap(fieldsNeeded) : [];
    default:
      return node.op === '!_' || comparisons.has(node.op) ? operands(node).flatMap(fieldsNeeded) : [];
  }
}

/** A has() of a field that another part reads. */
function isGuard(part: ASTNode, among: readonly ASTNode[]): boolean {
  const asked = askedBy(part);
  return asked !== undefined && among.some((other) => other !== part && reads(other, asked));
}

function askedBy(node: ASTNode): string | undefined {
  return node.op === 'call' && node.args[0] === 'has' && node.args[1][0] !== undefined
    ? textOf(node.args[1][0])
    : undefined;
}

function reads(node: ASTNode, field: string): boolean {
  const text = textOf(node);
  return ((node.op === '.' || node.op === '[]') && text === field) || operands(node).some((part) => reads(part, field));
}

const comparisons: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=', 'in']);

function wordsOf(node: ASTNode): string {
  const asked = askedBy(node);
  if (asked !== undefined) return `\`${withoutArgs(asked)}\` is given`;
  if (!comparisons.has(node.op)) return `\`${withoutArgs(textOf(node))}\``;
  const [left, right] = operands(node) as [ASTNode, ASTNode];
  if (left.op !== '.' && left.op !== 'id') return `\`${withoutArgs(textOf(node))}\``;
  return `\`${withoutArgs(textOf(left))}\` ${node.op} ${withoutArgs(textOf(right))}`;
}

/** `request.limit` for `args.request.limit`. Texts stay as they are. */
function withoutArgs(source: string): string {
  return source.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\bargs\.(?=[A-Za-z_])/g, (found) =>
    found === 'args.' ? '' : found,
  );
}
