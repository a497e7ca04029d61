// Checks of the rules of a route, and their compilation: the checked rule is the compiled rule.
import { type AuthenticateConfig, alternativesOf, authenticatorNamesOf } from '../../../authn/alternatives.ts';
import { compilePolicy } from '../../../policy/compile.ts';
import { inputSchemasOf, knownNamesOf } from '../../../policy/lint/known-names.ts';
import { nameProblem } from '../../../policy/lint/name-lint.ts';
import { type KnownNames, metaToolsOf } from '../../../policy/presets.ts';
import type { Policy } from '../../../policy/rule.ts';
import { type AcceptedCallers, contextBelow, type RouteContext } from '../../../policy/selectors/selector-type.ts';
import { formatPath } from '../../problem.ts';
import type { AuthenticatorConfig, Config, McpConfig, RouteConfig } from '../../schema/config.ts';
import type { Path } from '../../schema/reporter.ts';
import type { CheckContext } from '../context.ts';
import { actingAuthenticators, authenticatorNamed } from './authenticate.ts';

/** The policy of a route. Undefined where an error was reported. */
export function compileRules(context: CheckContext, route: RouteConfig, base: Path): Policy | undefined {
  const { authenticators } = context.declared;
  const checked = routeContext(context, route, base);
  if (route.mcp !== undefined) checkRecordedTools(context, route.mcp, checked.known, base);
  return compilePolicy(route, contextBelow({ ...context, authenticators, route: checked }, ...base));
}

/** The policy of the console: one rule for those whom `admin.allow` names. Undefined where an error was reported. */
export function compileConsolePolicy(
  context: CheckContext,
  authenticate: AuthenticateConfig,
  { scopes, ...selectors }: NonNullable<Config['admin']['allow']> = {},
): Policy | undefined {
  const route: RouteContext = {
    place: 'admin',
    path: '/*',
    callers: acceptedCallers(context, { authenticate }),
    callMetaTools: [],
    known: undefined,
    isRecorded: false,
    inputSchemas: new Map(),
  };
  // `rules`, its position, and `allow` or `require`, which are one here.
  const inFile = (path: Path): Path => ['admin', 'allow', ...path.slice(3)];
  const rule = { name: 'admin.allow', allow: selectors, require: { scopes } };
  return compilePolicy(
    { rules: [rule] },
    {
      ...context,
      authenticators: context.declared.authenticators,
      route,
      error: (path, message) => context.error(inFile(path), message),
      warn: (path, message) => context.warn(inFile(path), message),
    },
  );
}

/** Pointers for a tool that does not exist record nothing of the one that was meant. */
function checkRecordedTools(context: CheckContext, mcp: McpConfig, known: KnownNames | undefined, base: Path): void {
  const { arguments: recorded } = mcp.audit;
  if (typeof recorded === 'string' || known === undefined) return;
  for (const tool of Object.keys(recorded)) {
    const message = nameProblem('tools', tool, known, { show: context.show, isExpected: true });
    if (message !== undefined) context.warn([...base, 'mcp', 'audit', 'arguments', tool], message);
  }
}

function routeContext(context: CheckContext, route: RouteConfig, base: Path): RouteContext {
  const metaTools = Object.entries(route.mcp === undefined ? {} : metaToolsOf(route.mcp));
  const known = knownNamesOf(route, context.files);
  return {
    place: formatPath(base),
    path: route.path,
    methods: route.methods,
    callers: route.authenticate === 'none' ? undefined : acceptedCallers(context, route),
    callMetaTools: metaTools.flatMap(([name, tool]) => ('results' in tool ? [] : [name])),
    known: known && { ...known, tools: [...known.tools, ...metaTools.map(([name]) => name)] },
    isRecorded: route.mcp?.catalog !== undefined,
    inputSchemas: inputSchemasOf(route, context.files),
  };
}

function acceptedCallers(
  context: CheckContext,
  { authenticate }: { readonly authenticate: AuthenticateConfig },
): AcceptedCallers {
  const names = authenticatorNamesOf(authenticate);
  const configs = names.map((name) => authenticatorNamed(context, name));
  const acting = actingAuthenticators(alternativesOf(authenticate), context.draft.authenticators ?? {});
  const claims = configs.flatMap((config) => {
    return config !== undefined && 'claims' in config ? Object.keys(config.claims) : [];
  });
  return {
    authenticators: names,
    acting,
    claims: configs.includes(undefined) ? undefined : claims,
    clients: new Map(
      acting.flatMap((name) => {
        const config = authenticatorNamed(context, name);
        const clients = config && clientsOf(config);
        return clients === undefined ? [] : [[name, clients] as const];
      }),
    ),
    everyone: listed(acting.map((name) => everyoneOf(name, authenticatorNamed(context, name)?.type))),
  };
}

/** The clients of a closed allowlist; undefined where an issuer names them. */
function clientsOf(config: AuthenticatorConfig): string[] | undefined {
  const entries = config.type === 'mtls' ? config.allow : config.type === 'apiKey' ? config.keys : undefined;
  return entries?.map(({ clientId }) => clientId);
}

function everyoneOf(name: string, type: AuthenticatorConfig['type'] | undefined): string {
  if (type === 'apiKey') return `every key of "${name}"`;
  return type === 'mtls' ? `every certificate of "${name}"` : `every token that "${name}" accepts`;
}

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join() : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}
