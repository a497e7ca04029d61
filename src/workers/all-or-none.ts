// Reload of all workers or none: each prepares the configuration, then all commit or all dispose of it (two-phase commit).
import type { FilesRead } from '../config/files/reading.ts';
import type { ToWorker } from './calls.ts';
import { ChannelError } from './channel.ts';
import type { Seat } from './seat.ts';

/** A configuration as workers get it. */
export interface Given {
  readonly hash: string;
  readonly reading: FilesRead;
}

/** A worker that runs. */
export interface RunningSeat {
  readonly seat: Seat;
  readonly channel: ToWorker;
}

const timeoutMs = 60_000;

/** True when all have it; false when a worker ended meanwhile, which tells nothing of the configuration. Throws the problem of those that cannot take it. */
export async function tryReplace(
  next: () => Promise<Given>,
  install: () => void,
  running: () => readonly RunningSeat[],
): Promise<boolean> {
  const { hash, reading } = await next();
  const asked = running();
  const answers = await Promise.allSettled(asked.map(({ channel }) => channel.ask('prepare', reading, { timeoutMs })));
  const failed = answers.flatMap((answer, index) => {
    if (answer.status === 'fulfilled' && answer.value.hash === hash) return [];
    const error: Error = answer.status === 'rejected' ? answer.reason : new Error('it loads another configuration');
    return [{ worker: asked[index]!.seat.slot.number, error }];
  });
  if (asked.length === 0) return false;
  if (failed.length === 0) {
    install();
    await Promise.all(
      asked.map(({ channel, seat }) =>
        channel
          .ask('commit', undefined, { timeoutMs })
          .catch(() => seat.process?.kill('it did not take the new configuration')),
      ),
    );
    return true;
  }
  await Promise.allSettled(asked.map(({ channel }) => channel.ask('dispose', undefined)));
  const told = failed.filter(({ error }) => !(error instanceof ChannelError && error.reason === 'closed'));
  if (told.length === 0) return false;
  const { error, worker } = told[0]!;
  const isOfAll = told.length === asked.length && told.every((each) => each.error.message === error.message);
  throw isOfAll ? error : new Error(`worker ${worker}: ${error.message}`);
}
