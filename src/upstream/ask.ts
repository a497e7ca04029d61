// Requests of the gateway's own to an upstream: bounded in time and bytes, each with a named outcome.
import { type Dispatcher, errors } from 'undici';
import type { Upstream } from './upstream.ts';

/** A request of the gateway's own. */
export interface UpstreamQuestion {
  readonly path: string;
  readonly method: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: string | null;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Ends it with `aborted`. */
  readonly signal: AbortSignal;
  /** Takes a piece of the body; true when no more is needed. */
  readonly take: (head: AnswerHead, chunk: Buffer) => boolean;
}

/** The head of an answer. */
export interface AnswerHead {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** The reasons for which a question has no answer. */
export type AskFailure = 'unreachable' | 'timeout' | 'too_large' | 'refused' | 'unreadable' | 'endless' | 'aborted';

/** A question without a usable answer. The message is for the operator. */
export class AskError extends Error {
  readonly reason: AskFailure;

  constructor(reason: AskFailure, message: string) {
    super(message);
    this.name = 'AskError';
    this.reason = reason;
  }
}

/** Sends the question. Resolves at the end of the body, or once `take` needs no more. Throws an AskError, or what `take` throws. */
export function askUpstream(upstream: Upstream, question: UpstreamQuestion): Promise<AnswerHead> {
  const { path, method, headers, body, timeoutMs, maxBytes, signal, take } = question;
  const { promise, resolve, reject } = Promise.withResolvers<AnswerHead>();
  const connection = upstream.connections.take();
  let abort: (() => void) | undefined;
  let over = false;
  let head: AnswerHead | undefined;
  let bytes = 0;
  const end = (settle: () => void): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    settle();
    abort?.();
  };
  const fail = (reason: AskFailure, message: string): void => end(() => reject(new AskError(reason, message)));
  const timer = setTimeout(() => fail('timeout', `no whole answer within ${timeoutMs} ms`), timeoutMs);
  const stop = (): void => fail('aborted', 'the question was given up');
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  connection.client.dispatch(
    { path: upstream.basePath + path, method: method as Dispatcher.HttpMethod, headers, body },
    {
      onRequestStart(controller) {
        abort = () => controller.abort(new errors.RequestAbortedError());
        if (over) abort();
      },
      onResponseStart(_controller, status, fields) {
        if (status >= 200) head = { status, headers: fields };
      },
      onResponseData(_controller, chunk) {
        if (over) return;
        bytes += chunk.length;
        if (bytes > maxBytes) return fail('too_large', `the answer is larger than ${maxBytes} bytes`);
        try {
          if (take(head!, chunk)) end(() => resolve(head!));
        } catch (error) {
          end(() => reject(error));
        }
      },
      onResponseEnd() {
        upstream.connections.give(connection);
        abort = undefined;
        end(() => resolve(head!));
      },
      onResponseError(_controller, cause) {
        upstream.connections.give(connection);
        abort = undefined;
        fail('unreachable', cause.message || (cause as NodeJS.ErrnoException).code || 'the connection failed');
      },
    },
  );
  return promise;
}
