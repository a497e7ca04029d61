// Transport of audit records as syslog messages. Without acknowledgements, a flush waits for the receiver's end of stream.
import type { Transport } from '../delivery/transport.ts';
import { openConnection, type Receiver, type SyslogConnection } from './connection.ts';
import type { MessageEncoder } from './message.ts';

/** Room for the messages of one batch. */
const batchBytes = 1.25 * 1024 * 1024;
/** Of the last messages that are kept to be sent again. */
const keptBytes = 2 * batchBytes;

/** Creates a transport, which opens its connection with the first record. */
export function createSyslogTransport(receiver: Receiver, encode: MessageEncoder): Transport {
  let connection: SyslogConnection | undefined;
  /** Messages were sent since the last flush. */
  let isPending = false;
  /** The last of them. */
  let sent = createKept();
  /** The last before that flush. Sent again after a break: the receiver may have read them, and not yet stored them when it broke. */
  let confirmed = createKept();
  let isBroken = false;
  let isClosed = false;

  /** The open connection, in place of one that broke while nothing was unconfirmed. */
  async function current(signal: AbortSignal): Promise<SyslogConnection> {
    const problem = connection?.problem();
    if (connection !== undefined && problem === undefined) return connection;
    if (problem !== undefined && isPending) throw problem;
    isBroken ||= problem !== undefined;
    return open(signal);
  }

  async function open(signal: AbortSignal): Promise<SyslogConnection> {
    connection = await openConnection(receiver, signal);
    if (isClosed) throw new Error('the transport is closed');
    if (isBroken) await connection.write(confirmed.bytes(), signal);
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
      isPending = false;
      sent.clear();
      isBroken = true;
      throw error;
    }
  }

  return {
    send: (lines, signal) =>
      attempt(async () => {
        const writable = await current(signal);
        isPending = true;
        await writable.write(sent.encode(lines, encode), signal);
      }),
    flush: (signal) =>
      attempt(async () => {
        if (!isPending) return;
        const read = await current(signal);
        await read.finish(signal);
        // A receiver that was killed behind its last read has ended the connection too, and takes no new one.
        await open(signal);
        isPending = false;
        [confirmed, sent] = [sent, confirmed];
        sent.clear();
      }),
    async close() {
      isClosed = true;
      connection?.close();
    },
  };
}

/** Messages that are kept, without an allocation for each batch. */
function createKept() {
  const room = Buffer.allocUnsafeSlow(keptBytes);
  let used = 0;
  return {
    /** Encodes a batch and keeps it, where it fits; the first ones give way to it. */
    encode(lines: readonly Buffer[], encode: MessageEncoder): Buffer {
      if (used + batchBytes > keptBytes) used = 0;
      const bytes = encode(lines, room.subarray(used));
      if (bytes.buffer === room.buffer) used += bytes.length;
      return bytes;
    },
    bytes: () => room.subarray(0, used),
    clear() {
      used = 0;
    },
  };
}
