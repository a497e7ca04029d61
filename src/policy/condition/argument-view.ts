// Arguments of a call as conditions see them: a member that another JSON reader could take for something else cannot be read.
import { inexact, parseExactly } from '../../json/exact-numbers.ts';
import { foldName } from '../../json/fold.ts';
import { type EvaluationState, fail } from './evaluation.ts';

type Members = Readonly<Record<string, unknown>>;

/**
 * The view of a text that was scanned before. A number without an exact value fails the evaluation when it is read, and so does a name, present or
 * absent, while its object has another one of the same fold. Where names are enumerated, all of them are read, and all texts of the condition.
 */
export function viewArguments(bytes: Buffer, state: EvaluationState): unknown {
  return viewOf(parseExactly(bytes.toString('utf8')), state, new WeakMap());
}

/** The view of claims, which have one reader. */
export function viewClaims(claims: Members): unknown {
  return viewOf(claims, undefined, new WeakMap());
}

const original = Symbol('original');

/** The parsed value behind a view; any other value as it is. */
export function originalOf(value: object): object {
  return (value as { readonly [original]?: object })[original] ?? value;
}

/** Without a state, every member can be read. */
function viewOf(value: unknown, state: EvaluationState | undefined, views: WeakMap<object, unknown>): unknown {
  if (state !== undefined && value === inexact) return fail(state, 'inexact_number');
  if (typeof value !== 'object' || value === null) return value;
  const known = views.get(value);
  if (known !== undefined) return known;
  const view = Array.isArray(value)
    ? value.map((element) => viewOf(element, state, views))
    : viewObject(value as Members, state, views);
  views.set(value, view);
  return view;
}

/** A Map to CEL: of any other object it reads the member `constructor`, to learn its type. */
function viewObject(members: Members, state: EvaluationState | undefined, views: WeakMap<object, unknown>): object {
  let owners: ReadonlyMap<string, string | undefined> | undefined;
  // One access of CEL asks for the same name several times.
  let checked: string | undefined;
  const checkName = (name: string): void => {
    if (state === undefined || name === checked) return;
    owners ??= namesByFold(members);
    const fold = keyOf(name);
    if (owners.has(fold) && owners.get(fold) !== name) fail(state, 'ambiguous_name');
    checked = name;
  };
  const names = (): readonly string[] => {
    const all = Object.keys(members);
    if (state !== undefined) state.enumerations += 1;
    all.forEach(checkName);
    for (const text of state?.texts ?? []) checkName(text);
    return all;
  };
  const memberOf = (name: string): unknown => viewOf(members[name], state, views);
  const has = (key: unknown): boolean => {
    const name = String(key);
    checkName(name);
    return Object.hasOwn(members, name);
  };
  const entries = () =>
    names()
      .map((name) => [name, memberOf(name)] as const)
      [Symbol.iterator]();
  const view = {
    [original]: members,
    has,
    get: (key: unknown) => (has(key) ? memberOf(String(key)) : undefined),
    keys: () => names()[Symbol.iterator](),
    entries,
    [Symbol.iterator]: entries,
    get size() {
      return names().length;
    },
  };
  return Object.create(Map.prototype, Object.getOwnPropertyDescriptors(view));
}

/** The name of each fold; undefined where there are several. */
function namesByFold(members: Members): ReadonlyMap<string, string | undefined> {
  const owners = new Map<string, string | undefined>();
  for (const name of Object.keys(members)) owners.set(keyOf(name), owners.has(keyOf(name)) ? undefined : name);
  return owners;
}

/** A leading letter keeps names such as "1234" from hashing as array indices, whose hash an attacker can foresee. */
function keyOf(name: string): string {
  return `k${foldName(name)}`;
}
