// Arguments of a call in the audit record: none, their digest, selected values, or all of them.
import { hash } from 'node:crypto';
import { parsePointer, valueAt } from '../json/pointer.ts';
import type { McpMessage } from './message.ts';

/** JSON pointers (RFC 6901) are given for each tool by its exact name. */
export type ArgumentsMode = 'none' | 'digest' | 'full' | Readonly<Record<string, readonly string[]>>;

/** Beyond this the record holds the digest, the length and the beginning of the JSON instead. */
const maxRecordedBytes = 64 * 1024;
/** Of the beginning: quoting at most doubles it, and the digest and the length stand beside it. */
const maxBeginningBytes = maxRecordedBytes / 2 - 1024;

/**
 * Undefined where there are no arguments or the mode is `none`; `sha256:` and hex digits for `digest`, and for a tool that has no pointers; the
 * values by their pointers, absent ones left out; or the arguments themselves. Numbers become JSON in the digits in which they were sent.
 */
export function auditArguments(mode: ArgumentsMode, message: McpMessage): unknown {
  const bytes = message.argumentBytes;
  if (bytes === undefined || mode === 'none') return undefined;
  if (mode === 'digest') return digestOf(bytes);
  if (mode === 'full') return bytes.length > maxRecordedBytes ? summaryOf(bytes, bytes) : parseArguments(bytes);
  const name = message.target?.name ?? '';
  const pointers = Object.hasOwn(mode, name) ? mode[name] : undefined;
  if (pointers === undefined) return digestOf(bytes);
  const selected = selectValues(parseArguments(bytes), pointers);
  if (bytes.length <= maxRecordedBytes) return selected;
  const recorded = Buffer.from(JSON.stringify(selected));
  return recorded.length <= maxRecordedBytes ? selected : summaryOf(bytes, recorded);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${hash('sha256', bytes, 'hex')}`;
}

/** `text` is the beginning of what is too long to be recorded, up to a whole character, and its length in bytes. */
function summaryOf(bytes: Buffer, recorded: Buffer): { digest: string; bytes: number; text: string } {
  const beginning = new TextDecoder().decode(recorded.subarray(0, maxBeginningBytes), { stream: true });
  return { digest: digestOf(bytes), bytes: bytes.length, text: `${beginning}…${recorded.length}` };
}

/** Of bytes that were scanned before. */
function parseArguments(bytes: Buffer): unknown {
  return parse(bytes.toString('utf8'), (_name, value, { source }) =>
    typeof value === 'number' && String(value) !== source ? rawJSON(source) : value,
  );
}

/** The proposal JSON.parse source text access, of which TypeScript has no types yet. */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, revive: (name: string, value: unknown, context: { readonly source: string }) => unknown): unknown;
  rawJSON(text: string): object;
};

function selectValues(args: unknown, pointers: readonly string[]): Record<string, unknown> {
  const selected: Record<string, unknown> = {};
  for (const pointer of pointers) {
    const value = valueAt(args, parsePointer(pointer));
    if (value !== undefined) selected[pointer] = value;
  }
  return selected;
}
