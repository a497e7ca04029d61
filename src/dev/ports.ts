// Which loopback ports the development environment takes.
import { createServer } from 'node:net';

export interface PortChoice {
  readonly port: number;
  /** What the person should know about it. */
  readonly note?: string;
}

/**
 * The wanted port if one was asked for (0: any free one), else the usual one or, where that is taken, a free one with a note.
 * Throws in one line that names port and option when the wanted port is taken.
 */
export async function choosePort(what: string, option: string, usual: number, wanted?: number): Promise<PortChoice> {
  const free = await freePort(wanted ?? usual);
  if (free !== undefined) return { port: free };
  if (wanted !== undefined) throw new Error(`port ${wanted} for the ${what} is taken; choose another with ${option}`);
  const other = await freePort(0);
  if (other === undefined) throw new Error(`no free port for the ${what}`);
  return { port: other, note: `port ${usual} is taken, so the ${what} has ${other} (${option} chooses one)` };
}

function freePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(undefined));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}
