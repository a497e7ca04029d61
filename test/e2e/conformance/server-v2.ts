// The reference server on the SDK's second generation: 2026-07-28 without sessions, and the older revisions with them.
import type { IncomingMessage } from 'node:http';
import {
  type NodeIncomingMessageLike,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  fromJsonSchema,
  isLegacyRequest,
  McpServer,
  ResourceTemplate,
  type ServerContext,
  type ServerNotifier,
} from '@modelcontextprotocol/server';
import { type LoopbackServer, listenOnLoopback } from '../../../src/dev/loopback.ts';
import { registerInputRequired, requestState } from './input-required.ts';
import { completion, prompts, resources, template } from './resources.ts';
import { acceptsOrigin, createSessionHost } from './session-host.ts';
import { answer, type CallContext, tools } from './tools.ts';

/** Starts it on a free loopback port; the endpoint is `/mcp`. `arrive` sees each request first, and may hold it up. */
export async function startServerV2(
  arrive?: (request: IncomingMessage) => Promise<void> | undefined,
): Promise<LoopbackServer> {
  const modern = createMcpHandler(() => createServer(modern.notify), { legacy: 'reject' });
  const answerModern = toNodeHandler(modern);
  const answerLegacy = createSessionHost(async (options) => {
    const transport = new NodeStreamableHTTPServerTransport(options);
    await createServer(modern.notify).connect(transport);
    return transport;
  });
  const listener = await listenOnLoopback(0, async (request, response) => {
    await arrive?.(request);
    if (!acceptsOrigin(request, response)) return;
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = parsed(Buffer.concat(chunks).toString());
      // The SDK declares its optional members without `| undefined`, which exactOptionalPropertyTypes minds.
      const incoming = request as NodeIncomingMessageLike & IncomingMessage;
      const serve = (await isLegacyRequest(await toWebRequest(incoming, body), body)) ? answerLegacy : answerModern;
      await serve(incoming, response, body);
    } catch {
      response.destroy();
    }
  });
  return {
    ...listener,
    async close() {
      await modern.close();
      await listener.close();
    },
  };
}

/** What is not JSON stays a string, which no revision accepts. */
function parsed(body: string): unknown {
  if (body === '') return undefined;
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

const cacheHint = { ttlMs: 60_000, cacheScope: 'public' as const };

function createServer(notify: ServerNotifier): McpServer {
  const server = new McpServer(
    { name: 'conformance-v2', version: '1.0.0' },
    {
      capabilities: { logging: {}, completions: {}, resources: { subscribe: true } },
      cacheHints: {
        'tools/list': cacheHint,
        'prompts/list': cacheHint,
        'resources/list': cacheHint,
        'resources/templates/list': cacheHint,
        'resources/read': cacheHint,
        'server/discover': cacheHint,
      },
      requestState: { verify: requestState.verify },
    },
  );
  for (const { name, description, inputSchema, call } of tools) {
    const schema = fromJsonSchema<Record<string, unknown>>(inputSchema ?? { type: 'object', properties: {} });
    server.registerTool(name, { description, inputSchema: schema }, async (args, context) =>
      call(args, contextOf(context)),
    );
  }
  registerDiagnostics(server, notify);
  registerInputRequired(server);
  registerResources(server);
  for (const { name, description, arguments: args, messages } of prompts) {
    const properties = Object.fromEntries(args.map((one) => [one.name, { type: 'string', ...one }]));
    const argsSchema = fromJsonSchema<Record<string, string>>({
      type: 'object',
      properties,
      required: Object.keys(properties),
    });
    server.registerPrompt(name, { description, argsSchema }, (given) => ({ messages: messages(given) }));
  }
  server.server.setRequestHandler('completion/complete', () => ({ completion }));
  return server;
}

/** Tools with which the suite sees how the server behaves around a call. */
function registerDiagnostics(server: McpServer, notify: ServerNotifier): void {
  server.registerTool('test_logging_tool', { description: 'Logs.' }, async ({ mcpReq }) => {
    await mcpReq.log('info', 'logged');
    return answer('logged');
  });
  server.registerTool('test_trigger_tool_change', { description: 'Says that the tools have changed.' }, () => {
    notify.toolsChanged();
    return answer('done');
  });
  server.registerTool('test_trigger_prompt_change', { description: 'Says that the prompts have changed.' }, () => {
    notify.promptsChanged();
    return answer('done');
  });
  const region: Record<string, unknown> = { type: 'string', 'x-mcp-header': 'Region' };
  const inputSchema = fromJsonSchema<{ region: string }>({
    type: 'object',
    properties: { region },
    required: ['region'],
  });
  server.registerTool(
    'test_custom_headers',
    { description: 'Has an argument that is repeated in a header.', inputSchema },
    (args) => answer(args.region),
  );
}

function registerResources(server: McpServer): void {
  for (const { uri, name, content, ...metadata } of resources) {
    server.registerResource(name, uri, metadata, () => ({
      contents: [{ uri, mimeType: metadata.mimeType, ...content }],
    }));
  }
  const { uriTemplate, name, textOf, ...metadata } = template;
  const resourceTemplate = new ResourceTemplate(uriTemplate, { list: undefined });
  server.registerResource(name, resourceTemplate, metadata, ({ href }, { id }) => ({
    contents: [{ uri: href, mimeType: metadata.mimeType, text: textOf(String(id)) }],
  }));
  server.server.setRequestHandler('resources/subscribe', () => ({}));
  server.server.setRequestHandler('resources/unsubscribe', () => ({}));
}

function contextOf({ mcpReq, http }: ServerContext): CallContext {
  const progressToken = mcpReq._meta?.progressToken;
  return {
    async progress(progress, total) {
      if (progressToken === undefined) return;
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total } });
    },
    log: (text) => mcpReq.log('info', text),
    elicit: (message, requestedSchema) =>
      mcpReq.elicitInput({ message, requestedSchema } as Parameters<typeof mcpReq.elicitInput>[0]),
    async sample(prompt) {
      const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
      return (await mcpReq.requestSampling({ messages, maxTokens: 100 })).content;
    },
    closeStream: () => http?.closeSSE?.(),
  };
}
