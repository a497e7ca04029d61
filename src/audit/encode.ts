// Encoding of an audit event as one line of JSON (RFC 8259): bounded, escaped, in a fixed order of members. Pure.
import { hash } from 'node:crypto';
import type { AuditEvent, AuditPrincipal, OtherDecision } from './event.ts';

const maxFieldBytes = 256;
/** Of a UTF-16 unit in UTF-8. */
const maxUnitBytes = 3;
const maxListItems = 64;
/** Of the JSON of `arguments` and `detail`. A longer value becomes a string of half of that, which quoting at most doubles. */
const maxValueBytes = 64 * 1024;
/** In UTF-16 units: a shorter value is within `maxValueBytes`, escaped or not. */
const shortLength = maxValueBytes / 6;

const encoder = new TextEncoder();
/** Text that is its own JSON, between quotes. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** Characters that JSON.stringify leaves raw and a terminal or line reader acts on: DEL, C1, line separators, bidirectional controls. */
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * An encoder for the records of one process. Yields the members between `seq` and `prev`, without braces: `"id":…,…,"policy":"…"`.
 * Never throws and never yields a raw control character or line separator. Text is at most 256 bytes; text that was cut ends
 * in `…` and its original length in bytes. Beside a member that was cut, or holds something that was, stands the SHA-256 of the whole: `pathDigest`
 * beside `path`. `,"hash"` never occurs, so that the first one in a line is the chain's.
 */
export function createEventEncoder(instance: string): (event: AuditEvent) => string {
  const instanceText = text(instance);
  // Under load many records share a second, and nearly all a policy.
  const secondOf = rememberLast(encodeSecond);
  const policyOf = rememberLast(text);

  function instantOf(time: number): string {
    if (!(Math.abs(time) <= maxTime)) return 'null';
    const second = Math.floor(time / 1000);
    const millisecond = Math.trunc(time - second * 1000);
    return `"${secondOf(second)}${String(millisecond).padStart(3, '0')}Z"`;
  }

  return (event) => {
    const { id, time, stage, reason, upstream, status, bytes, durationMs, outcome, detail, policy } = event;
    const parts = event.encodedParts ?? encodeParts(event);
    let json = `"id":${text(id)},"time":${instantOf(time)},"instance":${instanceText},"stage":"${stage}"${parts}`;
    json += member('reason', reason);
    if (upstream !== undefined) {
      json += `,"upstream":{"name":${text(upstream.name)}`;
      json += upstream.status === undefined ? '}' : `,"status":${number(upstream.status)}}`;
    }
    if (status !== undefined) json += `,"status":${number(status)}`;
    if (bytes !== undefined) json += `,"bytes":${number(bytes)}`;
    if (durationMs !== undefined) json += `,"durationMs":${number(durationMs)}`;
    if (outcome !== undefined) json += `,"outcome":"${outcome}"`;
    if (detail !== undefined) json += valueMember('detail', detail);
    return `${json},"policy":${policyOf(policy)}`;
  };
}

/** ECMA-262 §21.4.1.1: milliseconds on either side of 1970 that an instant can have. */
const maxTime = 8.64e15;

/** `2026-11-23T05:45:00.` */
function encodeSecond(second: number): string {
  return new Date(second * 1000).toISOString().slice(0, -'000Z'.length);
}

function rememberLast<V>(encode: (value: V) => string): (value: V) => string {
  let last: V | undefined;
  let json = '';
  return (value) => {
    if (value !== last) {
      json = encode(value);
      last = value;
    }
    return json;
  };
}

/** The caller and the route. */
export type CallerPart = Pick<AuditEvent, 'route' | 'client' | 'principal' | 'credentials'>;
/** The HTTP request and the MCP message. */
export type MessagePart = Pick<AuditEvent, 'http' | 'mcp'>;
/** The decision and the scopes that it took. */
export type DecisionPart = Pick<AuditEvent, 'scopes' | 'decision' | 'rule'>;

/**
 * The members from `route` to `trace`, each behind a comma: what the records of one request share.
 * Concatenated by hand, because building objects for JSON.stringify costs several times as much.
 */
function encodeParts(event: AuditEvent): string {
  return (
    encodeCaller(event) +
    encodeMessage(event) +
    encodeDecision(event) +
    encodeOther('report', event.report) +
    encodeOther('shadow', event.shadow) +
    (event.trace === undefined ? '' : encodeTrace(event.trace))
  );
}

/** The caller's members as JSON text, each behind a comma. */
export function encodeCaller({ route, client, principal, credentials }: CallerPart): string {
  let json = member('route', route);
  if (client !== undefined)
    json += `,"client":{"address":${text(client.address)}${member('userAgent', client.userAgent)}}`;
  if (principal !== undefined) json += principalOf(principal);
  if (credentials !== undefined) json += `,"credentials":[${credentialsOf(credentials)}]`;
  return json;
}

/** The message's members as JSON text, each behind a comma. */
export function encodeMessage({ http, mcp }: MessagePart): string {
  const json = http === undefined ? '' : `,"http":{"method":${text(http.method)}${member('path', http.path)}}`;
  return mcp === undefined ? json : `${json},"mcp":${mcpOf(mcp)}`;
}

/** The decision's members as JSON text, each behind a comma. */
export function encodeDecision({ scopes, decision, rule }: DecisionPart): string {
  let json = '';
  if (scopes !== undefined) {
    const { granted, required, missing } = scopes;
    const lists = listMember('granted', granted) + listMember('required', required) + listMember('missing', missing);
    json += `,"scopes":{${lists.slice(1)}}`;
  }
  if (decision !== undefined) json += `,"decision":"${decision}"`;
  return json + member('rule', rule);
}

/** A decision that was not enforced, as JSON text behind a comma. */
export function encodeOther(name: string, of: OtherDecision | undefined): string {
  if (of === undefined) return '';
  const { rule, decision, reason, unmet, missing, policy } = of;
  let json = `,"${name}":{"decision":"${decision}"${member('rule', rule)}${member('reason', reason)}${member('unmet', unmet)}`;
  if (missing !== undefined) json += listMember('missing', missing);
  return `${json}${member('policy', policy)}}`;
}

/** The trace of a request as JSON text behind a comma; both ids are hexadecimal. */
export function encodeTrace({ id, span }: NonNullable<AuditEvent['trace']>): string {
  return `,"trace":{"id":"${id}","span":"${span}"}`;
}

function principalOf(of: AuditPrincipal): string {
  const required = `,"principal":{"kind":${text(of.kind)}${member('issuer', of.issuer)}${member('subject', of.subject)}`;
  return `${required}${member('clientId', of.clientId)}${member('credentialId', of.credentialId)}${member('tenant', of.tenant)}}`;
}

function credentialsOf(all: NonNullable<AuditEvent['credentials']>): string {
  return all.length === 1 ? credentialOf(all[0]!) : all.map(credentialOf).join();
}

function credentialOf(of: NonNullable<AuditEvent['credentials']>[number]): string {
  return `{"kind":${text(of.kind)}${member('authenticator', of.authenticator)}${member('id', of.id)}}`;
}

function mcpOf(of: NonNullable<AuditEvent['mcp']>): string {
  let json = member('method', of.method) + member('tool', of.tool) + member('via', of.via);
  json += typeof of.target === 'object' ? valueMember('target', of.target) : member('target', of.target);
  if (of.arguments !== undefined) json += valueMember('arguments', of.arguments);
  return `{${json.slice(1)}}`;
}

/** A member of text behind a comma; nothing where it is undefined. */
export function member(name: string, value: string | undefined): string {
  if (value === undefined) return '';
  const json = `,"${name}":${text(value)}`;
  return isCut(value) ? json + digestMember(name, value) : json;
}

function digestMember(name: string, whole: string): string {
  return `,"${name}Digest":"sha256:${hash('sha256', whole, 'hex')}"`;
}

function isCut(value: string): boolean {
  return value.length > maxFieldBytes / maxUnitBytes && Buffer.byteLength(value) > maxFieldBytes;
}

function text(value: string): string {
  if (value.length <= maxFieldBytes && plain.test(value)) return `"${value}"`;
  return escapeUnsafe(JSON.stringify(cut(value, maxFieldBytes)));
}

/** RFC 8259 §6: JSON has no infinities and no NaN. */
function number(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null';
}

/** The digest is that of the list's JSON. */
function listMember(name: string, items: readonly string[]): string {
  if (items.length === 0) return `,"${name}":[]`;
  const isLong = items.length > maxListItems;
  const kept = (isLong ? items.slice(0, maxListItems) : items).map(text);
  if (isLong) kept.push(`"…${items.length}"`);
  const json = `,"${name}":${escapeUnsafe(`[${kept.join()}]`)}`;
  return isLong || items.some(isCut) ? json + digestMember(name, JSON.stringify(items)) : json;
}

/** The value's JSON, or that of a string in place of a value that is too long or is no JSON. The digest is that of the whole JSON. */
function valueMember(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length <= shortLength && plain.test(value)) return `,"${name}":"${value}"`;
  const json = stringify(value);
  if (json === undefined) return `,"${name}":"unencodable"`;
  const escaped = escapeUnsafe(json);
  if (escaped.length <= shortLength || Buffer.byteLength(escaped) <= maxValueBytes) return `,"${name}":${escaped}`;
  const short = escapeUnsafe(JSON.stringify(cut(escaped, maxValueBytes / 2)));
  return `,"${name}":${short}${digestMember(name, json)}`;
}

/** Escapes unsafe characters, and every `"hash"` behind a comma. */
function escapeUnsafe(json: string): string {
  const escaped = json.replace(unsafe, escapeUnit);
  return escaped.includes(',"hash"') ? escaped.replaceAll(',"hash"', ',"\\u0068ash"') : escaped;
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
