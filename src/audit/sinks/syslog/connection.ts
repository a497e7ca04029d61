// Connection of the syslog transports over TLS (RFC 5425) and TCP (RFC 6587): writes, and proof that the receiver has read them.
import { connect as connectPlain, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectSecurely, type SecureContext } from 'node:tls';

/** Where and how to connect. */
export interface Receiver {
  readonly host: string;
  readonly port: number;
  /** Undefined: TCP without TLS. */
  readonly context: SecureContext | undefined;
  /** Bound of each step. */
  readonly timeoutMs: number;
}

/** An open connection. After a failure of any method it is closed. */
export interface SyslogConnection {
  /** The reason for which it is broken, also where the receiver has ended it; undefined while it is not. */
  problem(): Error | undefined;
  /** Resolves when the system has taken the bytes. */
  write(bytes: Buffer, signal: AbortSignal): Promise<void>;
  /**
   * Ends our direction and resolves at the receiver's end of stream, by which it says that it has read everything. A receiver that ends before
   * it has read resets the connection; a round trip is left for that, so that its own end is not taken for the answer to ours.
   */
  finish(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** A dead peer is noticed while nothing is sent. */
const keepAliveMs = 30_000;
/** A handshake that took longer was held up by something else. */
const maxRoundTripMs = 1000;

/** Opens a connection. The receiver's certificate must be valid and name its host. */
export async function openConnection(receiver: Receiver, signal: AbortSignal): Promise<SyslogConnection> {
  const { host, port, context, timeoutMs } = receiver;
  const startedMs = performance.now();
  const options = { host, port, keepAlive: true, keepAliveInitialDelay: keepAliveMs, noDelay: true };
  const socket =
    context === undefined ? connectPlain(options) : connectSecurely({ ...options, secureContext: context });
  let problem: Error | undefined;
  let isFinishing = false;
  const { promise: ended, resolve: end, reject: fail } = Promise.withResolvers<void>();
  ended.catch(ignore);
  const breakOff = (error: Error) => {
    problem ??= error;
    fail(problem);
    socket.destroy();
  };
  socket.on('error', breakOff);
  socket.on('end', () => (isFinishing ? end() : breakOff(new Error('the receiver has ended the connection'))));
  socket.on('close', () => breakOff(new Error('the connection is closed')));
  // A receiver says nothing, but its end of stream comes behind what it says.
  socket.resume();

  /** Waits for a step; one that takes too long or is ended breaks the connection. */
  async function within(step: Promise<void>, name: string, ender: AbortSignal): Promise<void> {
    const timer = setTimeout(() => breakOff(new Error(`${name}: no answer within ${timeoutMs} ms`)), timeoutMs);
    const abort = () => breakOff(new Error('the sink is closed'));
    if (ender.aborted) abort();
    ender.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([step, ended]);
    } finally {
      clearTimeout(timer);
      ender.removeEventListener('abort', abort);
    }
  }

  await within(opened(socket, context === undefined ? 'connect' : 'secureConnect'), 'connecting', signal);
  const roundTripMs = Math.min(performance.now() - startedMs, maxRoundTripMs);
  return {
    problem: () => problem,
    write: (bytes, ender) =>
      within(
        new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
        'sending',
        ender,
      ),
    async finish(ender) {
      await within(delay(roundTripMs), 'waiting for a round trip', ender);
      isFinishing = true;
      socket.end();
      await within(ended, 'waiting until the receiver has read everything', ender);
      socket.destroy();
    },
    close: () => breakOff(new Error('the sink is closed')),
  };
}

function opened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve) => socket.once(event, resolve));
}

function ignore(): void {}
