// Read turns: connections whose reads cost much are read a few at a time, so that one turn of the event loop stays short.

/** Runs `resume` in one of the next turns of the event loop, in order of the calls. */
export type ReadTurns = (resume: () => void) => void;

const readsPerTurn = 16;

/** Creates the turns of a server. */
export function createReadTurns(): ReadTurns {
  const waiting: (() => void)[] = [];
  const run = (): void => {
    for (const resume of waiting.splice(0, readsPerTurn)) resume();
    if (waiting.length > 0) setImmediate(run);
  };
  return (resume) => {
    if (waiting.push(resume) === 1) setImmediate(run);
  };
}
