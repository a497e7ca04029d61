// Audit record in the ArcSight Common Event Format, CEF:0. Pure.
import { isIPv4, isIPv6 } from 'node:net';
import type { MappedRecord } from '../http/format.ts';
import { severityOf } from '../severity.ts';

/** Characters that end a line, or that a terminal acts on. */
const controls = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** The record as one line. It holds what analysts search for; its hash, in `cs6`, names the whole record. */
export function encodeCef(record: MappedRecord, version: string): string {
  const { stage, reason } = record;
  const id = reason === undefined ? stage : `${stage}:${reason}`;
  const header = ['Portcullis', 'mcp-portcullis', version, id, nameOf(record)].map(headerText).join('|');
  const extension = extensionOf(record).flatMap(([key, value]) =>
    value === undefined || value === null || value === '' ? [] : `${key}=${extensionText(String(value))}`,
  );
  return `CEF:0|${header}|${severityOf(record).cef}|${extension.join(' ')}`;
}

function nameOf({ stage, decision, outcome }: MappedRecord): string {
  if (stage === 'decided') return decision === 'deny' ? 'Request denied' : 'Request allowed';
  if (stage === 'completed') return `Request ${outcome ?? 'completed'}`;
  if (stage === 'stream') return 'Stream ended';
  if (stage === 'head') return 'Audit head signed';
  return 'Gateway event';
}

type Pair = readonly [key: string, value: string | number | null | undefined];

/** The keys of the extension dictionary; a custom key has a label. */
function extensionOf(record: MappedRecord): Pair[] {
  const { client, principal, http, mcp, scopes, upstream, durationMs } = record;
  const address = client?.address ?? '';
  return [
    ['rt', record.time === null ? undefined : Date.parse(record.time)],
    ['cat', record.stage],
    ['externalId', record.id],
    ['deviceExternalId', record.instance],
    ['src', isIPv4(address) ? address : undefined],
    ...labelled('c6a2', 'Source IPv6 Address', isIPv6(address) ? address : undefined),
    ['suser', principal?.subject],
    ['suid', principal?.credentialId],
    ['requestMethod', http?.method],
    ['request', http?.path],
    ['requestClientApplication', client?.userAgent],
    ['act', record.decision],
    ['outcome', record.outcome],
    ['reason', record.reason],
    ['out', record.bytes],
    ['destinationServiceName', upstream?.name],
    ...labelled('cs1', 'rule', record.rule),
    ...labelled('cs2', 'tool', mcp?.tool),
    ...labelled('cs3', 'clientId', principal?.clientId),
    ...labelled('cs4', 'missingScopes', scopes?.missing?.join(' ')),
    ...labelled('cs5', 'policy', record.policy),
    ...labelled('cs6', 'recordHash', record.hash),
    ...labelled('cn1', 'recordSeq', record.seq),
    ...labelled('cn2', 'httpStatus', record.status),
    ...labelled('cn3', 'durationMs', typeof durationMs === 'number' ? Math.round(durationMs) : undefined),
    ...labelled('flexString1', 'route', record.route),
    ...labelled('flexString2', 'mcpMethod', mcp?.method),
  ];
}

function labelled(key: string, label: string, value: Pair[1]): Pair[] {
  return value === undefined || value === null || value === ''
    ? []
    : [
        [key, value],
        [`${key}Label`, label],
      ];
}

/** Escapes `\` and `|`; a header has no line breaks. */
export function headerText(text: string): string {
  return text.replace(/[\\|]/g, '\\$&').replace(controls, escapeControl);
}

/** Escapes `\` and `=`, and line breaks as `\n` and `\r`. */
export function extensionText(text: string): string {
  return text
    .replace(/[\\=]/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replace(controls, escapeControl);
}

/** As a reader sees it: `\u001b`. */
function escapeControl(unit: string): string {
  return `\\\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
