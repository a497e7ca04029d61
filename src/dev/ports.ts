// Choice of loopback ports for the development environment.
import { createServer } from 'node:net';

/** A chosen port. */
export interface PortChoice {
  readonly port: number;
  /** A remark to print. */
  readonly note?: string;
}

/**
 * The wanted port (0: any free one). Without one: the usual port or, if that is taken, a free one with a note.
 * Throws an error of one line that names port and option when the wanted port is taken.
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
