// Simplification and comparison of access formulas, in steps.
import {
  type Access,
  allValues,
  type Clause,
  errs,
  isFalse,
  isTrue,
  type Literal,
  negated,
  rulesOf,
  type Variable,
  type Way,
} from './access-formula.ts';

/** A computation in steps, so that who runs it can do other things between them. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Runs all steps at once. */
export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same access without ways that cannot be taken or that others cover, and with ways that differ in one variable put together. */
export function* simplify(access: Access): Steps<Access> {
  let ways: Way[] = [];
  for (const way of access) {
    yield;
    const simplified = simplifyWay(way);
    if (simplified !== undefined) ways.push(simplified);
  }
  for (;;) {
    ways = yield* withoutCovered(ways);
    const merged = yield* mergeFirst(ways);
    if (merged !== undefined) ways = merged;
    else return ways.length > 1 && (yield* implies([always], ways)) ? [{ ...always, rule: rulesOf(ways) }] : ways;
  }
}

function* withoutCovered(ways: readonly Way[]): Steps<Way[]> {
  const kept: Way[] = [];
  for (const [index, way] of ways.entries()) {
    yield;
    if (!ways.some((other, at) => at !== index && covers(other, way, at < index))) kept.push(way);
  }
  return kept;
}

const always: Way = { rule: '', clauses: [] };

/** Undefined where its clauses contradict each other. */
function simplifyWay({ rule, clauses }: Way): Way | undefined {
  let current: readonly Clause[] = clauses;
  for (;;) {
    const units = unitsOf(current);
    if (units === undefined) return undefined;
    const others = current.filter((clause) => clause.length !== 1).map((clause) => reduce(clause, units));
    if (others.some((clause) => clause?.length === 0)) return undefined;
    const open = others.filter((clause) => clause !== undefined);
    const left = open.filter(
      (clause, index) =>
        !open.some((other, at) => at !== index && within(other, clause) && (at < index || !within(clause, other))),
    );
    const next = [...[...units.values()].map((unit) => [unit]), ...left];
    if (!left.some((clause) => clause.length === 1)) return { rule, clauses: next };
    current = next;
  }
}

/** The literals that must hold; undefined where a variable has no value left. */
function unitsOf(clauses: readonly Clause[]): Map<string, Literal> | undefined {
  const units = new Map<string, Literal>();
  for (const [literal, ...more] of clauses) {
    if (literal === undefined) return undefined;
    if (more.length > 0) continue;
    const { variable } = literal;
    const mask = literal.mask & (units.get(variable.key)?.mask ?? allValues(variable));
    if (mask === 0) return undefined;
    units.set(variable.key, { variable, mask });
  }
  for (const [key, { variable, mask }] of units) {
    if (mask === allValues(variable)) units.delete(key);
    for (const other of units.values()) {
      if (relationBetween(variable, other.variable) === 'apart' && mask === isTrue && other.mask === isTrue)
        return undefined;
    }
  }
  return units;
}

/** The clause where the units hold; undefined where they make it true. */
function reduce(clause: Clause, units: ReadonlyMap<string, Literal>): Clause | undefined {
  const masks = new Map<string, Literal>();
  for (const { variable, mask } of clause) {
    const joined = mask | (masks.get(variable.key)?.mask ?? 0);
    masks.set(variable.key, { variable, mask: joined });
  }
  const left: Literal[] = [];
  for (const { variable, mask } of masks.values()) {
    if (mask === allValues(variable)) return undefined;
    if ([...units.values()].some((unit) => entails(unit, { variable, mask }))) return undefined;
    const possible = mask & (units.get(variable.key)?.mask ?? allValues(variable));
    const excluded = [...units.values()].some((unit) => entails(unit, negated({ variable, mask })));
    if (possible !== 0 && !excluded) left.push({ variable, mask });
  }
  return left;
}

/** Reports whether it is certain that the second literal holds where the first does. */
function entails(one: Literal, other: Literal): boolean {
  if (one.variable.key === other.variable.key) return (one.mask & ~other.mask) === 0;
  const relation = relationBetween(one.variable, other.variable);
  if (one.mask === isTrue && other.mask & isTrue && relation === 'within') return true;
  if (one.mask === isTrue && other.mask & isFalse && relation === 'apart') return true;
  return (
    one.mask === isFalse &&
    one.variable.values === 2 &&
    other.variable.values === 2 &&
    other.mask === isFalse &&
    relationBetween(other.variable, one.variable) === 'within'
  );
}

function relationBetween(one: Variable, other: Variable): 'within' | 'apart' | undefined {
  return one.key === other.key ? undefined : one.relationTo?.(other);
}

/** Reports whether the first clause can only hold where the second does. */
function within(one: Clause, other: Clause): boolean {
  return one.every((literal) => other.some((wider) => entails(literal, wider)));
}

/** Reports whether `wider` is open wherever `narrower` is; of two equal ones the first. */
function covers(wider: Way, narrower: Way, isFirst: boolean): boolean {
  const isWider = (one: Way, other: Way): boolean =>
    one.clauses.every((clause) => other.clauses.some((stricter) => within(stricter, clause)));
  return isWider(wider, narrower) && (isFirst || !isWider(narrower, wider));
}

/** Two ways that differ in the values of one variable are one. Undefined where there are no such two. */
function* mergeFirst(ways: readonly Way[]): Steps<Way[] | undefined> {
  for (const [index, way] of ways.entries()) {
    yield;
    for (const [at, other] of ways.slice(0, index).entries()) {
      const clauses = merge(way, other);
      if (clauses === undefined) continue;
      const simplified = simplifyWay({ rule: rulesOf([other, way]), clauses });
      if (simplified === undefined) continue;
      return [...ways.filter((_, position) => position !== index && position !== at), simplified];
    }
  }
  return undefined;
}

function merge(one: Way, other: Way): readonly Clause[] | undefined {
  const keys = new Set(other.clauses.map(keyOfClause));
  const [mine, ...more] = one.clauses.filter((clause) => !keys.has(keyOfClause(clause)));
  const mineKeys = new Set(one.clauses.map(keyOfClause));
  const [theirs, ...others] = other.clauses.filter((clause) => !mineKeys.has(keyOfClause(clause)));
  if (more.length > 0 || others.length > 0 || mine?.length !== 1 || theirs?.length !== 1) return undefined;
  const [{ variable, mask }] = mine as [Literal];
  const [{ variable: same, mask: otherMask }] = theirs as [Literal];
  if (variable.key !== same.key) return undefined;
  const shared = one.clauses.filter((clause) => clause !== mine);
  return [...shared, [{ variable, mask: mask | otherMask }]];
}

function keyOfClause(clause: Clause): string {
  return clause
    .map(({ variable, mask }) => `${variable.key} ${mask}`)
    .sort()
    .join('\n');
}

/** More assignments than this are not tried. */
const maxAssignments = 20_000;
const assignmentsInStep = 64;

/** The change from one access to another; `incomparable` where neither is certain to be the wider one. */
export type AccessChange = 'same' | 'wider' | 'narrower' | 'incomparable';

/** Compares what two accesses mean, however they are written. */
export function compareAccess(before: Access, after: Access): AccessChange {
  const [kept, added] = [runSteps(implies(before, after)), runSteps(implies(after, before))];
  if (kept) return added ? 'same' : 'wider';
  return added ? 'narrower' : 'incomparable';
}

/** Reports whether the second is open wherever the first is. Tries all values of the variables, or where those are too many compares the ways. */
function* implies(one: Access, other: Access): Steps<boolean> {
  const variables = [...one, ...other].flatMap(({ clauses }) => clauses.flat().map(({ variable }) => variable));
  const distinct = [...new Map(variables.map((variable) => [variable.key, variable])).values()];
  const count = distinct.reduce((product, { values }) => product * values, 1);
  if (count > maxAssignments) return one.every((way) => other.some((wider) => covers(wider, way, true)));
  const related = relationsAmong(distinct);
  const assignment = new Map<string, number>();
  for (let number = 0; number < count; number++) {
    if (number % assignmentsInStep === 0) yield;
    let rest = number;
    for (const { key, values } of distinct) {
      assignment.set(key, 2 ** (rest % values));
      rest = Math.floor(rest / values);
    }
    if (related.every((clause) => isMet(clause, assignment)) && isOpen(one, assignment) && !isOpen(other, assignment))
      return false;
  }
  return true;
}

/** Relations between variables that hold for every call. */
function relationsAmong(variables: readonly Variable[]): Clause[] {
  const related = (one: Variable, other: Variable): Clause[] => {
    const relation = relationBetween(one, other);
    const implied = { variable: other, mask: relation === 'within' ? isTrue : isFalse | errs };
    return [
      ...(relation === undefined ? [] : [[negated({ variable: one, mask: isTrue }), implied]]),
      ...(one.errsWith?.(other) ? [[negated({ variable: one, mask: errs }), { variable: other, mask: errs }]] : []),
    ];
  };
  return variables.flatMap((one) => variables.flatMap((other) => related(one, other)));
}

function isOpen(access: Access, assignment: ReadonlyMap<string, number>): boolean {
  return access.some(({ clauses }) => clauses.every((clause) => isMet(clause, assignment)));
}

function isMet(clause: Clause, assignment: ReadonlyMap<string, number>): boolean {
  return clause.some(({ variable, mask }) => ((assignment.get(variable.key) ?? 0) & mask) !== 0);
}
