// Calls of request forms: the HTTP request that a client would send.
import type { Path } from '../config/schema/reporter.ts';
import { suggestion } from '../config/schema/suggestion.ts';
import type { Route } from '../gateway/route.ts';
import { parsePointer } from '../json/pointer.ts';
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
  if (!isJson(mcp?.params ?? args))
    return wrong('holds a number that JSON does not have', mcp === undefined ? 'args' : 'mcp');
  const message = mcp === undefined ? toolCall(tool!, args, via, route, wrong) : otherMessage(mcp);
  if (message === undefined) return undefined;
  const rpcId = mcp !== undefined && isNotificationName(mcp.method) ? undefined : '1';
  const envelope: Member[] = [{ path: ['jsonrpc'], json: '"2.0"' }, ...(rpcId ? [{ path: ['id'], json: rpcId }] : [])];
  return { method: 'POST', target, rpcId, body: Buffer.from(objectText([...envelope, ...message])) };
}

/** A member of a message, by the names on its way, and its JSON. */
interface Member {
  readonly path: readonly string[];
  readonly json: string;
}

/** The JSON of an object. That of its members is taken as it is: a value would lose the text of numbers and repeated names. */
function objectText(members: readonly Member[]): string {
  const byName = [...Map.groupBy(members, ({ path }) => path[0]!)].map(([name, [first, ...more]]) => {
    const inner = [first!, ...more].map(({ path, json }) => ({ path: path.slice(1), json }));
    return `${JSON.stringify(name)}:${first!.path.length === 1 ? first!.json : objectText(inner)}`;
  });
  return `{${byName.join(',')}}`;
}

function otherMessage({ method, params }: NonNullable<CallForm['mcp']>): Member[] {
  const member = { path: ['method'], json: JSON.stringify(method) };
  return params === undefined ? [member] : [member, { path: ['params'], json: JSON.stringify(params) }];
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
): Member[] | undefined {
  const call = (name: string, ...members: Member[]): Member[] => [
    ...otherMessage({ method: 'tools/call' }),
    { path: ['params', 'name'], json: JSON.stringify(name) },
    ...members,
  ];
  const argumentsAt = (...path: string[]): Member[] =>
    args === undefined ? [] : [{ path, json: typeof args === 'string' ? args : JSON.stringify(args) }];
  if (via === undefined) return call(tool, ...argumentsAt('params', 'arguments'));
  const { calls } = policy.metaTools;
  const metaTool = calls.get(via);
  if (metaTool === undefined) {
    const names = [...calls.keys()];
    const known = names.length === 0 ? 'this route has none' : `this route has ${names.join(', ')}`;
    return wrong(`unknown meta-tool "${via}"${suggestion(via, names)}; ${known}`, 'via');
  }
  const within = ['params', 'arguments'];
  return call(
    via,
    { path: [...within, ...parsePointer(metaTool.name)], json: JSON.stringify(tool) },
    ...argumentsAt(...within, ...parsePointer(metaTool.arguments)),
  );
}

/** YAML has numbers that are not finite. */
function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isJson);
}
