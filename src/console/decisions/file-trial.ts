// Trial of recorded requests under the configuration file on the disk, in a bounded worker thread: a large file holds up no request.
import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import type { FileQuestion } from './file-thread.ts';
import type { RecordReading, Untried } from './reading.ts';

/** Bounds of a trial. */
export interface TrialBounds {
  /** Time that one question may take, and memory of the thread's heap. */
  readonly timeoutMs: number;
  readonly heapMegabytes: number;
  /** Time that a viewer waits for an answer. The thread goes on, so that the next view finds the file opened. */
  readonly waitMs: number;
  /** Questions that wait, with the one that is answered. */
  readonly questions: number;
  /** The opened file is kept so long behind the last question. */
  readonly keepMs: number;
}

const defaults: TrialBounds = {
  timeoutMs: 60_000,
  heapMegabytes: 512,
  // Less than a supervisor waits for its worker.
  waitMs: 4000,
  questions: 4,
  keepMs: 300_000,
};

/** Reads a recorded request under the file. */
export type TryFile = (question: FileQuestion) => Promise<RecordReading | Untried>;

/** Starts a thread. Throws where the system has none to give. */
export type StartWorker = (script: URL, options: WorkerOptions) => Worker;

/** Creates the function. The thread starts with the first question, and answers one at a time. */
export function createFileTrial(
  changes: Partial<TrialBounds> = {},
  startWorker: StartWorker = (script, options) => new Worker(script, options),
): TryFile {
  const { heapMegabytes, keepMs, questions, timeoutMs, waitMs } = { ...defaults, ...changes };
  let thread: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();

  function start(): Worker {
    const script = new URL(`./file-thread${extname(import.meta.filename)}`, import.meta.url);
    const started = startWorker(script, { resourceLimits: { maxOldGenerationSizeMb: heapMegabytes } });
    started.unref();
    // Also between two questions; an event without a listener would end the process.
    return started.on('error', () => end(started));
  }

  function end(ended = thread): void {
    void ended?.terminate();
    if (thread === ended) thread = undefined;
  }

  async function ask(question: FileQuestion): Promise<RecordReading | Untried> {
    clearTimeout(idle);
    try {
      thread ??= start();
      const answered = once(thread, 'message', { signal: AbortSignal.timeout(timeoutMs) });
      thread.postMessage(question);
      return (await answered)[0];
    } catch (error) {
      end();
      return failureOf(error as NodeJS.ErrnoException);
    } finally {
      idle = setTimeout(end, keepMs).unref();
    }
  }

  function failureOf({ code, message }: NodeJS.ErrnoException): Untried {
    const instead = 'Use portcullis replay, in a process of its own.';
    if (code === 'ABORT_ERR')
      return { name: 'timeout', problems: [`To open the file took longer than ${timeoutMs / 1000} s. ${instead}`] };
    if (code === 'ERR_WORKER_OUT_OF_MEMORY')
      return { name: 'out_of_memory', problems: [`To open the file needs more than ${heapMegabytes} MiB. ${instead}`] };
    return { name: 'failed', problems: [message] };
  }

  return async (question) => {
    if (waiting >= questions)
      return { name: 'busy', problems: ['Others are trying requests right now. Load the page again.'] };
    waiting += 1;
    const turn = last.then(() => ask(question));
    const done = (): void => {
      waiting -= 1;
    };
    // Never rejected: a question that fails takes none with it.
    last = turn.then(done, done);
    return Promise.race([turn, stillOpening(waitMs)]);
  };
}

function stillOpening(waitMs: number): Promise<Untried> {
  return new Promise((resolve) => {
    const problems = ['The file is being opened. Load the page again.'];
    setTimeout(resolve, waitMs, { name: 'opening', problems }).unref();
  });
}
