// Online check of upstreams: MCP servers at the paths of their routes, and servers that answer at all.
import { connectMcp } from '../../gateway/catalog/mcp-connection.ts';
import { callerOf, gatewayItself } from '../../gateway/catalog/self.ts';
import type { Route } from '../../gateway/route.ts';
import { AskError, askUpstream } from '../../upstream/ask.ts';
import type { Upstream } from '../../upstream/upstream.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CheckResult, failed, ok } from './finding.ts';

/** Options of an online check. */
export interface OnlineOptions {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Version of the gateway, told to upstreams. */
  readonly version: string;
  /** Of each question to an upstream; default 5 s. Authorization servers have 5 s as they have in the gateway. */
  readonly timeoutMs?: number;
}

/** MCP routes are asked to initialize a session, which is ended again; any other upstream is asked for an answer. */
export function checkUpstream(
  target: Upstream,
  { snapshot }: PolicyFile,
  options: OnlineOptions,
): Promise<CheckResult>[] {
  const routes = snapshot.routes.filter(({ mcp, upstream }) => mcp !== undefined && upstream?.target === target);
  if (routes.length === 0) return [checkReachable(target, options)];
  const byPath = new Map(routes.map((route) => [pathAt(route), route]));
  return [...byPath.values()].map((route) => checkMcp(route, options));
}

async function checkReachable(target: Upstream, { timeoutMs = 5000 }: OnlineOptions): Promise<CheckResult> {
  const question = { path: '/', method: 'HEAD', headers: ['accept', '*/*'], body: null, maxBytes: 65_536 };
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const { status } = await askUpstream(target, { ...question, timeoutMs, signal, take: () => true });
    const message = `${target.origin} answers (status ${status})`;
    return status >= 500 ? { level: 'warning', message } : ok(message);
  } catch (error) {
    return failed(`nobody answers at ${target.origin}: ${(error as Error).message}`);
  }
}

async function checkMcp(route: Route, options: OnlineOptions): Promise<CheckResult> {
  const url = urlOf(route, pathAt(route));
  try {
    return ok(`${url} is an MCP server: ${await serverAt(route, options)}`);
  } catch (error) {
    if (!(error instanceof AskError)) throw error;
    if (error.reason === 'refused') return ok(`${url} answers, and refuses who is nobody there (${error.message})`);
    if (error.reason !== 'unreadable') return failed(`nobody answers at ${url}: ${error.message}`);
    return failed(`${url} ${error.message}${await whereElse(route, options)}`);
  }
}

/** Advice on a path that is doubled or wrong: the MCP server is at the upstream's own URL, or at `/mcp` below it. */
async function whereElse(route: Route, options: OnlineOptions): Promise<string> {
  const { basePath, origin } = route.upstream!.target;
  const asked = pathAt(route);
  for (const path of ['', '/mcp'].filter((each) => each !== asked && basePath + each !== '')) {
    const moved = {
      ...route,
      upstream: { ...route.upstream!, paths: { ...route.upstream!.paths, toUpstream: () => path } },
    };
    const isThere = await serverAt(moved, options).then(
      () => true,
      (error: unknown) => error instanceof AskError && error.reason === 'refused',
    );
    if (!isThere) continue;
    const isDoubled = path === '' && basePath.endsWith(asked);
    const advice = isDoubled
      ? `the url has the path of the route already, write ${origin}${basePath.slice(0, -asked.length)}`
      : `write upstreamPath: ${path || '/'}`;
    return `; ${urlOf(route, path)} is one: ${advice}`;
  }
  return '; look at url, path and upstreamPath';
}

/** Name and version of the server. Throws an AskError. */
async function serverAt(route: Route, { timeoutMs = 5000, version, now }: OnlineOptions): Promise<string> {
  const authorization = await assertionFor(route, now);
  const signal = AbortSignal.timeout(2 * timeoutMs);
  const connection = await connectMcp({ route, caller: undefined, authorization, version, timeoutMs, signal });
  await connection.close();
  const { server, protocolVersion } = connection;
  return `${JSON.stringify(`${server.name} ${server.version}`.slice(0, 128))}, revision ${JSON.stringify(protocolVersion)}`;
}

/** Undefined where there is none for the gateway itself, such as one by the token of a caller. */
async function assertionFor({ upstream }: Route, now: number): Promise<string | undefined> {
  try {
    return await upstream!.authorize?.(callerOf(gatewayItself), now, undefined);
  } catch {
    return undefined;
  }
}

function pathAt(route: Route): string {
  return route.upstream!.paths.toUpstream(route.path.replace(/\/\*$/, ''));
}

function urlOf({ upstream }: Route, path: string): string {
  return upstream!.target.origin + upstream!.target.basePath + path;
}
