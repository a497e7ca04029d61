// Share of one process in limits that several processes have together (demarcation protocol).

/** A process among those that share: `number` from 1 to `of`. */
export interface ShareHolder {
  readonly number: number;
  readonly of: number;
}

/** A message of a process to the ledger. `id` names the question that `yielded` answers. */
export type LedgerMessage =
  | { readonly act: 'want'; readonly key: string; readonly max: number }
  | { readonly act: 'yielded'; readonly key: string; readonly id: number; readonly count: number }
  | { readonly act: 'returned'; readonly key: string; readonly count: number };

/** A message of the ledger to a process. */
export type ShareMessage =
  | { readonly act: 'yield'; readonly key: string; readonly max: number; readonly id: number }
  /** Units come from other processes; fewer than none: they went there. */
  | { readonly act: 'moved'; readonly key: string; readonly count: number }
  /** The answer to `want`: all that could be moved has come. */
  | { readonly act: 'settled'; readonly key: string };

/** One limit of each of its keys, such as the requests of a client. */
export interface SharedLimit {
  /** The units of a limit of `max` that this process may use. All processes together have `max`. */
  of(key: string, max: number): number;
  /** Asks the other processes for units that they do not use. False if they have none. */
  extend(key: string, max: number): Promise<boolean>;
  /** Forgets the limit. */
  close(): void;
}

/** The shares of one process. */
export interface LimitShares {
  /** Opens the limit of this name, without a line break. `used` counts the units of a key that are in use. */
  open(name: string, used: (key: string) => number): SharedLimit;
}

/** The shares as their channel sees them. */
export interface ConnectedShares extends LimitShares {
  receive(message: ShareMessage): void;
  /** Returns moved units that are not used. Called every few seconds. */
  sweep(): void;
}

/** Dependencies of the shares. */
export interface LimitSharesOptions {
  readonly holder: ShareHolder;
  readonly send: (message: LedgerMessage) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Calls later, unless the returned function is called before. */
  readonly after: (ms: number, call: () => void) => () => void;
}

/** A ledger that does not answer has nothing to give. It waits itself, for one process after the other. */
const answerTimeoutMs = 5000;
/** Time for which it is known that nobody has unused units: a limit that is reached everywhere costs few messages. */
const refusalMs = 10;

/** The equal share in a limit; the first processes have the units that are left over. */
export function equalShare({ number, of }: ShareHolder, max: number): number {
  return Math.floor(max / of) + (number <= max % of ? 1 : 0);
}

interface Question {
  readonly answer: Promise<boolean>;
  readonly settle: (isGranted: boolean) => void;
  isGranted: boolean;
}

/** Creates the shares of a process that no units were moved to or from. */
export function createLimitShares({ after, holder, now, send }: LimitSharesOptions): ConnectedShares {
  /** Units by limit and key: more than none came from other processes, fewer went there. */
  const moved = new Map<string, Map<string, number>>();
  const uses = new Map<string, Set<(key: string) => number>>();
  const questions = new Map<string, Question>();
  const refusedMs = new Map<string, number>();

  function movedOf(name: string): Map<string, number> {
    const known = moved.get(name) ?? new Map<string, number>();
    moved.set(name, known);
    return known;
  }

  function usedOf(name: string, key: string): number {
    let sum = 0;
    for (const used of uses.get(name) ?? []) sum += used(key);
    return sum;
  }

  function move(name: string, key: string, count: number): void {
    const units = movedOf(name);
    const sum = (units.get(key) ?? 0) + count;
    if (sum === 0) units.delete(key);
    else units.set(key, sum);
  }

  /** Gives away half of what is not used, so that the next question comes later. */
  function yieldUnits(name: string, key: string, max: number): number {
    const idle = equalShare(holder, max) + (movedOf(name).get(key) ?? 0) - usedOf(name, key);
    const count = Math.ceil(Math.max(0, idle) / 2);
    move(name, key, -count);
    return count;
  }

  function ask(limitKey: string, max: number): Promise<boolean> {
    const open = questions.get(limitKey);
    if (open !== undefined) return open.answer;
    if (now() - (refusedMs.get(limitKey) ?? Number.NEGATIVE_INFINITY) < refusalMs) return Promise.resolve(false);
    const { promise: answer, resolve } = Promise.withResolvers<boolean>();
    const settle = (isGranted: boolean): void => {
      cancel();
      questions.delete(limitKey);
      if (!isGranted) refusedMs.set(limitKey, now());
      resolve(isGranted);
    };
    const question: Question = { answer, settle, isGranted: false };
    const cancel = after(answerTimeoutMs, () => settle(question.isGranted));
    questions.set(limitKey, question);
    send({ act: 'want', key: limitKey, max });
    return answer;
  }

  return {
    open(name, used) {
      const units = movedOf(name);
      const ofName = uses.get(name) ?? new Set();
      uses.set(name, ofName.add(used));
      return {
        of: (key, max) => equalShare(holder, max) + (units.size === 0 ? 0 : (units.get(key) ?? 0)),
        extend: (key, max) => ask(`${name}\n${key}`, max),
        close: () => void ofName.delete(used),
      };
    },
    receive(message) {
      const { act, key: limitKey } = message;
      const end = limitKey.indexOf('\n');
      const [name, key] = [limitKey.slice(0, end), limitKey.slice(end + 1)];
      const question = questions.get(limitKey);
      if (act === 'yield') {
        send({ act: 'yielded', key: limitKey, id: message.id, count: yieldUnits(name, key, message.max) });
      } else if (act === 'moved') {
        move(name, key, message.count);
        if (question !== undefined) question.isGranted = true;
      } else question?.settle(question.isGranted);
    },
    sweep() {
      for (const [limitKey, time] of refusedMs) if (now() - time >= refusalMs) refusedMs.delete(limitKey);
      for (const [name, units] of moved) {
        for (const [key, count] of units) {
          const spare = count - usedOf(name, key);
          if (count <= 0 || spare <= 0) continue;
          move(name, key, -Math.min(spare, count));
          send({ act: 'returned', key: `${name}\n${key}`, count: Math.min(spare, count) });
        }
        if (units.size === 0 && uses.get(name)?.size === 0) {
          moved.delete(name);
          uses.delete(name);
        }
      }
    },
  };
}
