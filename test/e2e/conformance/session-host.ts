// Session host around the transports of both SDK generations: Origin, the map of sessions, and events to replay.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** The part of a transport that this needs; one per session. */
interface SessionTransport {
  handleRequest(request: IncomingMessage, response: ServerResponse, parsedBody?: unknown): Promise<void>;
}

export interface SessionOptions {
  readonly sessionIdGenerator: () => string;
  readonly onsessioninitialized: (sessionId: string) => void;
  readonly onsessionclosed: (sessionId: string) => void;
  readonly eventStore: ReturnType<typeof createEventStore>;
  readonly retryInterval: number;
}

/** Serves requests of the revisions with sessions; `open` makes a transport with a server of its own behind it. */
export function createSessionHost(open: (options: SessionOptions) => Promise<SessionTransport>) {
  const sessions = new Map<string, SessionTransport>();
  return async (request: IncomingMessage, response: ServerResponse, parsedBody?: unknown): Promise<void> => {
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (known !== undefined) return known.handleRequest(request, response, parsedBody);
    if (id !== undefined) {
      const error = { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } };
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify(error));
      return;
    }
    const transport: SessionTransport = await open({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (sessionId) => void sessions.set(sessionId, transport),
      onsessionclosed: (sessionId) => void sessions.delete(sessionId),
      eventStore: createEventStore(),
      retryInterval: 50,
    });
    await transport.handleRequest(request, response, parsedBody);
  };
}

const loopbackOrigin = /^https?:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/** False for a request of a web page from elsewhere, which it has then answered. */
export function acceptsOrigin(request: IncomingMessage, response: ServerResponse): boolean {
  const { origin } = request.headers;
  if (origin === undefined || loopbackOrigin.test(origin)) return true;
  response.writeHead(403, { 'content-type': 'text/plain' }).end('unknown origin\n');
  return false;
}

/** Events of one session in the order of their sending, as both SDKs ask for them. */
function createEventStore<Message>() {
  const events: { readonly id: string; readonly streamId: string; readonly message: Message }[] = [];
  return {
    async storeEvent(streamId: string, message: Message): Promise<string> {
      const id = `${streamId}_${events.length}`;
      events.push({ id, streamId, message });
      return id;
    },
    async replayEventsAfter(
      lastEventId: string,
      { send }: { send: (eventId: string, message: Message) => Promise<void> },
    ): Promise<string> {
      const last = events.findIndex(({ id }) => id === lastEventId);
      const streamId = events[last]?.streamId ?? '';
      for (const event of events.slice(last + 1)) if (event.streamId === streamId) await send(event.id, event.message);
      return streamId;
    },
  };
}
