// Calls of request forms: the HTTP request that a client would send.
import type { Path } from '../config/schema/reporter.ts';
import { suggestion } from '../config/schema/suggestion.ts';
import type { Route } from '../gateway/route.ts';
import { parsePointer } from '../json/pointer.ts';
import type { CallMetaTool } from '../mcp/meta-tools.ts';
import { isNotificationName } from '../mcp/methods.ts';
import type { PolicyFile } from './policy-file.ts';
import type { CallForm, FormProblem } from './request-form.ts';

/** A request of a form, before any route is asked. */
export interface Call {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** JSON text of the request's id. */
  readonly rpcId: string | undefined;
  /** The JSON-RPC message of a POST on an MCP route. */
  readonly body: Buffer | undefined;
}

type Wrong = (message: string, ...path: Path) => undefined;

/** The call of a form; undefined, with its problems reported, where the policy file cannot have it. */
export function resolveCall(
  form: CallForm,
  { snapshot }: PolicyFile,
  report: (problem: FormProblem) => void,
): Call | undefined {
  const wrong: Wrong = (message, ...path) => void report({ path: ['call', ...path], message });
  const { args, mcp, method, path, route: routeName, tool, via } = form;
  const kinds = [tool, mcp, path ?? method].filter((each) => each !== undefined).length;
  if (kinds !== 1) return wrong('needs one of: tool, mcp, or method and path');
  if (path !== undefined || method !== undefined) {
    if (path === undefined || method === undefined) return wrong('needs both method and path');
    for (const other of ['route', 'args', 'via'] as const)
      if (form[other] !== undefined) wrong('does not go with method and path', other);
    const match = snapshot.match(method, path.split('?')[0]!);
    if (method === 'POST' && match !== undefined && 'route' in match && match.route.mcp !== undefined)
      return wrong(`is the MCP route "${match.route.name}": give route, and tool or mcp`, 'path');
    return { method, target: path, rpcId: undefined, body: undefined };
  }
  if (mcp !== undefined && (args ?? via) !== undefined) return wrong('args and via go with tool; mcp has params');
  const route = mcpRoute(routeName, snapshot.routes, wrong);
  if (route === undefined) return undefined;
  const target = route.path.replace(/\/\*$/, '') || '/';
  const match = snapshot.match('POST', target);
  if (match !== undefined && 'route' in match && match.route !== route)
    return wrong(`is never asked at ${target}: route "${match.route.name}" comes before it`, 'route');
  const message = mcp ?? toolCall(tool!, args, via, route, wrong);
  if (message === undefined) return undefined;
  if (!isJson(message.params))
    return wrong('holds a number that JSON does not have', mcp === undefined ? 'args' : 'mcp');
  const id = isNotificationName(message.method) ? undefined : 1;
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, ...message }));
  return { method: 'POST', target, rpcId: id?.toString(), body };
}

function mcpRoute(name: string | undefined, routes: readonly Route[], wrong: Wrong): Route | undefined {
  const known = routes.filter(({ mcp }) => mcp !== undefined);
  if (known.length === 0) return wrong('there is no MCP route; give method and path');
  const names = known.map((each) => each.name);
  if (name === undefined) {
    return known.length === 1 ? known[0] : wrong(`needs route, which is one of ${names.join(', ')}`);
  }
  const route = known.find((each) => each.name === name);
  if (route !== undefined) return route;
  const isPathRoute = routes.some((each) => each.name === name);
  const what = isPathRoute ? 'is no MCP route: give method and path' : `unknown route "${name}"`;
  return wrong(`${what}${suggestion(name, names)}; MCP routes are ${names.join(', ')}`, 'route');
}

function toolCall(
  tool: string,
  args: CallForm['args'],
  via: string | undefined,
  { policy }: Route,
  wrong: Wrong,
): CallForm['mcp'] {
  if (via === undefined) return { method: 'tools/call', params: { name: tool, arguments: args } };
  const { calls } = policy.metaTools;
  const metaTool = calls.get(via);
  if (metaTool === undefined) {
    const names = [...calls.keys()];
    const known = names.length === 0 ? 'this route has none' : `this route has ${names.join(', ')}`;
    return wrong(`unknown meta-tool "${via}"${suggestion(via, names)}; ${known}`, 'via');
  }
  return { method: 'tools/call', params: { name: via, arguments: metaArguments(metaTool, tool, args) } };
}

/** Arguments of a meta-tool that hold the tool's name and arguments at their places. */
function metaArguments(metaTool: CallMetaTool, tool: string, args: CallForm['args']): Record<string, unknown> {
  const named = withMember({}, parsePointer(metaTool.name), tool);
  return args === undefined ? named : withMember(named, parsePointer(metaTool.arguments), args);
}

function withMember(whole: Record<string, unknown>, [step, ...rest]: readonly string[], value: unknown): typeof whole {
  const inner = (whole[step!] ?? {}) as typeof whole;
  return { ...whole, [step!]: rest.length === 0 ? value : withMember(inner, rest, value) };
}

/** YAML has numbers that are not finite. */
function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isJson);
}
