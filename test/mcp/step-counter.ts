// Step counter for the message reader, in a thread of its own: how often each block of its code ran, by V8's precise coverage, and the bytes that native searches passed. No clock.
import { once } from 'node:events';
import { Session } from 'node:inspector/promises';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { GatewayError } from '../../src/errors.ts';
import { readMessage } from '../../src/mcp/read-message.ts';

export interface StepCounter {
  /**
   * The blocks run by `readMessage` and the bytes searched for it, whether it accepts the body or refuses it. Rejects where the coverage holds no block of
   * the reader.
   */
  count(body: string): Promise<number>;
  close(): Promise<void>;
}

export function startStepCounter(): StepCounter {
  const worker = new Worker(new URL(import.meta.url));
  return {
    async count(body) {
      worker.postMessage(body);
      const [steps] = (await once(worker, 'message')) as [number];
      if (steps === 0) throw new Error('the coverage holds no block of the reader');
      return steps;
    },
    async close() {
      await worker.terminate();
    },
  };
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  let searched = 0;
  const { indexOf } = Buffer.prototype;
  Buffer.prototype.indexOf = function (this: Buffer, ...args: Parameters<typeof indexOf>): number {
    const at = indexOf.apply(this, args);
    searched += (at === -1 ? this.length : at + 1) - Number(args[1] ?? 0);
    return at;
  };
  port.on('message', async (body: string) => {
    const bytes = Buffer.from(body);
    await session.post('Profiler.takePreciseCoverage');
    searched = 0;
    try {
      readMessage(bytes);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
    }
    const { result } = await session.post('Profiler.takePreciseCoverage');
    const blocks = result
      .filter(({ url }) => /\/src\/(mcp|json)\//.test(url))
      .flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges));
    const run = blocks.reduce((steps, { count }) => steps + count, 0);
    port.postMessage(run === 0 ? 0 : run + searched);
  });
}
