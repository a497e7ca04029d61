// Types of tool arguments in conditions, by the input schemas (JSON Schema) of the tools that the condition is about.
import type { ASTNode } from '@marcbachmann/cel-js';
import { nearest, suggestion } from '../../config/schema/suggestion.ts';
import { type Definition, isMap } from '../../mcp/catalog/definition.ts';
import { operands, textOf } from './condition-syntax.ts';

/** Sentences about a condition. */
export interface ArgumentProblems {
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

/** A type of JSON; integers are numbers. */
type Type = 'array' | 'boolean' | 'null' | 'number' | 'object' | 'string';

/** A path such as `args.request.limit` by one schema: the schema of its end, or that no declared member leads there. Undefined where the schema leaves it open. */
type Found = { readonly schema: Definition } | Absence | undefined;

interface Absence {
  /** The number of names at the beginning of the path that are declared. */
  readonly depth: number;
  readonly declared: readonly string[];
  /** The schema refuses what it does not declare. */
  readonly isClosed: boolean;
}

const words: Readonly<Record<Type, string>> = {
  array: 'a list',
  boolean: 'a boolean',
  null: 'null',
  number: 'a number',
  object: 'an object',
  string: 'a text',
};

/**
 * Errors are members of `args` that no schema declares, and comparisons whose types no schema allows. A member that is near to no declared one is a
 * warning where a schema does not refuse it: servers take aliases that they do not declare. Parts that a schema leaves open have no problem.
 */
export function argumentProblems(root: ASTNode, schemas: readonly Definition[]): ArgumentProblems {
  const errors = new Set<string>();
  const warnings = new Set<string>();
  const visit = (node: ASTNode): void => {
    const path = node.op === 'in' ? joined(pathOf(node.args[1]), textOf(node.args[0])) : pathOf(node);
    const absence = path && absenceOf(path, schemas);
    if (absence !== undefined) (absence.isCertain ? errors : warnings).add(absence.message);
    const mismatch = mismatchOf(node, schemas);
    if (mismatch !== undefined) errors.add(mismatch);
    for (const part of operands(node)) visit(part);
  };
  visit(root);
  return { errors: [...errors], warnings: [...warnings] };
}

/** The names below `args`; empty for `args` itself. */
function pathOf(node: ASTNode): readonly string[] | undefined {
  if (node.op === 'id') return node.args === 'args' ? [] : undefined;
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const field = node.args[1];
  return joined(pathOf(node.args[0]), typeof field === 'string' ? field : textOf(field));
}

function joined(path: readonly string[] | undefined, name: string | undefined): readonly string[] | undefined {
  return path === undefined || name === undefined ? undefined : [...path, name];
}

/** The sentence on a member that no schema declares. Undefined as well where they declare nothing that it could be a member of: that is reported itself. */
function absenceOf(path: readonly string[], schemas: readonly Definition[]) {
  const found = schemas.map((schema) => follow(schema, path));
  if (!found.every((each) => each !== undefined && 'declared' in each)) return undefined;
  const here = found.filter(({ depth }) => depth === path.length - 1);
  if (here.length === 0) return undefined;
  const name = path.at(-1)!;
  const declared = here.flatMap((absence) => absence.declared);
  const holder = ['args', ...path.slice(0, -1)].join('.');
  return {
    isCertain: here.every(({ isClosed }) => isClosed) || nearest(name, declared) !== undefined,
    message: `${holder} has no member ${JSON.stringify(name)} in the recorded input schemas${suggestion(name, declared)}`,
  };
}

function follow(schema: Definition, path: readonly string[]): Found {
  let current = schema;
  for (const [depth, name] of path.entries()) {
    const found = memberOf(current, name, depth);
    if (found === undefined || 'declared' in found) return found;
    current = found.schema;
  }
  return { schema: current };
}

/** Keywords by which a schema may declare members elsewhere than in `properties`. */
const elsewhere = ['$ref', '$dynamicRef', 'allOf', 'anyOf', 'oneOf', 'if', 'patternProperties', 'dependentSchemas'];

function memberOf(schema: Definition, name: string, depth: number): Found {
  const { additionalProperties = false, properties, unevaluatedProperties = false } = schema;
  const declared = isMap(properties) ? properties : {};
  if (Object.hasOwn(declared, name)) {
    const member = declared[name];
    return isMap(member) ? { schema: member } : undefined;
  }
  const isOpen = additionalProperties !== false || unevaluatedProperties !== false;
  const isClosed = schema.additionalProperties === false || schema.unevaluatedProperties === false;
  if (isOpen || elsewhere.some((keyword) => Object.hasOwn(schema, keyword))) return undefined;
  if (!isClosed && !isMap(properties)) return undefined;
  return { depth, declared: Object.keys(declared), isClosed };
}

const comparisons = ['==', '!=', '<', '<=', '>', '>='];

/** A sentence on a comparison that the types rule out. Comparisons with null are left out: they ask if there is a value. */
function mismatchOf(node: ASTNode, schemas: readonly Definition[]): string | undefined {
  if (node.op === 'in') return mismatchOfMembership(node, schemas);
  if (!comparisons.includes(node.op)) return undefined;
  const sides = node.args as readonly [ASTNode, ASTNode];
  const [left, right] = sides.map((side) => typesOf(side, schemas)) as [Types, Types];
  if (left === undefined || right === undefined || !areDisjoint(left, right)) return undefined;
  const at = pathOf(sides[0]) === undefined ? 1 : 0;
  const path = pathOf(sides[at]);
  if (path === undefined) return undefined;
  const [own, other] = at === 0 ? [left, right] : [right, left];
  const text = textOf(sides[1 - at]!);
  const isNumber = own.includes('number') && text !== undefined && /^-?\d+(\.\d+)?$/.test(text);
  return `${sentence(path, own)}, and "${node.op}" ${node.op === '!=' ? 'always' : 'never'} holds between it and ${listed(other)}${isNumber ? `: write ${text}` : ''}`;
}

function mismatchOfMembership({ args }: ASTNode & { op: 'in' }, schemas: readonly Definition[]): string | undefined {
  const [element, holder] = args;
  const path = pathOf(holder);
  const types = typesOf(holder, schemas);
  if (path !== undefined && types !== undefined && areDisjoint(types, ['array', 'object'])) {
    const advice = types.includes('string') ? ': ask with contains()' : '';
    return `${sentence(path, types)}, and nothing is "in" it${advice}`;
  }
  const own = pathOf(element);
  if (own === undefined || holder.op !== 'list' || holder.args.length === 0) return undefined;
  const [wanted, listedTypes] = [typesOf(element, schemas), holder.args.map((each) => typesOf(each, schemas))];
  if (wanted === undefined || listedTypes.includes(undefined)) return undefined;
  const others = [...new Set(listedTypes.flatMap((each) => each ?? []))];
  return areDisjoint(wanted, others)
    ? `${sentence(own, wanted)}, and "in" never holds between it and a list with ${listed(others)}`
    : undefined;
}

type Types = readonly Type[] | undefined;

function areDisjoint(left: readonly Type[], right: readonly Type[]): boolean {
  return !left.some((type) => right.includes(type));
}

function sentence(path: readonly string[], types: readonly Type[]): string {
  return `${['args', ...path].join('.')} is ${listed(types)} by the recorded input schemas`;
}

function listed(types: readonly Type[]): string {
  return types.map((type) => words[type]).join(' or ');
}

/** The types of a literal, or of an argument by all schemas that declare it. */
function typesOf(node: ASTNode, schemas: readonly Definition[]): Types {
  if (node.op === 'list') return ['array'];
  if (node.op === 'map') return ['object'];
  if (node.op === '-_') return typesOf(node.args, []);
  if (node.op === 'value') {
    if (typeof node.args === 'string' || typeof node.args === 'boolean') return [typeof node.args as Type];
    return typeof node.args === 'bigint' || typeof node.args === 'number' ? ['number'] : undefined;
  }
  const path = pathOf(node);
  return path === undefined || path.length === 0 ? undefined : typesAt(schemas, path);
}

function typesAt(schemas: readonly Definition[], path: readonly string[]): Types {
  const found = new Set<Type>();
  for (const schema of schemas) {
    const member = follow(schema, path);
    if (member === undefined) return undefined;
    // A tool without this argument says nothing of its type.
    if ('declared' in member) continue;
    const types = declaredTypes(member.schema);
    if (types === undefined) return undefined;
    for (const type of types) found.add(type);
  }
  return found.size === 0 ? undefined : [...found];
}

function declaredTypes(schema: unknown): Types {
  if (!isMap(schema) || schema.nullable === true) return undefined;
  const { type, anyOf, oneOf } = schema;
  if (type !== undefined) {
    const types = [type].flat().map((each) => (each === 'integer' ? 'number' : each));
    return types.every((each): each is Type => typeof each === 'string' && Object.hasOwn(words, each))
      ? types
      : undefined;
  }
  const branches = [anyOf, oneOf].find(Array.isArray)?.map(declaredTypes);
  return branches?.includes(undefined) === false ? branches.flatMap((types) => types!) : undefined;
}
