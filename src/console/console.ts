// Console application: the pages, their static files and errors, behind one guard.
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { type ConsoleApplication, refuseAddress } from '../gateway/admin/admin.ts';
import { fastifyOptions } from '../gateway/request-log.ts';
import type { Log } from '../log.ts';
import { type GuardOptions, guardConsole } from './access/guard.ts';
import { serveLogin } from './access/login-routes.ts';
import { type Assets, readAssets } from './assets.ts';
import { createEventStreams } from './events.ts';
import { failure } from './failure.ts';
import { acceptForms } from './form.ts';
import { html } from './html/html.ts';
import { type Layout, type PageRequest, renderPage, type Viewer } from './page.ts';
import { pages } from './pages.ts';
import type { ConsoleProcess, ConsoleSource } from './source.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the guard of the console. */
    viewer: Viewer | undefined;
  }
}

/** Options of `createConsole`. */
export interface ConsoleOptions {
  /** The processes of the gateway, in their order; asked for each request. */
  readonly processes: () => readonly ConsoleProcess[];
  /** The section in force. */
  readonly admin: GuardOptions['admin'];
  readonly isServedHost: GuardOptions['isServedHost'];
  readonly version: string;
  readonly log: Log;
  /** Milliseconds since 1970; the system clock by default. */
  readonly now?: () => number;
}

const headers: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    ...["script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"],
    ...["form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"],
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  // With no-referrer a browser sends `Origin: null` with the console's own forms (Fetch, "append a request Origin header").
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};
const ownHeaders = { ...headers, connection: 'close', 'cache-control': 'no-store' };

/**
 * Creates the application, ready to be asked by its `routing`. Its connections are another server's: it answers with `Connection: close`, except
 * event streams, so that a browser keeps one at most and leaves the others to probes.
 */
export async function createConsole({
  admin,
  isServedHost,
  log,
  now = Date.now,
  processes,
  version,
}: ConsoleOptions): Promise<ConsoleApplication> {
  const app = fastify({
    ...fastifyOptions(log),
    frameworkErrors: (error, _request, reply) => refuseAddress(error, ownHeaders, reply),
  });
  const layout: Layout = { assets: readAssets(), pages, version };
  const read = (request: FastifyRequest) => readRequest(request, processes(), now());
  app.decorateRequest('viewer', undefined);
  acceptForms(app);
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(ownHeaders);
  });
  const guard = guardConsole(app, { admin, isServedHost, now, source: () => anySource(processes()) });
  serveLogin(app, guard);
  serveAssets(app, layout.assets);
  const openStream = createEventStreams();
  for (const page of pages) {
    for (const { name, path, render } of [page, ...(page.below ?? [])]) {
      app.get(path, async (request, reply) => {
        const asked = read(request);
        const content = await render(asked);
        const text = renderPage(layout, { name, path: page.path }, content, asked);
        return reply.type('text/html; charset=utf-8').send(text);
      });
    }
    page.routes?.(app, read, openStream);
  }
  app.setNotFoundHandler((request, reply) => {
    reply.code(404);
    // A probe or a script: as the admin listener answers without a console.
    if (request.headers.accept?.includes('text/html') !== true) return reply.type('text/plain').send('nothing here\n');
    const body = html`<p>This address has no page. <a href="/">Go to the overview</a>.</p>`;
    const text = renderPage(layout, { name: 'Nothing here', path: '' }, { body }, { viewer: request.viewer });
    return reply.type('text/html; charset=utf-8').send(text);
  });
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, request, reply) => {
    const { message, statusCode: status = 500 } = error;
    if (status >= 500) request.log.error({ err: error }, 'the console failed on a request');
    const isKnown = status < 500 || status === 503;
    const body = html`<p>${isKnown ? message : 'The page could not be made. The log of the gateway says why.'}</p>
<p><a href="/">Go to the overview</a></p>`;
    return reply
      .code(status)
      .type('text/html; charset=utf-8')
      .send(renderPage(layout, { name: 'Not available', path: '' }, { body }, { viewer: request.viewer }));
  });
  app.get('/logged-out', (request, reply) => {
    const body = html`<p>You have logged out of the console. <a href="/">Log in again</a>.</p>`;
    const page = renderPage(layout, { name: 'Logged out', path: '' }, { body }, { viewer: request.viewer });
    return reply.type('text/html; charset=utf-8').send(page);
  });
  await app.ready();
  return Object.assign(app as FastifyInstance, { authorize: guard.authorize });
}

function serveAssets(app: FastifyInstance, assets: Assets): void {
  app.get('/assets/:name', (request, reply) => {
    const asset = assets.at(request.url);
    if (asset === undefined) return reply.callNotFound();
    reply.headers({ 'cache-control': 'public, max-age=31536000, immutable', etag: asset.etag });
    if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send();
    return reply.type(asset.type).send(asset.content);
  });
}

/** Throws 404 for a worker that does not exist, 503 for one that cannot be asked. */
function readRequest(request: FastifyRequest, processes: readonly ConsoleProcess[], now: number): PageRequest {
  const query = new URL(request.url, 'http://console').searchParams;
  const number = query.get('worker');
  const chosen = processes.find(({ source, worker }) =>
    number === null ? source !== undefined : String(worker) === number,
  );
  if (chosen === undefined && number !== null) throw failure(404, `There is no worker ${number}.`);
  if (chosen?.source === undefined) throw failure(503, chosen?.problem ?? 'No worker can be asked right now.');
  const { source, worker } = chosen;
  const params = request.params as Readonly<Record<string, string>>;
  return { source, worker, processes, query, params, viewer: request.viewer, now };
}

/** Throws 503 while no process can be asked. */
function anySource(processes: readonly ConsoleProcess[]): ConsoleSource {
  const found = processes.find(({ source }) => source !== undefined)?.source;
  if (found === undefined) throw failure(503, 'No worker can be asked right now.');
  return found;
}
