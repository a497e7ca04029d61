// An audit event as the text of one JSON line: bounded, escaped, in the record's field order. Pure.
import type { AuditEvent } from './event.ts';

const maxFieldBytes = 256;
const maxListItems = 64;
/** `arguments` and `detail`: at most this much JSON; what is longer becomes a string of half of it, which quoting at most doubles. */
const maxValueBytes = 64 * 1024;
/** A line of so few UTF-16 units cannot hold a value that is too long, escaped or not. */
const surelyShort = maxValueBytes / 6;

const encoder = new TextEncoder();
const beyondAscii = /[^\x20-\x7e]/;
/** What JSON.stringify leaves raw though a terminal or a line reader may act on it: DEL, C1, line separators, bidirectional controls. */
const untamed = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Encodes everything of the record between `seq` and `prev`, without the braces: `"id":…,…,"policy":"…"`.
 * Never throws and never yields a raw control or line separator. Text fields are at most 256 bytes, what was cut ending
 * in `…` and the original length in bytes. `,"hash"` never occurs in it, so that the first one in a line is the chain's.
 */
export function encodeEvent(event: AuditEvent, instance: string): string {
  const { id, time, stage, facts = encodeFacts(event), upstream, detail } = event;
  const beginning = members({
    id: field(id),
    time: Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : null,
    instance: field(instance),
    stage,
  });
  const end = {
    reason: field(event.reason),
    upstream: upstream && { name: field(upstream.name), status: upstream.status },
    status: event.status,
    bytes: event.bytes,
    durationMs: event.durationMs,
    outcome: event.outcome,
    detail: detail && bounded(detail),
    policy: field(event.policy),
  };
  return facts === '' ? `${beginning},${members(end)}` : `${beginning},${facts},${members(end)}`;
}

export type RequestFacts = Pick<
  AuditEvent,
  'route' | 'client' | 'principal' | 'credentials' | 'http' | 'mcp' | 'scopes' | 'decision' | 'rule'
>;

/** The middle of the record, from `route` to `rule`: what the records of one request have in common. Empty when there is none of it. */
export function encodeFacts(event: RequestFacts): string {
  const args = event.mcp?.arguments;
  const facts = members(factsOf(event, args));
  if (facts !== undefined && facts.length <= surelyShort) return facts;
  return members(factsOf(event, bounded(args))) ?? '';
}

/** In the record's field order; JSON leaves out what is undefined. */
function factsOf(event: RequestFacts, args: unknown): Record<string, unknown> {
  const { client, principal, http, mcp, scopes } = event;
  return {
    route: field(event.route),
    client: client && { address: field(client.address), userAgent: field(client.userAgent) },
    principal: principal && {
      kind: field(principal.kind),
      issuer: field(principal.issuer),
      subject: field(principal.subject),
      clientId: field(principal.clientId),
      credentialId: field(principal.credentialId),
      tenant: field(principal.tenant),
    },
    credentials: event.credentials?.map(credential),
    http: http && { method: field(http.method), path: field(http.path) },
    mcp: mcp && {
      method: field(mcp.method),
      tool: field(mcp.tool),
      via: field(mcp.via),
      target: field(mcp.target),
      arguments: args,
    },
    scopes: scopes && {
      granted: list(scopes.granted),
      required: list(scopes.required),
      missing: list(scopes.missing),
    },
    decision: event.decision,
    rule: field(event.rule),
  };
}

/** The members of an object as JSON, without its braces; undefined when a value in it is no JSON. */
function members(of: Record<string, unknown>): string | undefined {
  let json = stringify(of);
  if (json === undefined) return undefined;
  if (beyondAscii.test(json)) json = json.replace(untamed, escapeUnit);
  if (json.includes(',"hash"')) json = json.replaceAll(',"hash"', ',"\\u0068ash"');
  return json.slice(1, -1);
}

function credential(of: NonNullable<AuditEvent['credentials']>[number]): Record<string, unknown> {
  return { kind: field(of.kind), authenticator: field(of.authenticator), id: field(of.id) };
}

function field(text: string | undefined): string | undefined {
  return text === undefined || isShort(text) ? text : cut(text, maxFieldBytes);
}

/** A UTF-16 unit is at most three bytes. */
function isShort(text: string): boolean {
  return text.length * 3 <= maxFieldBytes;
}

function list(items: readonly string[]): readonly (string | undefined)[] {
  if (items.length <= maxListItems && items.every(isShort)) return items;
  const kept = items.slice(0, maxListItems).map(field);
  if (items.length > maxListItems) kept.push(`…${items.length}`);
  return kept;
}

/** The value itself, or a string that stands for one that is too long or is no JSON. */
function bounded(value: unknown): unknown {
  const json = stringify(value);
  if (json === undefined) return value === undefined ? undefined : 'unencodable';
  const tamed = json.replace(untamed, escapeUnit);
  return Buffer.byteLength(tamed) <= maxValueBytes ? value : cut(tamed, maxValueBytes / 2);
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** At most `maxBytes` of UTF-8, the mark included, never ending inside a character. */
function cut(text: string, maxBytes: number): string {
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxBytes) return text;
  const mark = `…${bytes}`;
  const { read } = encoder.encodeInto(text, new Uint8Array(maxBytes - Buffer.byteLength(mark)));
  return text.slice(0, read) + mark;
}
