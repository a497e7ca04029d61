// Fixtures of delivery tests: a receiver whose answers are scripted, and targets over it with a clock that does not wait.

import { type ChainHead, chainLines, genesis } from '../../../../src/audit/hash-chain.ts';
import type { DeliveryConfig } from '../../../../src/audit/sinks/delivery/delivery-config.ts';
import { createDeliveryTarget } from '../../../../src/audit/sinks/delivery/delivery-target.ts';
import type { Transport } from '../../../../src/audit/sinks/delivery/transport.ts';
import type { LogEvent, LossReason, SinkTarget, TargetRuntime } from '../../../../src/audit/sinks/sink-type.ts';
import { createNamedFiles } from '../../../../src/named-files.ts';
import { silent, someTime } from '../../support.ts';

export const environment = {
  egress: { https: undefined, http: undefined, except: [] },
  files: createNamedFiles(new Map()),
};

/** The ids of the records of a batch. */
export const idsOf = (lines: readonly Buffer[]): string[] => lines.map((line) => JSON.parse(line.toString()).id);

/** A receiver: `answer` throws where it does not acknowledge the ids. */
export function createReceiver(
  answer: (ids: readonly string[], signal: AbortSignal) => void | Promise<void> = () => {},
) {
  const receiver = { answer, taken: [] as string[], tries: [] as string[][], hashes: [] as string[] };
  const transport: Transport = {
    async send(lines, signal) {
      const ids = idsOf(lines);
      receiver.tries.push(ids);
      await receiver.answer(ids, signal);
      receiver.taken.push(...ids);
      receiver.hashes.push(...lines.map((line) => JSON.parse(line.toString()).hash));
    },
    close: async () => {},
  };
  return Object.assign(receiver, { transport });
}

/** A target over a transport. Pauses are counted, and over at once. */
export function createTarget(transport: Transport, more: Partial<DeliveryConfig & TargetRuntime> = {}) {
  const pauses: number[] = [];
  const lost: [LossReason, number][] = [];
  const { required = false, spool, ...runtime } = more;
  const target = createDeliveryTarget({
    config: { type: 'http', required, insecure: false, spool },
    key: 'receiver',
    environment,
    transport: () => transport,
    runtime: {
      now: () => someTime,
      log: silent,
      random: () => 1,
      async wait(ms, signal) {
        pauses.push(ms);
        await new Promise(setImmediate);
        signal.throwIfAborted();
      },
      observe: { lost: (_sink, reason, records) => void lost.push([reason, records]) },
      ...runtime,
    },
  });
  return { target, pauses, lost };
}

/** Writes records with these ids as the chain writer would; yields the events of the opening. */
export async function write(target: SinkTarget, ...ids: string[]): Promise<readonly LogEvent[]> {
  const { head, events } = await target.prepare();
  await target.write(chainOf(head, ids));
  return events;
}

export function chainOf(head: ChainHead = genesis, ids: readonly string[] = []) {
  const time = new Date(someTime).toISOString();
  return chainLines(
    head,
    ids.map((id) => `"id":"${id}","time":"${time}","stage":"completed","policy":"p1"`),
  );
}
