// State of one replica, connected to a server of Redis, with what it told its observer.
import { GatewayError } from '../../src/errors.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { createLocalState } from '../../src/state/local-state.ts';
import { loadRedis } from '../../src/state/redis/client.ts';
import type { StateOutcome } from '../../src/state/redis/failure.ts';
import { createRedisState, type RedisState } from '../../src/state/redis/redis-state.ts';
import { state as schema } from '../../src/state/schema.ts';

export type StateReplica = RedisState & { readonly failed: StateOutcome[]; readonly outages: string[] };

/** Written as in `state` of a configuration. `commandMs` is long, unless silence is the subject. */
export async function connectReplica(
  written: object,
  commandMs = 30_000,
  files: Readonly<Record<string, string>> = {},
): Promise<StateReplica> {
  const config = schema.parse(written);
  const contents = new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)]));
  const failed: StateOutcome[] = [];
  const outages: string[] = [];
  const state = createRedisState({
    config,
    open: await loadRedis(config.redis, createNamedFiles(contents)),
    local: createLocalState({ now: Date.now }),
    now: Date.now,
    times: { commandMs, connectMs: 30_000 },
    observe: {
      stateFailed: (outcome) => void failed.push(outcome),
      outageBegan: () => void outages.push('began'),
      outageEnded: () => void outages.push('ended'),
    },
  });
  await state.connect();
  return Object.assign(state, { failed, outages });
}

/** `503 state_unavailable`; `passed` where nothing was thrown. */
export function refusalOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'passed',
    (error: unknown) => (error instanceof GatewayError ? `${error.status} ${error.code}` : String(error)),
  );
}
