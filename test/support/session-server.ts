// MCP server with sessions, the official SDK's: streams, resumption, termination, and the session headers that it was sent.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { type EventStore, StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, type JSONRPCMessage, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

export interface SessionServer {
  readonly url: string;
  /** In order of arrival: method, and the session headers as they came; undefined where there was none. */
  readonly requests: readonly {
    readonly method: string;
    readonly sessionId: string | undefined;
    readonly lastEventId: string | undefined;
  }[];
  /** Sends a notification to the standalone stream of every session. */
  notify(): Promise<void>;
  /** The ids of the sessions that are open, oldest first. */
  sessions(): readonly string[];
  close(): Promise<void>;
}

type Transport = Parameters<Server['connect']>[0];

/** One tool, `whoami`, which tells the session's id. */
export async function startSessionServer(): Promise<SessionServer> {
  const open = new Map<string, { readonly transport: StreamableHTTPServerTransport; readonly server: Server }>();
  const requests: SessionServer['requests'][number][] = [];

  async function openSession(): Promise<StreamableHTTPServerTransport> {
    const server = new Server({ name: 'sessions', version: '1' }, { capabilities: { tools: { listChanged: true } } });
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: createEventStore(),
      onsessioninitialized: (id) => void open.set(id, { transport, server }),
      onsessionclosed: (id) => void open.delete(id),
    });
    const inputSchema = { type: 'object' as const };
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [{ name: 'whoami', inputSchema }] }));
    server.setRequestHandler(CallToolRequestSchema, (_request, { sessionId }) => ({
      content: [{ type: 'text' as const, text: sessionId ?? '' }],
    }));
    // The SDK's own transport declares its optional members without `| undefined`, which exactOptionalPropertyTypes minds.
    await server.connect(transport as Transport);
    return transport;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const one = (name: string) => request.headers[name] as string | undefined;
    const sessionId = one('mcp-session-id');
    requests.push({ method: request.method ?? '', sessionId, lastEventId: one('last-event-id') });
    const known = sessionId === undefined ? undefined : open.get(sessionId)?.transport;
    if (sessionId === undefined || known !== undefined) {
      return (known ?? (await openSession())).handleRequest(request, response);
    }
    const error = { code: -32001, message: 'Session not found' };
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
  }

  const http = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests,
    async notify() {
      for (const { server } of open.values()) await server.sendToolListChanged();
    },
    sessions: () => [...open.keys()],
    async close() {
      for (const { transport } of open.values()) await transport.close();
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    },
  };
}

/** The SDK's own puts events of one millisecond in any order. */
function createEventStore(): EventStore {
  const events: { readonly streamId: string; readonly message: JSONRPCMessage }[] = [];
  return {
    storeEvent: async (streamId, message) => `event-${events.push({ streamId, message }) - 1}`,
    async replayEventsAfter(lastEventId, { send }) {
      const last = Number(lastEventId.slice('event-'.length));
      const streamId = events[last]?.streamId ?? '';
      for (const [index, event] of events.entries()) {
        if (index > last && event.streamId === streamId) await send(`event-${index}`, event.message);
      }
      return streamId;
    },
  };
}
