// Audit file of `portcullis dev`: verified by the self-test, then followed for a line for each request.
import { setTimeout as delay } from 'node:timers/promises';
import { followFile } from '../../audit/reading/follow.ts';
import { type AuditRecord, parseRecord } from '../../audit/reading/record.ts';
import { splitLines } from '../../audit/sinks/file/lines.ts';
import { verifyChain } from '../../audit/verify.ts';
import type { DevelopmentEvent } from './event.ts';
import { eventOf } from './record.ts';

const patienceMs = 5000;
const pauseMs = 100;

/** The problem of an audit log that is not valid, or does not hold the completed records of the requests soon: they are written behind the answers. */
export async function auditProblem(file: string, requestIds: readonly string[]): Promise<string | undefined> {
  const missing = new Set(requestIds);
  for await (const { id, stage } of followRecords(file, AbortSignal.timeout(patienceMs))) {
    if (stage === 'completed') missing.delete(id);
    if (missing.size === 0) break;
  }
  if (missing.size > 0) return `${missing.size} of ${requestIds.length} requests have no record in ${file}`;
  const { problems } = await verifyChain([file]);
  return problems[0]?.reason;
}

/** Tells of each request and reload from now on. */
export async function tellRequests(
  file: string,
  tell: (event: DevelopmentEvent) => void,
  stopped: AbortSignal,
): Promise<void> {
  let isNew = false;
  const caughtUp = () => {
    isNew = true;
  };
  for await (const record of followRecords(file, stopped, caughtUp)) {
    const event = isNew ? eventOf(record) : undefined;
    if (event !== undefined) tell(event);
  }
}

async function* followRecords(file: string, signal: AbortSignal, caughtUp = () => {}): AsyncGenerator<AuditRecord> {
  const pause = () => delay(pauseMs, undefined, { signal }).catch(() => {});
  for await (const lines of splitLines(followFile(file, { signal, caughtUp, pause }))) {
    for (const { bytes } of lines) {
      const record = parseRecord(bytes);
      if (record !== undefined) yield record;
    }
  }
}
