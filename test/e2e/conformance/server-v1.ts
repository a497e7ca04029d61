// The reference server on the SDK's first generation: revisions up to 2025-11-25, with sessions.
import type { IncomingMessage } from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CallToolRequestSchema,
  CompleteRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  ErrorCode,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
  type ServerNotification,
  type ServerRequest,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { type LoopbackServer, listenOnLoopback } from '../../../src/dev/loopback.ts';
import { completion, prompts, resources, template } from './resources.ts';
import { acceptsOrigin, createSessionHost } from './session-host.ts';
import { type CallContext, tools } from './tools.ts';

/** Starts it on a free loopback port; the endpoint is `/mcp`. `arrive` sees each request first, and may hold it up. */
export async function startServerV1(
  arrive?: (request: IncomingMessage) => Promise<void> | undefined,
): Promise<LoopbackServer> {
  const host = createSessionHost(async (options) => {
    const transport = new StreamableHTTPServerTransport(options);
    // The SDK's own transport declares its optional members without `| undefined`, which exactOptionalPropertyTypes minds.
    await createServer().connect(transport as Transport);
    return transport;
  });
  return listenOnLoopback(0, async (request, response) => {
    await arrive?.(request);
    if (acceptsOrigin(request, response)) void host(request, response).catch(() => response.destroy());
  });
}

function createServer(): Server {
  const server = new Server(
    { name: 'conformance-v1', version: '1.0.0' },
    { capabilities: { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} } },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: tools.map(({ name, description, inputSchema }) => ({
      name,
      description,
      inputSchema: { ...inputSchema, type: 'object' as const },
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const tool = tools.find(({ name }) => name === params.name);
    if (tool === undefined) throw new McpError(ErrorCode.InvalidParams, `Tool ${params.name} not found`);
    try {
      return await tool.call(params.arguments ?? {}, contextOf(extra));
    } catch (error) {
      return { content: [{ type: 'text', text: (error as Error).message }], isError: true };
    }
  });
  serveResources(server);
  server.setRequestHandler(ListPromptsRequestSchema, () => ({
    prompts: prompts.map(({ name, description, arguments: args }) => ({
      name,
      description,
      arguments: args.map((argument) => ({ ...argument, required: true })),
    })),
  }));
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) => {
    const prompt = prompts.find(({ name }) => name === params.name);
    if (prompt === undefined) throw new McpError(ErrorCode.InvalidParams, `Prompt ${params.name} not found`);
    return { messages: prompt.messages(params.arguments ?? {}) };
  });
  server.setRequestHandler(CompleteRequestSchema, () => ({ completion }));
  return server;
}

function serveResources(server: Server): void {
  server.setRequestHandler(ListResourcesRequestSchema, () => ({
    resources: resources.map(({ content: _, ...resource }) => resource),
  }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => {
    const { textOf: _, ...listed } = template;
    return { resourceTemplates: [listed] };
  });
  server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) => {
    const resource = resources.find((candidate) => candidate.uri === uri);
    if (resource !== undefined) return { contents: [{ uri, mimeType: resource.mimeType, ...resource.content }] };
    const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
    if (id === undefined) throw new McpError(ErrorCode.InvalidParams, 'Resource not found', { uri });
    return { contents: [{ uri, mimeType: template.mimeType, text: template.textOf(id) }] };
  });
  server.setRequestHandler(SubscribeRequestSchema, () => ({}));
  server.setRequestHandler(UnsubscribeRequestSchema, () => ({}));
}

function contextOf(extra: RequestHandlerExtra<ServerRequest, ServerNotification>): CallContext {
  const progressToken = extra._meta?.progressToken;
  return {
    async progress(progress, total) {
      if (progressToken === undefined) return;
      await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total } });
    },
    log: (data) => extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } }),
    elicit: (message, requestedSchema) =>
      extra.sendRequest(
        { method: 'elicitation/create', params: { message, requestedSchema } } as ServerRequest,
        ElicitResultSchema,
      ),
    async sample(prompt) {
      const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
      const request: ServerRequest = { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } };
      return (await extra.sendRequest(request, CreateMessageResultSchema)).content;
    },
    closeStream: () => extra.closeSSEStream?.(),
  };
}
