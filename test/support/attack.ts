// Requests of an attacker, byte by byte, and assertions on their refusal.
import type { Test } from 'tap';
import { apiKey } from './configuration.ts';
import type { AuditRecord } from './gateway.ts';
import { type RawAnswer, type RawConversation, rawRequest, talk } from './raw-http.ts';
import type { Scenario } from './scenario.ts';
import type { RecordedRequest } from './upstream.ts';

export const withKey = `Authorization: Bearer ${apiKey}`;
export const host = 'Host: mcp.example.com';

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

/** What an attack is made on. */
export type Target = Pick<Scenario, 'port' | 'records' | 'record' | 'upstream'>;

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
export async function attack(target: Target, bytes: string | Buffer): Promise<Attack> {
  const { upstream } = target;
  const before = (await target.records()).at(-1)?.seq ?? 0;
  const seen = upstream.requests.length;
  const conversation = await talk(target.port, bytes);
  const answer = conversation.answers.find(({ status }) => status >= 200);
  if (answer === undefined) throw new Error(`no answer: ${JSON.stringify(conversation.text)}`);
  const id = answer.headers['x-request-id'];
  const record = await target.record(
    ({ stage, seq, ...each }) =>
      stage === 'completed' &&
      seq > before &&
      (id === undefined ? each.outcome === 'refused' && each.route === undefined : each.id === id),
  );
  return { conversation, answer, code: codeOf(answer), forwarded: upstream.requests.slice(seen), record };
}

/** It was let in: forwarded once, and without the caller's credential. */
export function assertForwarded(t: Test, name: string, { answer, forwarded }: Attack): void {
  t.equal(answer.status, 200, name);
  t.equal(forwarded.length, 1, `${name}: forwarded once`);
  t.same(forwarded[0]?.header('authorization'), [], `${name}: the credential goes no further`);
}

/** The stable code of an answer, from problem+json or from a JSON-RPC error. */
export function codeOf(answer: RawAnswer): unknown {
  return membersOf(answer)?.code;
}

function membersOf({ json }: RawAnswer): { readonly code?: unknown; readonly requestId?: unknown } | undefined {
  return json?.jsonrpc === '2.0' ? (json.error as { data: object } | undefined)?.data : json;
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
  t.equal(membersOf(answer)?.requestId, answer.headers['x-request-id'], `${name}: the request is named`);
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
