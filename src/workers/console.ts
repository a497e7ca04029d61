// Console of several processes: the supervisor asks one worker at a time, by one call for all functions of its console source.
import { deserialize, serialize } from 'node:v8';
import { failure } from '../console/failure.ts';
import type { ConsoleProcess, ConsoleSource } from '../console/source.ts';
import type { AdminSource, OpenConsole } from '../gateway/admin/admin.ts';
import type { RunningParts } from '../gateway/admin/admin-source.ts';
import type { Log } from '../log.ts';
import type { ConsoleAnswer, ConsoleCall } from './calls.ts';
import { isAnswering, problemOf, type Seat } from './seat.ts';

/** A worker that takes longer is told of as one that does not answer. */
const answerTimeoutMs = 5000;
/** Bound of an answer: the channel also carries connections. */
const maxAnswerBytes = 4 * 1024 * 1024;

/** Answers the supervisor in a worker. The source is made for the first call. */
export function answerConsole(parts: RunningParts): (call: ConsoleCall) => Promise<ConsoleAnswer> {
  let opening: Promise<ConsoleSource> | undefined;
  const open = async () => (await import('../console/process-source.ts')).createProcessSource(parts);
  return async ({ args, method }) => {
    try {
      opening ??= open();
      const source = (await opening) as unknown as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
      if (!Object.hasOwn(source, method)) throw new Error(`the console of this worker has no function ${method}`);
      const value = serialize(await source[method]!(...args));
      if (value.length > maxAnswerBytes) throw new Error(`the answer to ${method} is larger than 4 MiB`);
      return { value };
    } catch (error) {
      const { message, statusCode } = error as Error & { readonly statusCode?: number };
      if (statusCode === undefined) parts.log.error({ err: error }, 'the console of this worker failed');
      return { error: message, statusCode };
    }
  };
}

/** The function that makes the console of a supervisor. */
export function consoleOf(
  { seats }: { readonly seats: readonly Seat[] },
  { isServedHost, settings: admin }: Pick<AdminSource, 'isServedHost' | 'settings'>,
  version: string,
  log: Log,
): OpenConsole {
  return async () => {
    const { createConsole } = await import('../console/console.ts');
    return createConsole({ processes: consoleProcesses(seats), admin, isServedHost, version, log });
  };
}

/** The workers as the console of their supervisor shows them. */
export function consoleProcesses(seats: readonly Seat[]): () => readonly ConsoleProcess[] {
  const sources = new Map(seats.map((seat) => [seat, createRemoteSource(seat)]));
  return () =>
    seats.map((seat) => {
      const worker = seat.slot.number;
      if (isAnswering(seat)) return { worker, source: sources.get(seat) };
      return { worker, source: undefined, problem: problemOf(seat) };
    });
}

/** The source of whichever process has the place. Its functions throw an Error with the status 503 while that does not answer. */
function createRemoteSource(seat: Seat): ConsoleSource {
  const call = async (method: string, args: readonly unknown[]): Promise<unknown> => {
    const answer = await seat.process?.channel
      .ask('console', { method, args }, { timeoutMs: answerTimeoutMs })
      .catch(() => undefined);
    if (answer === undefined) throw failure(503, `Worker ${seat.slot.number}: ${problemOf(seat)}.`);
    if ('error' in answer) throw failure(answer.statusCode, answer.error);
    return deserialize(answer.value);
  };
  const get = (_: object, name: string | symbol) =>
    // A promise resolved with the source would ask it for `then`.
    typeof name === 'symbol' || name === 'then' ? undefined : (...args: readonly unknown[]) => call(name, args);
  return new Proxy({}, { get }) as ConsoleSource;
}
