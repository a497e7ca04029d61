// REST API of the demo, for the gateway's path routes: dashboards, a query and an export.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import * as z from 'zod';
import { QueryError } from './query-engine.ts';
import { csv } from './table-text.ts';
import type { ToolContext } from './tool.ts';
import { chartRows } from './tools/charts.ts';
import { summary } from './tools/dashboards.ts';

type Services = Omit<ToolContext, 'notify' | 'progress'>;
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const query = z.object({ sql: z.string().min(1), limit: z.int().min(1).max(10_000).default(100) });
const exportRequest = z.object({ chart_id: z.int(), limit: z.int().min(1).max(10_000).default(1000) });
const timeoutMs = 30_000;

/** Answers one request below `/api/`. */
export async function answerRest(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  services: Services,
): Promise<void> {
  const { status, body } = await answer(request, path, services).catch(failure);
  const isText = typeof body === 'string';
  response.writeHead(status, { 'content-type': isText ? 'text/csv; charset=utf-8' : 'application/json' });
  response.end(isText ? body : `${JSON.stringify(body)}\n`);
}

async function answer(request: IncomingMessage, path: string, services: Services): Promise<Answer> {
  const { catalog, engine, caller } = services;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  if (reads && path === '/api/dashboards') {
    const dashboards = catalog.dashboards.all().map((dashboard) => summary(dashboard, services));
    return { status: 200, body: { dashboards, caller: caller.subject ?? null } };
  }
  const [, id] = /^\/api\/dashboards\/([\w-]+)$/.exec(path) ?? [];
  const dashboard = id === undefined ? undefined : catalog.dashboards.find(id);
  if (reads && dashboard !== undefined) return { status: 200, body: summary(dashboard, services) };
  if (request.method === 'POST' && path === '/api/queries') {
    return { status: 200, body: await engine.run({ ...query.parse(await json(request)), timeoutMs }) };
  }
  if (request.method === 'POST' && path === '/api/exports') {
    const { chart_id, limit } = exportRequest.parse(await json(request));
    const chart = catalog.charts.find(chart_id);
    if (chart === undefined) return { status: 404, body: { error: 'chart not found' } };
    const { columns, rows } = await chartRows(chart, limit, services);
    const names = columns.map((column) => column.name);
    return { status: 200, body: csv(names, rows) };
  }
  return { status: 404, body: { error: 'not found' } };
}

function failure(error: unknown): Answer {
  if (error instanceof QueryError) return { status: 400, body: { error: error.message } };
  if (error instanceof z.ZodError) return { status: 400, body: { error: z.prettifyError(error) } };
  if (error instanceof SyntaxError) return { status: 400, body: { error: 'the body is not JSON' } };
  return { status: 500, body: { error: 'internal error' } };
}
