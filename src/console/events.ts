// Server-sent events of the console (HTML standard §9.2): a reader that is asked again and again, for a bounded number of streams.
import type { FastifyReply, FastifyRequest } from 'fastify';

/** One event. */
export interface ConsoleEvent {
  /** Sent back in `Last-Event-ID` when the browser connects again. */
  readonly id?: string | number | undefined;
  readonly event?: string;
  /** Sent as JSON, which is made once for an object that several streams send. */
  readonly data: object;
}

/** Options of a stream. */
export interface EventStream {
  /** Gives the events since its last answer. The stream ends when it throws. */
  readonly next: () => Promise<readonly ConsoleEvent[]>;
  /** Streams of the same interval ask at the same instants, so that they may share an answer. */
  readonly intervalMs: number;
}

/** Streams that may be open at one time. Each has a connection, of which the admin listener has few. */
export const maxEventStreams = 8;

const heartbeatMs = 15_000;
/** The browser connects again, and the guard asks again who it is. */
const lifetimeMs = 60_000;

/** Opens a stream of events as the answer to a request. */
export type OpenEventStream = (request: FastifyRequest, reply: FastifyReply, stream: EventStream) => FastifyReply;

/** Creates the opener of streams; more than the bound are answered 503, and the browser asks again after ten seconds. */
export function createEventStreams(): OpenEventStream {
  let open = 0;
  const jsonOf = new WeakMap<object, string>();
  const textOf = ({ data, event, id }: ConsoleEvent): string => {
    const json = jsonOf.get(data) ?? JSON.stringify(data);
    jsonOf.set(data, json);
    return `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}data: ${json}\n\n`;
  };
  return (request, reply, { intervalMs, next }) => {
    if (open >= maxEventStreams) {
      return reply.code(503).header('retry-after', '10').type('text/plain').send('too many consoles are open\n');
    }
    open += 1;
    reply.hijack();
    const { raw } = reply;
    const { connection: _, ...headers } = reply.getHeaders();
    raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream' } as Record<string, string>);
    raw.write('retry: 1000\n\n');
    const began = Date.now();
    let last = began;
    let timer = waitForInstant();
    raw.on('close', () => {
      open -= 1;
      clearTimeout(timer);
    });
    let isAsking = false;
    function waitForInstant(): NodeJS.Timeout {
      return setTimeout(
        () => {
          timer = waitForInstant();
          void tick();
        },
        intervalMs - (Date.now() % intervalMs),
      );
    }
    async function tick(): Promise<void> {
      if (Date.now() - began >= lifetimeMs) return void raw.end();
      // A browser that does not read gets nothing more until it does.
      if (isAsking || raw.writableNeedDrain) return;
      isAsking = true;
      try {
        const events = await next();
        if (events.length === 0 && Date.now() - last < heartbeatMs) return;
        last = Date.now();
        if (!raw.destroyed) raw.write(events.length === 0 ? ':\n\n' : events.map(textOf).join(''));
      } catch (error) {
        request.log.warn({ err: error }, 'an event stream of the console ended');
        raw.destroy();
      } finally {
        isAsking = false;
      }
    }
    void tick();
    return reply;
  };
}
