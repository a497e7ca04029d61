// Fair queue: tasks of many callers under one limit of concurrency, a share for each caller, served in turn (RFC 970).

import { createKeyedCounts, type KeyedCounts } from '../keyed-counts.ts';

/** Starts a task. The promise settles when the task has ended; it never rejects. */
export type Start = () => Promise<unknown>;

/** Bounds of a queue. */
export interface FairQueueLimits {
  /** Tasks that run at the same time. */
  readonly running: number;
  /** Of those, preferred ones, and likewise others: so that neither keep the other out. */
  readonly perLane: number;
  /** Of those of a lane, of one caller. */
  readonly perCaller: number;
  readonly waiting: number;
  readonly waitingPerCaller: number;
}

/** Takes tasks. */
export interface FairQueue {
  /** Starts the task when its turn comes, which for preferred ones is before all others. False where there is no room for it. */
  add(caller: string, preferred: boolean, start: Start): boolean;
}

interface Lane {
  /** By caller; the one whose turn is next comes first. */
  readonly waiting: Map<string, Start[]>;
  readonly callers: KeyedCounts<{ running: number }>;
  total: number;
}

/** Creates an empty queue. */
export function createFairQueue(limits: FairQueueLimits): FairQueue {
  const preferredTasks = createLane();
  const ordinaryTasks = createLane();
  let waiting = 0;

  function run(lane: Lane, caller: string, start: Start): void {
    const own = lane.callers.of(caller);
    lane.total++;
    own.running++;
    void start().then(() => {
      lane.total--;
      own.running--;
      startNext();
    });
  }

  function mayRun(lane: Lane, caller: string): boolean {
    if (preferredTasks.total + ordinaryTasks.total >= limits.running) return false;
    return lane.total < limits.perLane && lane.callers.of(caller).running < limits.perCaller;
  }

  function startNext(): void {
    for (const lane of [preferredTasks, ordinaryTasks]) {
      for (const [caller, starts] of lane.waiting) {
        if (!mayRun(lane, caller)) continue;
        const start = starts.shift()!;
        lane.waiting.delete(caller);
        if (starts.length > 0) lane.waiting.set(caller, starts);
        waiting--;
        run(lane, caller, start);
        return;
      }
    }
  }

  return {
    add(caller, preferred, start) {
      const lane = preferred ? preferredTasks : ordinaryTasks;
      const own = lane.waiting.get(caller) ?? [];
      if (own.length === 0 && mayRun(lane, caller)) {
        run(lane, caller, start);
        return true;
      }
      if (waiting >= limits.waiting || own.length >= limits.waitingPerCaller) return false;
      own.push(start);
      lane.waiting.set(caller, own);
      waiting++;
      return true;
    },
  };
}

function createLane(): Lane {
  return { waiting: new Map(), callers: createKeyedCounts(() => ({ running: 0 })), total: 0 };
}
