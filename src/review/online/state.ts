// Online check of the shared state: a connection, and the write by a script that the gateway itself needs.
import { createCircuit } from '../../state/redis/circuit.ts';
import { loadRedis } from '../../state/redis/client.ts';
import { addressesOf, type StateConfig } from '../../state/schema.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CheckResult, failed, ok } from './finding.ts';

/** Asks the server. */
export async function checkState({ redis }: StateConfig, { loaded }: PolicyFile): Promise<CheckResult> {
  const ignore = (): void => {};
  const open = await loadRedis(redis, loaded.files);
  const circuit = createCircuit(open, `${redis.prefix}trial`, { outageBegan: ignore, outageEnded: ignore });
  const where = addressesOf(redis)
    .map(({ host, port }) => `${host}:${port}`)
    .join(', ');
  try {
    await circuit.connect();
    const failure = circuit.outage();
    if (failure === undefined) return ok(`${where} takes what the gateway writes`);
    const { message } = (failure.cause ?? {}) as Partial<Error>;
    return failed(`${where}: ${failure.outcome}: ${failure.message}${message === undefined ? '' : ` (${message})`}`);
  } finally {
    await circuit.close();
  }
}
