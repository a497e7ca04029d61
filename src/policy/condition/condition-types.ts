// Types of conditions: members of `principal` and `request`, and comparisons that can never hold.
import type * as cel from '@marcbachmann/cel-js';
import { suggestion } from '../../config/schema/suggestion.ts';
import { accessOf, fieldPath, operands, textOf } from './condition-syntax.ts';

const members = {
  principal: {
    kind: 'string',
    issuer: 'string',
    subject: 'string',
    clientId: 'string',
    scopes: 'list<string>',
    claims: 'map<string, dyn>',
  },
  request: { method: 'string', path: 'string', address: 'string' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** An environment that knows these types. Conditions are checked in it, and evaluated in another one, where objects are maps. */
export function declareTypes(environment: cel.Environment): cel.Environment {
  return environment
    .registerType('Principal', { fields: members.principal })
    .registerType('Request', { fields: members.request })
    .registerOperator('string in Principal', () => false)
    .registerOperator('string in Request', () => false)
    .registerVariable('principal', 'Principal')
    .registerVariable('request', 'Request');
}

/** Throws an Error that names the first member of `principal` or `request` that there is not. */
export function checkMembers(root: cel.ASTNode): void {
  for (const [object, known] of Object.entries(members)) {
    const unknown = membersRead(root, object).find((name) => !Object.hasOwn(known, name));
    if (unknown === undefined) continue;
    throw new Error(`${object} has no member ${JSON.stringify(unknown)}${suggestion(unknown, Object.keys(known))}`);
  }
}

/** The members of an object, such as `principal.claims`, that stand in a condition: read, asked for with `has()`, or looked up with `in`. */
export function membersRead(root: cel.ASTNode, object: string): string[] {
  const found = new Set<string>();
  const visit = (node: cel.ASTNode): void => {
    const access = accessOf(node);
    if (access?.holder === object) found.add(access.name);
    const name = node.op === 'in' && fieldPath(node.args[1]) === object ? textOf(node.args[0]) : undefined;
    if (name !== undefined) found.add(name);
    for (const part of operands(node)) visit(part);
  };
  visit(root);
  return [...found];
}

const advice: readonly (readonly [overload: RegExp, advice: string])[] = [
  [/: list<string> [!=]= string$/, 'a list holds a text with `"…" in list`'],
  [/: string in string$/, 'write the text as a list, such as ["…"], or ask with contains()'],
  [/ [!=]= null$|: null [!=]=/, 'ask with has() if it is there'],
];

/** Advice on an error of the type check. */
export function typeAdvice(summary: string): string {
  const found = advice.find(([overload]) => overload.test(summary));
  return found === undefined ? '' : `: ${found[1]}`;
}
