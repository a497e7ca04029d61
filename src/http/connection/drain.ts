// Graceful drain of an HTTP server: late connections are still served, then it stops listening and waits for open requests.
import { Server } from 'node:net';

/** Options of `drain`. */
export interface DrainOptions {
  /** Time limit of the whole drain. */
  readonly drainTimeoutMs: number;
  /** Time for which new connections are still accepted, and a connection without a request may bring one. */
  readonly lameDuckMs: number;
  /** Another process accepts from the same socket, so that no new connection is accepted here. Default false. */
  readonly isSharedSocket?: boolean;
  /** Requests that have begun and not ended. */
  readonly openRequests: () => number;
  /** Ends the drain at once. */
  readonly signal: AbortSignal;
}

const pollMs = 50;

/**
 * Resolves when the server has stopped listening and no request is open, or when the time is over. A connection that is kept alive may be carrying
 * a request at any instant, so it is told to close by the answer to its next one; only those that stay silent are closed without.
 */
export async function drain(server: Server, options: DrainOptions): Promise<void> {
  const deadline = performance.now() + options.drainTimeoutMs;
  const servedUntil = performance.now() + Math.min(options.lameDuckMs, options.drainTimeoutMs / 2);
  const until = (reached: () => boolean) => waitUntil(() => options.signal.aborted || reached());
  let isEmpty = false;
  if (options.isSharedSocket === true) {
    server.once('close', () => {
      isEmpty = true;
    });
    // The method of HTTP servers would cut silent connections.
    Server.prototype.close.call(server);
  }
  await until(() => isEmpty || performance.now() >= servedUntil);
  server.close();
  await until(() => options.openRequests() === 0 || performance.now() >= deadline);
}

async function waitUntil(reached: () => boolean): Promise<void> {
  while (!reached()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}
