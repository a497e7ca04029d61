// Transport of audit records as syslog messages. Without acknowledgements, a flush waits for the receiver's end of stream.
import type { Transport } from '../delivery/transport.ts';
import { openConnection, type Receiver, type SyslogConnection } from './connection.ts';

/** Creates a transport, which opens its connection with the first record. `encode` makes a framed message of a line. */
export function createSyslogTransport(receiver: Receiver, encode: (line: Buffer) => Buffer): Transport {
  let connection: SyslogConnection | undefined;
  /** Since the last flush. */
  let sent: Buffer[] = [];
  /** By the last flush. Sent again after a break, as the receiver may have read them and not yet stored them when it broke. */
  let confirmed: Buffer[] = [];
  let isBroken = false;
  let isClosed = false;

  /** The open connection, in place of one that broke while nothing was unconfirmed. */
  async function current(signal: AbortSignal): Promise<SyslogConnection> {
    const problem = connection?.problem();
    if (connection !== undefined && problem === undefined) return connection;
    if (problem !== undefined && sent.length > 0) throw problem;
    isBroken ||= problem !== undefined;
    return open(signal);
  }

  async function open(signal: AbortSignal): Promise<SyslogConnection> {
    connection = await openConnection(receiver, signal);
    if (isClosed) throw new Error('the transport is closed');
    if (isBroken) for (const bytes of confirmed) await connection.write(bytes, signal);
    isBroken = false;
    return connection;
  }

  /** After a failure all since the last flush is sent again. */
  async function attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      connection?.close();
      connection = undefined;
      sent = [];
      isBroken = true;
      throw error;
    }
  }

  return {
    send: (lines, signal) =>
      attempt(async () => {
        const bytes = Buffer.concat(lines.map(encode));
        const writable = await current(signal);
        await writable.write(bytes, signal);
        sent.push(bytes);
      }),
    flush: (signal) =>
      attempt(async () => {
        if (sent.length === 0) return;
        const read = await current(signal);
        await read.finish(signal);
        // A receiver that was killed behind its last read has ended the connection too, and takes no new one.
        await open(signal);
        confirmed = sent;
        sent = [];
      }),
    async close() {
      isClosed = true;
      connection?.close();
    },
  };
}
