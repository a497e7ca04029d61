// Ports of the loopback address: free ones, and those that accept connections.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Asks every 5 ms, for 30 s at most. */
export async function until(isReady: () => boolean | Promise<boolean>, name: string): Promise<void> {
  for (const started = performance.now(); performance.now() - started < 30_000; ) {
    if (await isReady()) return;
    await pause(5);
  }
  throw new Error(`${name} takes more than 30 s`);
}

/** Ports that were free a moment ago, below those that systems give to clients: a benchmark beside this one takes thousands of them. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const server = createServer().listen(15_000 + Math.floor(Math.random() * 15_000), '127.0.0.1');
    await once(server, 'listening').then(
      () => ports.add((server.address() as AddressInfo).port),
      () => {},
    );
    server.close();
  }
  return [...ports];
}
