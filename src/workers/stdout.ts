// Standard output of all workers: lines of one batch stay together, and each worker has a chain of its own.
import { type ChainHead, genesis } from '../audit/hash-chain.ts';
import { createLineWriter } from '../audit/sinks/line-writer.ts';
import type { LineOutput } from '../audit/sinks/sink-type.ts';

/** Creates the output of each slot, by number. A worker goes on with the chain of the one that it replaces. */
export function createSharedOutput(fd: number): (slot: number) => LineOutput {
  const writer = createLineWriter(fd);
  const heads = new Map<number, ChainHead>();
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const next = last.then(run);
    last = next.catch(() => {});
    return next;
  };
  return (slot) => ({
    prepare: () =>
      inTurn(async () => {
        await writer.finish();
        return heads.get(slot) ?? genesis;
      }),
    write: ({ head, lines }) =>
      inTurn(async () => {
        await writer.finish();
        await writer.write(lines, () => heads.set(slot, head));
      }),
    close() {},
  });
}
