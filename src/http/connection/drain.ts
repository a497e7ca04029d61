// Graceful drain of an HTTP server: late connections are still served, then it stops listening and waits for open requests.
import type { Server } from 'node:http';

/** Options of `drain`. */
export interface DrainOptions {
  /** Time limit of the whole drain. */
  readonly drainTimeoutMs: number;
  /** Time for which new connections are still accepted. */
  readonly lameDuckMs: number;
  /** Requests that have begun and not ended. */
  readonly openRequests: () => number;
  /** Ends the drain at once. */
  readonly signal: AbortSignal;
}

const pollMs = 50;

/** Resolves when the server has stopped listening and no request is open, or when the time is over. */
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
