// Mutual exclusion of asynchronous tasks (mutex), first come first served.

/** Runs tasks one after another, in the order of the calls. */
export function createTurns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const turn = last.then(task);
    last = turn.catch(() => {});
    return turn;
  };
}
