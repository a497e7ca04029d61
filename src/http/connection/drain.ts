// Graceful drain of an HTTP server: late connections are still served, then it stops listening and waits for open requests.
import { Server as NetServer } from 'node:net';

/** Options of `drain`. */
export interface DrainOptions {
  /** Time limit of the whole drain. */
  readonly drainTimeoutMs: number;
  /** Time for which new connections are still accepted, and a connection without a request may bring one. */
  readonly lameDuckMs: number;
  /**
   * Connections that are open, where another process accepts from the same socket. Then no new one is accepted here, and those that are open may
   * bring requests for the whole time.
   */
  readonly sharedConnections?: (() => number) | undefined;
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
export async function drain(server: Pick<NetServer, 'close' | 'listening'>, options: DrainOptions): Promise<void> {
  const { drainTimeoutMs, lameDuckMs, sharedConnections } = options;
  const startedAt = performance.now();
  const until = (ms: number, reached: () => boolean) =>
    waitUntil(() => options.signal.aborted || performance.now() >= startedAt + ms || reached());
  if (sharedConnections === undefined) {
    await until(Math.min(lameDuckMs, drainTimeoutMs / 2), () => false);
  } else {
    // The method of HTTP servers would cut silent connections.
    if (server.listening) NetServer.prototype.close.call(server);
    await until(drainTimeoutMs, () => sharedConnections() === 0);
  }
  server.close();
  await until(drainTimeoutMs, () => options.openRequests() === 0);
}

async function waitUntil(reached: () => boolean): Promise<void> {
  while (!reached()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}
