// MCP server of the demo Superset: the official SDK's server with Superset's tools, resources and prompts.
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type {
  CallToolResult,
  GetPromptResult,
  ServerNotification,
  ServerRequest,
} from '@modelcontextprotocol/sdk/types.js';
import { chartConfigSchema } from './chart-query.ts';
import { QueryError } from './query-engine.ts';
import { type Tool, type ToolContext, ToolFailure } from './tool.ts';
import { toolSearch } from './tool-search.ts';
import { chartTools } from './tools/charts.ts';
import { dashboardTools } from './tools/dashboards.ts';
import { instanceFacts, instanceTools } from './tools/instance.ts';
import { sqlTools } from './tools/sql.ts';

/** Modules of the MCP SDK, an optional package. */
export interface SdkModules {
  readonly server: typeof import('@modelcontextprotocol/sdk/server/index.js');
  readonly types: typeof import('@modelcontextprotocol/sdk/types.js');
}
export type Services = Omit<ToolContext, 'notify' | 'progress'>;
type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

const catalogue: readonly Tool[] = [...instanceTools, ...dashboardTools, ...chartTools, ...sqlTools];
const tools: readonly Tool[] = [...catalogue, ...toolSearch(catalogue)];
const toolsByName = new Map(tools.map((tool) => [tool.name, tool]));
const listedTools = tools.map(({ name, description, inputSchema, readOnly }) => ({
  name,
  description,
  inputSchema,
  annotations: { readOnlyHint: readOnly, destructiveHint: false },
}));
const instructions = 'Demo of the Apache Superset MCP service. Start with list_dashboards or get_instance_info.';

/** Creates a server for one request. The transport is stateless, as that of Superset. */
export function createMcpServer(sdk: SdkModules, services: Services): Server {
  const { types } = sdk;
  const server = new sdk.server.Server(
    { name: 'Demo Superset MCP Server', version: '6.1.0-demo' },
    { capabilities: { tools: {}, resources: {}, prompts: {}, logging: {} }, instructions },
  );
  server.setRequestHandler(types.ListToolsRequestSchema, () => ({ tools: listedTools }));
  server.setRequestHandler(types.CallToolRequestSchema, ({ params }, extra) => {
    const tool = toolsByName.get(params.name);
    if (tool === undefined) return errorResult(`Unknown tool: ${params.name.slice(0, 100)}`);
    return callTool(tool, params.arguments, { ...services, ...channel(extra) });
  });
  server.setRequestHandler(types.ListResourcesRequestSchema, () => ({ resources }));
  server.setRequestHandler(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [] }));
  server.setRequestHandler(types.ReadResourceRequestSchema, ({ params }) => {
    const content = readResource(params.uri, services);
    if (content === undefined) throw new types.McpError(types.ErrorCode.InvalidParams, 'Unknown resource');
    return { contents: [{ uri: params.uri, mimeType: 'application/json', text: JSON.stringify(content, null, 2) }] };
  });
  server.setRequestHandler(types.ListPromptsRequestSchema, () => ({ prompts }));
  server.setRequestHandler(types.GetPromptRequestSchema, ({ params }) => {
    const result = prompt(params.name, params.arguments ?? {});
    if (result === undefined) throw new types.McpError(types.ErrorCode.InvalidParams, 'Unknown prompt');
    return result;
  });
  return server;
}

async function callTool(tool: Tool, args: unknown, context: ToolContext): Promise<CallToolResult> {
  try {
    const result = await tool.call(args, context);
    return { content: [{ type: 'text', text: JSON.stringify(result) }] };
  } catch (error) {
    // HTTP 200 and an error result that the model can read, as Superset answers.
    const expected = error instanceof ToolFailure || error instanceof QueryError;
    const message = expected ? error.message : `Internal error in ${tool.name}`;
    await context.notify('error', `${tool.name} failed`);
    return errorResult(message);
  }
}

function errorResult(message: string): CallToolResult {
  return { isError: true, content: [{ type: 'text', text: message }] };
}

/** Notifications on the response stream of their request. */
function channel(extra: Extra): Pick<ToolContext, 'notify' | 'progress'> {
  const token = extra._meta?.progressToken;
  return {
    notify: (level, message) =>
      extra.sendNotification({
        method: 'notifications/message',
        params: { level, logger: 'superset.mcp_service', data: { msg: message } },
      }),
    progress: async (progress, total) => {
      if (token === undefined) return;
      await extra.sendNotification({
        method: 'notifications/progress',
        params: { progressToken: token, progress, total },
      });
    },
  };
}

const resources = [
  { uri: 'instance://metadata', name: 'instance_metadata', mimeType: 'application/json' },
  { uri: 'chart://configs', name: 'chart_configs', mimeType: 'application/json' },
];

function readResource(uri: string, services: Services): unknown {
  if (uri === 'instance://metadata') return instanceFacts(services);
  if (uri === 'chart://configs') return { examples: chartExamples };
  return undefined;
}

const chartExamples = [
  { chart_type: 'xy', kind: 'line', x: { name: 'order_date', grain: 'month' }, y: [{ name: 'revenue' }] },
  { chart_type: 'table', columns: [{ name: 'country' }, { name: 'revenue', aggregate: 'SUM' }] },
].map((example) => chartConfigSchema.parse(example));

const prompts = [
  {
    name: 'quickstart',
    description: 'A first tour of this Superset instance',
    arguments: [{ name: 'focus_area', description: 'What to look at first', required: false }],
  },
  {
    name: 'create_chart_guided',
    description: 'Create a chart step by step',
    arguments: [{ name: 'business_goal', description: 'What the chart should show', required: false }],
  },
];

function prompt(name: string, args: Readonly<Record<string, string>>): GetPromptResult | undefined {
  const text = {
    quickstart: `Call get_instance_info and list_dashboards, then summarise ${args.focus_area ?? 'what this instance holds'}.`,
    create_chart_guided: `Call list_datasets and get_dataset_info, then generate_chart for: ${args.business_goal ?? 'revenue over time'}.`,
  }[name];
  return text === undefined ? undefined : { messages: [{ role: 'user', content: { type: 'text', text } }] };
}
