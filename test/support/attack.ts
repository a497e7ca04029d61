// A gateway with every kind of route, its upstream and its issuer, and what must be true of an attack that was refused.
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import type { Schedule } from '../../src/authn/token/jwks.ts';
import { type AuditRecord, startTestGateway, type TestGateway } from './gateway.ts';
import { createFakeIssuer, type FakeIssuer } from './issuer.ts';
import { type RawAnswer, type RawConversation, rawRequest, talk } from './raw-http.ts';
import { type RecordedRequest, startUpstream, type TestUpstream } from './upstream.ts';

/** A key of the reporting tool, with `dashboards:read`. */
export const apiKey = `sk_${'k'.repeat(43)}`;
export const withKey = `Authorization: Bearer ${apiKey}`;
export const host = 'Host: mcp.example.com';

export interface Scene {
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  readonly issuer: FakeIssuer;
}

export interface SceneOptions {
  /** Laid over the defaults; `up` is the upstream's URL. */
  readonly upstream?: TestUpstream;
  readonly issuer?: FakeIssuer;
  /** More members of `server`, as YAML flow. */
  readonly server?: string;
  readonly upstreamOptions?: string;
  readonly audit?: string;
  readonly now?: () => number;
  readonly schedule?: Schedule;
  readonly keySet?: string;
  readonly mcp?: string;
  /** Rules of the MCP route behind the one for `list_dashboards`, as YAML flow. */
  readonly rules?: string;
}

export function keyEntry(id: string, key: string, more = ''): string {
  const hash = createHash('sha256').update(key).digest('hex');
  return `{id: ${id}, hash: "sha256:${hash}", clientId: reporting_tool, scopes: [dashboards:read], expires: 2099-01-01${more}}`;
}

/** The YAML of the scene. Paths: /mcp (token or key), /api/* (token or key), /open/* (nothing) and /health (answered by the gateway). */
export function sceneYaml(upstreamUrl: string, issuer: string, options: SceneOptions = {}): string {
  return `version: 1
server:
  listen: 127.0.0.1:0
  publicUrl: https://mcp.example.com
  allowedHosts: [alias.example.com]
  allowedOrigins: ["https://app.example.com"]
  ${options.server ?? ''}
admin: {listen: "127.0.0.1:0"}
authenticators:
  corp:
    type: jwt
    issuer: ${issuer}
    audience: ["https://mcp.example.com/mcp", "https://mcp.example.com/api"]
    ${options.keySet ?? ''}
  keys: {type: apiKey, keys: [${keyEntry('k1', apiKey)}]}
upstreams: {up: {url: "${upstreamUrl}"${options.upstreamOptions ?? ''}}}
routes:
  - path: /mcp
    upstream: up
    authenticate: {anyOf: [corp, keys]}
    mcp:
      ${options.mcp ?? ''}
      rules: [{allow: {tools: [list_dashboards]}, require: {scopes: [dashboards:read]}}${options.rules === undefined ? '' : `, ${options.rules}`}]
  - {path: /api/*, upstream: up, authenticate: {anyOf: [corp, keys]}, scopes: [dashboards:read]}
  - {path: /open/*, upstream: up, authenticate: none}
  - {path: /health, authenticate: none, respond: {json: {status: healthy}}}
${options.audit ?? ''}`;
}

/** Starts all three and closes them with the test. */
export async function startScene(t: Test, options: SceneOptions = {}): Promise<Scene> {
  const upstream = options.upstream ?? (await startUpstream());
  const issuer = options.issuer ?? (await createFakeIssuer());
  const gateway = await startTestGateway({
    yaml: sceneYaml(upstream.url, issuer.issuer, options),
    ...(options.now !== undefined && { now: options.now }),
    ...(options.schedule !== undefined && { schedule: options.schedule }),
  });
  t.teardown(async () => {
    await gateway.close();
    await upstream.close();
    await issuer.close();
  });
  return { gateway, upstream, issuer };
}

/** A request from its first line and headers; Host and the key are added unless `headers` has a Host. */
export function request(line: string, headers: readonly string[] = [], body = ''): string {
  const common = headers.some((each) => /^(host|authorization)\s*:/i.test(each)) ? [] : [host, withKey];
  return rawRequest([`${line} HTTP/1.1`, ...common, ...headers], body);
}

/** An MCP POST of one message. */
export function post(message: unknown, headers: readonly string[] = [host, withKey], path = '/mcp'): string {
  const body = typeof message === 'string' ? message : JSON.stringify(message);
  const length = Buffer.byteLength(body);
  return rawRequest(
    [`POST ${path} HTTP/1.1`, ...headers, 'Content-Type: application/json', `Content-Length: ${length}`],
    Buffer.from(body).toString('latin1'),
  );
}

export function toolCall(name: string, args: unknown = {}): unknown {
  return { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
}

export interface Attack {
  readonly conversation: RawConversation;
  /** The final answer. */
  readonly answer: RawAnswer;
  readonly code: unknown;
  /** What the upstream got of it. */
  readonly forwarded: readonly RecordedRequest[];
  /** Its last record. */
  readonly record: AuditRecord;
}

/** Sends bytes on a connection of their own and gathers what came of it. Several at once only where at most one has no request id. */
export async function attack({ gateway, upstream }: Scene, bytes: string | Buffer): Promise<Attack> {
  const before = (await gateway.records()).at(-1)?.seq ?? 0;
  const seen = upstream.requests.length;
  const conversation = await talk(gateway.port, bytes);
  const answer = conversation.answers.find(({ status }) => status >= 200);
  if (answer === undefined) throw new Error(`no answer: ${JSON.stringify(conversation.text)}`);
  const id = answer.headers['x-request-id'];
  const record = await gateway.record(
    ({ stage, seq, ...each }) =>
      stage === 'completed' &&
      seq > before &&
      (id === undefined ? each.outcome === 'refused' && each.route === undefined : each.id === id),
  );
  return { conversation, answer, code: codeOf(answer), forwarded: upstream.requests.slice(seen), record };
}

/** The stable code of an answer, from problem+json or from a JSON-RPC error. */
export function codeOf({ json }: RawAnswer): unknown {
  const error = json?.error as { data?: { code?: unknown } } | undefined;
  return json?.code ?? error?.data?.code;
}

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly closes?: boolean;
  /** What the record says of the request; undefined when no head could be read. */
  readonly http?: { readonly method: string; readonly path: string } | undefined;
}

/** All that every refusal has in common: our body, nothing forwarded, one record that says what was answered. */
export function assertRefused(t: Test, name: string, result: Attack, expected: Refusal): void {
  const { answer, conversation, forwarded, record } = result;
  t.match({ status: answer.status, code: result.code }, { status: expected.status, code: expected.code }, name);
  const rpc = answer.json?.jsonrpc === '2.0';
  t.equal(answer.headers['content-type'], rpc ? 'application/json' : 'application/problem+json', `${name}: media type`);
  t.equal(answer.headers['cache-control'], 'no-store', `${name}: not stored`);
  if (expected.closes === true) t.match(answer.headers.connection, /\bclose$/, `${name}: closes`);
  t.equal(conversation.answers.filter(({ status }) => status < 200).length, 0, `${name}: no interim answer`);
  t.equal(forwarded.length, 0, `${name}: nothing forwarded`);
  const { stage, decision, reason, status, outcome, http } = record;
  t.strictSame(
    { stage, decision, reason, status, outcome, http },
    {
      stage: 'completed',
      decision: 'deny',
      reason: expected.code,
      status: expected.status,
      outcome: 'refused',
      http: expected.http,
    },
    `${name}: record`,
  );
}
