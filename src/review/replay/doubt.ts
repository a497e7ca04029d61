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
  | 'time'
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

/** One way in which an evaluation may turn out. */
export interface Run<T> {
  readonly outcome: T;
  /** The choices that led to it, in their order. */
  readonly choices: readonly { readonly fact: Fact; readonly way: number }[];
}

/** All ways that are possible, or the fact without which there is none. */
export type Runs<T> = readonly Run<T>[] | { readonly lacking: Fact };

/** Ways are tried up to this number; where there are more, nothing is told. */
const maxRuns = 512;

/** Creates a doubt, and the exploration of what is evaluated with it. It is used for one evaluation after the other. */
export function createDoubt(): { readonly doubt: Doubt; readonly explore: <T>(evaluate: () => T) => Runs<T> } {
  let facts: Fact[] = [];
  /** The way of each choice of this run, and the number of ways that it has. */
  let path: number[] = [];
  let ways: number[] = [];
  let depth = 0;
  /** The first unknown fact that was read. */
  let touched: Fact | undefined;

  function choose(number: number, fact: Fact): number {
    facts[depth] = fact;
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
      path = [];
      const all: Run<ReturnType<typeof evaluate>>[] = [];
      do {
        [facts, ways] = [[], []];
        depth = 0;
        touched = undefined;
        try {
          const outcome = evaluate();
          all.push({ outcome, choices: path.slice(0, depth).map((way, at) => ({ fact: facts[at]!, way })) });
        } catch (error) {
          if (!(error instanceof UnknownFact)) throw error;
          return { lacking: error.fact };
        }
        // Read outside of a test, and the error was taken for another one.
        if (touched !== undefined) return { lacking: touched };
        if (all.length > maxRuns) return { lacking: facts[0]! };
      } while (advance());
      return all;
    },
  };
}

/** The facts that make the difference: another way of such a one leads to other outcomes. */
export function decisiveFacts<T>(runs: readonly Run<T>[], textOf: (outcome: T) => string): Fact[] {
  /** By the choices before it: the outcomes behind each way of a choice. */
  const choices = new Map<string, { readonly fact: Fact; readonly behind: Map<number, Set<string>> }>();
  for (const { choices: taken, outcome } of runs) {
    taken.forEach(({ fact, way }, depth) => {
      const before = taken.slice(0, depth).map((each) => each.way);
      const choice = choices.get(before.join()) ?? { fact, behind: new Map() };
      choices.set(before.join(), choice);
      choice.behind.set(way, (choice.behind.get(way) ?? new Set()).add(textOf(outcome)));
    });
  }
  const isDecisive = ({ behind }: { readonly behind: ReadonlyMap<number, ReadonlySet<string>> }): boolean =>
    new Set([...behind.values()].map((outcomes) => [...outcomes].sort().join())).size > 1;
  return [...new Set([...choices.values()].filter(isDecisive).map(({ fact }) => fact))];
}
