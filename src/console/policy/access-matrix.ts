// Access matrix of the policy in force: worked out in slices between requests, once for a policy.
import { setTimeout as pause } from 'node:timers/promises';
import { answerOf, rulesOf } from '../../policy/access/access-formula.ts';
import type { Steps } from '../../policy/access/access-simplification.ts';
import { askAccess } from '../../review/access/access.ts';
import { type CallerClass, nameOf } from '../../review/access/access-callers.ts';
import type { AccessItem } from '../../review/access/access-items.ts';
import { wordsOfAccess } from '../../review/access/access-words.ts';
import type { PolicyFile } from '../../review/policy-file.ts';

/** The answer of cells. */
export interface CellAnswer {
  /** `unknown`: too much to work out here. */
  readonly access: 'yes' | 'no' | 'conditional' | 'unknown';
  readonly condition: string | undefined;
  readonly rules: string | undefined;
}

/** All cells. */
export interface AccessMatrix {
  readonly policy: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly callers: readonly {
    readonly caller: CallerClass;
    readonly name: string;
    readonly refused: string | undefined;
  }[];
  readonly items: readonly Pick<AccessItem, 'kind' | 'name' | 'routeName' | 'routePath'>[];
  /** Callers and items that are left out, as there are too many. */
  readonly cut: { readonly callers: number; readonly items: number };
  /** Each once. */
  readonly answers: readonly CellAnswer[];
  /** Positions in `answers`, one item after the other. */
  readonly cells: Uint16Array;
}

/** Bounds of a matrix. */
export interface MatrixBounds {
  readonly cells: number;
  readonly callers: number;
  /** Conditional rules for one cell; the work grows with their fourth power. */
  readonly openRules: number;
  /** Steps in all, each well below a millisecond. */
  readonly steps: number;
  /** Characters of all conditions. */
  readonly characters: number;
}

export const matrixBounds: MatrixBounds = {
  cells: 500_000,
  callers: 5000,
  openRules: 16,
  steps: 5_000_000,
  characters: 4_000_000,
};

const unknown: CellAnswer = { access: 'unknown', condition: undefined, rules: undefined };

/** Works out the matrix, in steps. Each cell is what `portcullis who-can` gives, or `unknown` beyond the bounds. */
export function* matrixOf(file: PolicyFile, now: number, bounds = matrixBounds): Steps<AccessMatrix> {
  const [found] = yield* askAccess([file], now, { clients: [], tools: [] });
  const { accessTo, refusalOf } = found!;
  const callers = found!.callers.slice(0, bounds.callers);
  const items = found!.items.slice(0, Math.max(1, Math.floor(bounds.cells / callers.length)));
  const answers: CellAnswer[] = [unknown];
  const positions = new Map<string, number>();
  const cells = new Uint16Array(callers.length * items.length);
  let [steps, characters] = [0, 0];
  for (const [row, item] of items.entries()) {
    for (const [column, caller] of callers.entries()) {
      if (steps > bounds.steps) continue;
      const asked = accessTo(item, caller, bounds.openRules);
      let next = asked.next();
      for (; !next.done; next = asked.next()) {
        steps++;
        yield;
      }
      if (next.value === undefined) continue;
      const access = answerOf(next.value);
      const condition = access === 'conditional' ? wordsOfAccess(next.value) : undefined;
      const rules = rulesOf(next.value) || undefined;
      const key = JSON.stringify([access, condition, rules]);
      let position = positions.get(key);
      if (position === undefined) {
        characters += key.length;
        if (characters > bounds.characters || answers.length > 65_535) continue;
        position = answers.push({ access, condition, rules }) - 1;
        positions.set(key, position);
      }
      cells[row * callers.length + column] = position;
    }
  }
  return {
    policy: file.loaded.hash,
    at: now,
    callers: callers.map((caller) => ({ caller, name: nameOf(caller), refused: refusalOf(caller) })),
    items: items.map(({ kind, name, routeName, routePath }) => ({ kind, name, routeName, routePath })),
    cut: { callers: found!.callers.length - callers.length, items: found!.items.length - items.length },
    answers,
    cells,
  };
}

/** Options of `createMatrixKeeper`. */
export interface MatrixKeeperOptions {
  readonly now: () => number;
  /** Time of a slice of work, and the pause behind it. */
  readonly sliceMs?: number;
  readonly pauseMs?: number;
  /** Time after which work that nobody has asked for is given up. */
  readonly patienceMs?: number;
}

/** Gives the matrix of a policy, or undefined if it is not finished within `waitMs`; then it is asked again. */
export type AskMatrix = (file: PolicyFile, waitMs: number) => Promise<AccessMatrix | undefined>;

interface Work {
  readonly file: PolicyFile;
  readonly finished: Promise<AccessMatrix | undefined>;
  lastAskedMs: number;
  isGivenUp: boolean;
}

/** Keeps the matrix of the last policy that was asked about. */
export function createMatrixKeeper({
  now,
  sliceMs = 2,
  pauseMs = 10,
  patienceMs = 10_000,
}: MatrixKeeperOptions): AskMatrix {
  let last: Work | undefined;

  async function run(work: Work, steps: Steps<AccessMatrix>): Promise<AccessMatrix | undefined> {
    for (;;) {
      await pause(pauseMs, undefined, { ref: false });
      if (now() - work.lastAskedMs > patienceMs) work.isGivenUp = true;
      if (work.isGivenUp) return undefined;
      const end = performance.now() + sliceMs;
      do {
        const { done, value } = steps.next();
        if (done) return value;
      } while (performance.now() < end);
    }
  }

  function begin(file: PolicyFile): Work {
    const { promise: finished, resolve, reject } = Promise.withResolvers<AccessMatrix | undefined>();
    finished.catch(() => {});
    const work: Work = { file, finished, lastAskedMs: now(), isGivenUp: false };
    run(work, matrixOf(file, now())).then(resolve, reject);
    return work;
  }

  return async (file, waitMs) => {
    const isSame = last?.file.loaded === file.loaded && last.file.revocations === file.revocations && !last.isGivenUp;
    if (!isSame) {
      if (last !== undefined) last.isGivenUp = true;
      last = begin(file);
    }
    const work = last!;
    work.lastAskedMs = now();
    const waiting = new AbortController();
    const end = pause(waitMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    return Promise.race([work.finished, end]).finally(() => waiting.abort());
  };
}
