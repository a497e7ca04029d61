// Access formulas: the conditions under which a call is allowed, in disjunctive form over variables of few values.

/** Bits of the values of a variable. A condition that errs has its third value. */
export const isTrue = 1;
export const isFalse = 2;
export const errs = 4;

/** A fact that the configuration leaves open. */
export interface Variable {
  /** Equal for the same fact, in other policies too. */
  readonly key: string;
  /** The number of its values. */
  readonly values: number;
  /** Public: the fact as it stands in a cell, for a set of its values; `isWhole`: nothing shortened. */
  words(mask: number, isWhole?: boolean): string;
  /** Where both are true or false: `within`: true makes the other true as well; `apart`: both cannot be true. */
  relationTo?(other: Variable): 'within' | 'apart' | undefined;
  /** Of a condition: where it errs, the other errs too. */
  errsWith?(other: Variable): boolean;
}

/** The variable has one of the values in `mask`. */
export interface Literal {
  readonly variable: Variable;
  readonly mask: number;
}

/** One of the literals holds. */
export type Clause = readonly Literal[];

/** All clauses hold. */
export interface Way {
  /** The rule that allows the call. */
  readonly rule: string;
  readonly clauses: readonly Clause[];
}

/** One of the ways is open; without any, nobody passes. */
export type Access = readonly Way[];

/** All values of the variable. */
export function allValues({ values }: Variable): number {
  return 2 ** values - 1;
}

/** The literal that holds where this one does not. */
export function negated({ variable, mask }: Literal): Literal {
  return { variable, mask: allValues(variable) & ~mask };
}

/** `yes`: whatever is open; `no`: never. */
export function answerOf(access: Access): 'yes' | 'no' | 'conditional' {
  if (access.length === 0) return 'no';
  return access.some(({ clauses }) => clauses.length === 0) ? 'yes' : 'conditional';
}

/** The names of the rules of the ways, each once. */
export function rulesOf(ways: Access): string {
  return [...new Set(ways.flatMap(({ rule }) => rule.split(', ')))].join(', ');
}
