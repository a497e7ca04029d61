// Callers and calls of the scenario, as the attributes that policy tests decide on.
import type t from 'tap';
import { parse } from 'yaml';
import type { Caller, Principal } from '../../src/authn/caller/principal.ts';
import { formatPath } from '../../src/config/problem.ts';
import type { Path } from '../../src/config/schema/reporter.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import type { Attributes } from '../../src/policy/attributes.ts';
import { compilePolicy, type PolicyConfig } from '../../src/policy/compile.ts';
import { createEvaluation } from '../../src/policy/condition/evaluation.ts';
import { decide } from '../../src/policy/decide.ts';
import type { McpRuleConfig, Policy } from '../../src/policy/rule.ts';

const authenticators = ['corp-oauth', 'legacy-keys', 'workloads', 'partner'];

/** Throws the first error that is reported, with its path. Warnings are for the tests of checks. */
export function compile(config: PolicyConfig, names: readonly string[] = authenticators): Policy {
  const errors: string[] = [];
  const reporter = {
    error: (path: Path, message: string) => void errors.push(`${formatPath(path)}: ${message}`),
    warn() {},
    show: (value: string) => JSON.stringify(value),
    isInterpolated: () => false,
  };
  const policy = compilePolicy(config, { ...reporter, authenticators: names });
  if (policy === undefined) throw new Error(errors[0]);
  return policy;
}

export function mcpPolicy(yaml: string): Policy {
  return compile({ mcp: { rules: parse(yaml) as McpRuleConfig[] } });
}

export function pathPolicy(yaml: string): Policy {
  return compile(parse(yaml) as PolicyConfig);
}

export function callerOf(
  principal: Partial<Principal>,
  scopes: readonly string[],
  authenticatedBy?: readonly string[],
): Caller {
  const whole: Principal = {
    kind: 'oauth',
    authenticator: 'corp-oauth',
    issuer: 'https://idp.example.com/',
    subject: 'alice',
    clientId: undefined,
    credentialId: 'jti-1',
    scopes,
    claims: {},
    issuedAt: undefined,
    expiresAt: undefined,
    confirmation: undefined,
    ...principal,
  };
  return {
    principal: whole,
    certificate: undefined,
    method: 'oauth',
    scopes,
    senderConstrained: false,
    authenticatedBy: authenticatedBy ?? [whole.authenticator],
    responseHeaders: undefined,
    subjectKey: 'subject',
    clientKey: 'client',
  };
}

export const agent = callerOf(
  { clientId: 'ai_agent_prod' },
  ['dashboards:read', 'queries:execute'],
  ['corp-oauth', 'workloads'],
);
export const frontend = callerOf({ clientId: 'analytics_frontend' }, ['dashboards:read']);
export const reporting = callerOf(
  {
    kind: 'api-key',
    authenticator: 'legacy-keys',
    issuer: 'legacy-keys',
    subject: 'reporting_tool',
    clientId: 'reporting_tool',
  },
  ['dashboards:read', 'queries:read', 'exports:create'],
);

export interface Request {
  readonly method?: string;
  readonly path?: string;
  readonly address?: string;
  readonly message?: Attributes['message'];
}

export function attributesOf(caller: Caller | undefined, request: Request): Attributes {
  return {
    route: 'superset-mcp',
    http: { method: request.method ?? 'POST', path: request.path ?? '/mcp' },
    client: { address: request.address ?? '192.0.2.1' },
    caller,
    message: request.message,
    evaluation: createEvaluation(),
    now: 0,
  };
}

export function rpc(method: string, params: unknown = {}): Request {
  const id = method.startsWith('notifications/') ? {} : { id: 1 };
  return { message: readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...id, method, params }))) };
}

export function call(tool: string, args?: unknown): Request {
  return rpc('tools/call', { name: tool, ...(args === undefined ? {} : { arguments: args }) });
}

/** A call that a meta-tool was looked through for. */
export function callThrough(via: string, tool: string, args: unknown = {}): Request {
  return { message: { ...call(tool, args).message!, via } };
}

/** What a table row expects: `allow <rule>`, `denied <rule>`, `condition_error <rule>`, or `insufficient_scope <rule>: <missing scopes>`. */
export function verdict(policy: Policy, caller: Caller | undefined, request: Request): string {
  const decision = decide(attributesOf(caller, request), policy);
  if (decision.allow) return `allow ${decision.rule}`;
  const rule = decision.rule ?? 'no rule';
  if (decision.reason !== 'insufficient_scope') return `${decision.reason} ${rule}`;
  return `insufficient_scope ${rule}: ${decision.missingScopes.join(' ')}`;
}

export type Row = readonly [string, Caller | undefined, Request, string];

/** Asserts a table: sentence, caller, request, verdict. */
export function assertTable(test: Tap, policy: Policy, rows: readonly Row[]): void {
  for (const [sentence, caller, request, expected] of rows)
    test.equal(verdict(policy, caller, request), expected, sentence);
}

type Tap = Pick<typeof t, 'equal'>;
