// Ending without losing a request: answers say `Connection: close`, late connections are still served, streams end last.
import type { Server } from 'node:http';

/** Options of `drain`. */
export interface DrainOptions {
  readonly drainTimeoutMs: number;
  /** Time for which new connections are still accepted. */
  readonly lameDuckMs: number;
  /** Requests that have begun and not ended. */
  readonly openRequests: () => number;
  /** Ends the waiting at once. */
  readonly signal: AbortSignal;
}

const pollMs = 50;

/** Resolves when no request is open any more and the server has stopped listening, or when the time is over. */
export async function drain(server: Server, options: DrainOptions): Promise<void> {
  const deadline = performance.now() + options.drainTimeoutMs;
  const acceptUntil = performance.now() + Math.min(options.lameDuckMs, options.drainTimeoutMs / 2);
  const until = (reached: () => boolean) => waitUntil(() => options.signal.aborted || reached());
  await until(() => performance.now() >= acceptUntil);
  server.close();
  await until(() => options.openRequests() === 0 || performance.now() >= deadline);
}

async function waitUntil(reached: () => boolean): Promise<void> {
  while (!reached()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}
