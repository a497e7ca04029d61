// Syntax of conditions: a closed list of functions, and the shapes that keep evaluation linear in the arguments.
import type { ASTNode } from '@marcbachmann/cel-js';
import { foreignOperator } from './foreign-operators.ts';

type MethodCall = ASTNode & { op: 'rcall' };

/**
 * `plain` costs no more than its operands. `pattern` searches its receiver, so what it searches for must not come from the caller
 * of the tool: both together can cost minutes. `loop` runs its body for every element.
 */
type FunctionKind = 'plain' | 'pattern' | 'loop';

/** Whatever is not named here is refused when the file is loaded: `matches` above all, which backtracks without bound. */
const functions: Readonly<Record<string, FunctionKind>> = {
  has: 'plain',
  size: 'plain',
  startsWith: 'plain',
  endsWith: 'plain',
  lowerAscii: 'plain',
  upperAscii: 'plain',
  trim: 'plain',
  substring: 'plain',
  type: 'plain',
  dyn: 'plain',
  bool: 'plain',
  int: 'plain',
  double: 'plain',
  string: 'plain',
  timestamp: 'plain',
  contains: 'pattern',
  indexOf: 'pattern',
  lastIndexOf: 'pattern',
  split: 'pattern',
  join: 'pattern',
  all: 'loop',
  exists: 'loop',
  exists_one: 'loop',
  filter: 'loop',
  map: 'loop',
};

/** The names a condition can use, and no iteration variable may take. */
export const variableNames: readonly string[] = ['principal', 'args', 'tool', 'route', 'request'];

/** Throws an Error that says which part of a parsed condition cannot be used, and why. */
export function checkSyntax(root: ASTNode): void {
  visit(root, new Set(), 'none');
}

/** True when some part of the condition runs once for every element of a list or map. */
export function hasLoop(node: ASTNode): boolean {
  return (node.op === 'rcall' && isLoop(node)) || operands(node).some(hasLoop);
}

/** The names of variables that stand in the condition. */
export function namesIn(root: ASTNode): ReadonlySet<string> {
  const names = new Set<string>();
  const visitNames = (node: ASTNode): void => {
    if (node.op === 'id') names.add(node.args);
    for (const part of operands(node)) visitNames(part);
  };
  visitNames(root);
  return names;
}

/** The texts that stand in the condition. */
export function textsIn(root: ASTNode): ReadonlySet<string> {
  const texts = new Set<string>();
  const visitTexts = (node: ASTNode): void => {
    if (node.op === 'value' && typeof node.args === 'string') texts.add(node.args);
    for (const part of operands(node)) visitTexts(part);
  };
  visitTexts(root);
  return texts;
}

/** `args.a.b` for a chain of fields from a variable; undefined for anything else. */
export function fieldPath(node: ASTNode): string | undefined {
  if (node.op === 'id') return node.args;
  const access = accessOf(node);
  return access && `${access.holder}.${access.name}`;
}

/** The field that is read, and the path of what it is read from. */
export function accessOf(node: ASTNode): { readonly holder: string; readonly name: string } | undefined {
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const holder = fieldPath(node.args[0]);
  const field = node.args[1];
  const name = typeof field === 'string' ? field : textOf(field);
  return holder === undefined || name === undefined ? undefined : { holder, name };
}

/** The text of a literal. */
export function textOf(node: ASTNode): string | undefined {
  return node.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

/** The direct parts of a node, in their order. */
export function operands(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}

/** Names that the library leaves out of the maps that stand in a condition. */
function isDropped(name: unknown): boolean {
  return name === 'constructor' || name === 'prototype' || name === '__proto__';
}

/** `chosen` holds the iteration variables whose elements come from the arguments; `loop` says what is being iterated over. */
function visit(node: ASTNode, chosen: ReadonlySet<string>, loop: 'none' | 'own values' | 'args'): void {
  if (node.op === 'map') {
    for (const [{ args: name }] of node.args)
      if (isDropped(name)) throw new Error(`a map must not have the name ${name}`);
  }
  if (node.op === 'call' || node.op === 'rcall') {
    const name = node.args[0];
    const kind = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (kind === undefined) {
      const meant = node.op === 'call' ? foreignOperator(node.input, node.range.start) : undefined;
      throw new Error(meant ?? `${name}() is not available in conditions`);
    }
    if (node.op === 'rcall' && kind === 'loop') {
      visitLoop(node, chosen, loop);
      return;
    }
    if (node.op === 'rcall' && kind === 'pattern' && node.args[2].some((part) => comesFromArgs(part, chosen))) {
      throw new Error(`${name}() must not search for a value that comes from args`);
    }
  }
  if (loop === 'args' && node.op === 'id' && node.args === 'args') {
    throw new Error('a loop over args must not read args in its body, only the element');
  }
  for (const part of operands(node)) visit(part, chosen, loop);
}

function visitLoop(node: MethodCall, chosen: ReadonlySet<string>, loop: 'none' | 'own values' | 'args'): void {
  const [name, range, [variable, ...body]] = node.args;
  if (loop !== 'none')
    throw new Error(`${name}() must not stand inside another all(), exists(), exists_one(), filter() or map()`);
  if (callsSplit(range)) throw new Error(`${name}() must not run over the parts of split()`);
  visit(range, chosen, 'none');
  if (variable?.op !== 'id') throw new Error(`${name}() needs the name of a variable as its first argument`);
  if (variableNames.includes(variable.args)) throw new Error(`${name}() must not reuse the name ${variable.args}`);
  const fromArgs = comesFromArgs(range, chosen);
  const within = fromArgs ? new Set([...chosen, variable.args]) : chosen;
  for (const part of body) visit(part, within, fromArgs ? 'args' : 'own values');
}

/** True for a value that the caller of the tool chooses: the arguments or an element of them. */
function comesFromArgs(node: ASTNode, chosen: ReadonlySet<string>): boolean {
  if (node.op === 'id') return node.args === 'args' || chosen.has(node.args);
  return operands(node).some((part) => comesFromArgs(part, chosen));
}

function callsSplit(node: ASTNode): boolean {
  return (node.op === 'rcall' && node.args[0] === 'split') || operands(node).some(callsSplit);
}

function isLoop(node: MethodCall): boolean {
  return functions[node.args[0]] === 'loop';
}
