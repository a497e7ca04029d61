// Doubt about facts that are not known: an evaluation is run once for each way in which they may turn out. Pure.

/** A fact that a record may lack. */
export type Fact =
  | 'address'
  | 'arguments'
  | 'authenticator'
  | 'binding'
  | 'certificate'
  | 'claims'
  | 'credentials'
  | 'cut'
  | 'message'
  | 'request'
  | 'scopes'
  | 'time of issue';

/** Thrown where a fact is read that is not known. */
class UnknownFact extends Error {
  readonly fact: Fact;

  constructor(fact: Fact) {
    super(fact);
    this.fact = fact;
  }
}

/** The doubt of one evaluation at a time. */
export interface Doubt {
  /** One of so many ways in which a fact may turn out. */
  choose(ways: number, fact: Fact): number;
  /** Ends what is evaluated: it needs the fact. */
  lacks(fact: Fact): never;
  /**
   * The value of a test. One that reads an unknown fact may turn out either way, and err where `mayErr`: also beside an operand that decides, as the
   * fact may be such that no answer is given.
   */
  test(evaluate: () => boolean, mayErr: boolean): boolean;
  /** True within a test that has read an unknown fact. */
  isTouched(): boolean;
}

/** All outcomes that are possible, or the fact that is needed for one. */
export type Outcomes<T> =
  | { readonly all: readonly T[]; readonly facts: ReadonlySet<Fact> }
  | { readonly lacking: Fact };

/** Ways are tried up to this number; where there are more, nothing is told. */
const maxRuns = 512;

/** Creates a doubt, and the exploration of what is evaluated with it. It is used for one evaluation after the other. */
export function createDoubt(): { readonly doubt: Doubt; readonly explore: <T>(evaluate: () => T) => Outcomes<T> } {
  let facts = new Set<Fact>();
  /** The way of each choice of this run, and the number of ways that it has. */
  let path: number[] = [];
  let ways: number[] = [];
  let depth = 0;
  /** The first unknown fact that was read. */
  let touched: Fact | undefined;

  function choose(number: number, fact: Fact): number {
    facts.add(fact);
    if (depth === path.length) path.push(0);
    ways[depth] = number;
    return path[depth++]!;
  }

  function test(evaluate: () => boolean, mayErr: boolean): boolean {
    const outside = touched;
    touched = undefined;
    let value: boolean | undefined;
    let thrown: unknown;
    try {
      value = evaluate();
    } catch (error) {
      thrown = error;
    }
    const fact = touched as Fact | undefined;
    touched = outside;
    if (fact === undefined) {
      if (value === undefined) throw thrown;
      return value;
    }
    const values = value === undefined ? [true, false] : [value];
    const chosen = choose(values.length + (mayErr ? 1 : 0), fact);
    if (chosen === values.length) throw new UnknownFact(fact);
    return values[chosen]!;
  }

  /** The next path, in depth-first order; false when all were taken. */
  function advance(): boolean {
    while (path.length > 0 && path.at(-1)! + 1 >= ways[path.length - 1]!) path.pop();
    if (path.length === 0) return false;
    path[path.length - 1]! += 1;
    return true;
  }

  return {
    doubt: {
      choose,
      lacks(fact) {
        touched ??= fact;
        throw new UnknownFact(fact);
      },
      test,
      isTouched: () => touched !== undefined,
    },
    explore(evaluate) {
      facts = new Set();
      path = [];
      const all: ReturnType<typeof evaluate>[] = [];
      do {
        ways = [];
        depth = 0;
        touched = undefined;
        try {
          all.push(evaluate());
        } catch (error) {
          if (!(error instanceof UnknownFact)) throw error;
          return { lacking: error.fact };
        }
        // Read outside of a test, and the error was taken for another one.
        if (touched !== undefined) return { lacking: touched };
        if (all.length > maxRuns) return { lacking: [...facts][0]! };
      } while (advance());
      return { all, facts };
    },
  };
}
