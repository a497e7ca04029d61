// Typed calls between a supervisor and a worker, over the IPC channel of Node (child_process).
import type { SendHandle } from 'node:child_process';
import { messageOf } from '../errors.ts';

/** Calls by name, each with the type of its body and of its answer. Both are cloned (structured clone). */
export type Calls<T> = { readonly [N in keyof T]: readonly [body: unknown, answer: unknown] };

/** The part of a child process, or of the process of a child, that a channel uses. */
export interface Port {
  send?(
    message: Message,
    handle: SendHandle | undefined,
    options: { readonly keepOpen: boolean },
    sent: (error: Error | null) => void,
  ): boolean;
  on(event: 'message', listener: (message: unknown, handle?: unknown) => void): unknown;
  once(event: 'disconnect', listener: () => void): unknown;
  readonly connected?: boolean | undefined;
}

/** One end of the channel: it makes the calls `Out` and answers the calls `In`. */
export interface Channel<Out extends Calls<Out>, In extends Calls<In>> {
  /**
   * Makes a call. Rejects with the message of the other side where that throws, and with a ChannelError where no answer comes. A handle is open in
   * both processes afterwards.
   */
  ask<N extends keyof Out & string>(name: N, body: Out[N][0], options?: AskOptions): Promise<Out[N][1]>;
  /** The same, and nothing comes back. Where the channel is closed it does nothing. */
  tell<N extends keyof Out & string>(name: N, body: Out[N][0]): void;
  /** Takes the function that answers a call. */
  answer<N extends keyof In & string>(name: N, handler: Handler<In[N]>): void;
  /** Rejects calls without an answer, and later ones. Called when the other side is gone. */
  close(): void;
}

type Handler<C extends readonly [unknown, unknown]> = (body: C[0], handle: unknown) => Promise<C[1]> | C[1];

/** Options of `ask`. */
export interface AskOptions {
  /** Default 10 s; Infinity waits until the channel closes. */
  readonly timeoutMs?: number;
  /** A socket that is open in this process. */
  readonly handle?: SendHandle;
}

/** A call without an answer. */
export class ChannelError extends Error {
  readonly reason: 'closed' | 'timeout' | 'full';

  constructor(reason: ChannelError['reason'], name: string) {
    super(`${name}: ${messages[reason]}`);
    this.reason = reason;
  }
}

const messages = {
  closed: 'the other process has ended',
  timeout: 'the other process does not answer',
  full: 'too many calls wait for an answer',
} as const;

const defaultTimeoutMs = 10_000;
/** Calls that wait for an answer at the same time. */
const maxWaiting = 10_000;

type Message =
  | { readonly name: string; readonly body: unknown; readonly id?: number }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout | undefined;
  readonly name: string;
}

/** Creates the end of a channel at a port, which carries nothing else. */
export function createChannel<Out extends Calls<Out>, In extends Calls<In>>(port: Port): Channel<Out, In> {
  const waiting = new Map<number, Waiting>();
  const handlers = new Map<string, (body: unknown, handle: unknown) => unknown>();
  let lastId = 0;
  let closed = false;

  /** Takes a waiting call off the list. */
  function settle(id: number): Waiting | undefined {
    const call = waiting.get(id);
    clearTimeout(call?.timer);
    waiting.delete(id);
    return call;
  }

  function send(message: Message, failed: () => void, handle?: SendHandle): void {
    if (closed || port.connected === false || port.send === undefined) failed();
    else
      port.send(message, handle, { keepOpen: true }, (error) => {
        if (error !== null) failed();
      });
  }

  async function reply(id: number | undefined, name: string, body: unknown, handle: unknown): Promise<void> {
    const message: Message = await Promise.resolve()
      .then(() => handlers.get(name)!(body, handle))
      .then(
        (answer) => ({ id: id!, answer }),
        (error: unknown) => ({ id: id!, error: messageOf(error) }),
      );
    if (id !== undefined) send(message, ignore);
  }

  function close(): void {
    closed = true;
    for (const [id, { name, reject }] of waiting) {
      settle(id);
      reject(new ChannelError('closed', name));
    }
  }

  port.on('message', (message, handle) => {
    const received = message as Message;
    if ('name' in received) {
      if (handlers.has(received.name)) void reply(received.id, received.name, received.body, handle);
    } else if ('error' in received) settle(received.id)?.reject(new Error(received.error));
    else settle(received.id)?.resolve(received.answer);
  });
  port.once('disconnect', close);

  return {
    ask<N extends keyof Out & string>(name: N, body: Out[N][0], options: AskOptions = {}): Promise<Out[N][1]> {
      const { handle, timeoutMs = defaultTimeoutMs } = options;
      if (waiting.size >= maxWaiting) return Promise.reject(new ChannelError('full', name));
      lastId += 1;
      const id = lastId;
      return new Promise<Out[N][1]>((resolve, reject) => {
        const fail = (reason: 'closed' | 'timeout') => () => settle(id)?.reject(new ChannelError(reason, name));
        const timer = Number.isFinite(timeoutMs) ? setTimeout(fail('timeout'), timeoutMs) : undefined;
        waiting.set(id, { resolve, reject, timer, name });
        send({ name, body, id }, fail('closed'), handle);
      });
    },
    tell(name, body) {
      send({ name, body }, ignore);
    },
    answer(name, handler) {
      handlers.set(name, handler as (body: unknown, handle: unknown) => unknown);
    },
    close,
  };
}

function ignore(): void {}
