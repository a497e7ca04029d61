// Hash chain (SHA-256) over the lines of an audit log: a deleted, altered or reordered line breaks it. Pure.
import { hash } from 'node:crypto';

/** Where a chain ends: the sequence number of its last line and the hash that the next line states as `prev`. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first line. */
export const genesis: ChainHead = { seq: 0, hash: '0'.repeat(64) };

/** A UTF-16 unit is at most three bytes of UTF-8. */
const maxUnitBytes = 3;
/** Upper bound of `seq`, `prev`, `hash` and the newline together. */
const frameBytes = 256;

/** The UTF-8 of lines, each with its newline, and the head behind them. */
export interface ChainedLines {
  readonly lines: Buffer;
  readonly head: ChainHead;
}

/**
 * Chains encoded events (`createEventEncoder`) behind `head`.
 * The lines are written into `scratch` when it is surely large enough, and then last until it is used again.
 */
export function chainLines(
  head: ChainHead,
  bodies: readonly string[],
  scratch: Buffer = Buffer.alloc(0),
): ChainedLines {
  const needed = bodies.reduce((sum, body) => sum + body.length * maxUnitBytes + frameBytes, 0);
  const bytes = needed <= scratch.length ? scratch : Buffer.allocUnsafe(needed);
  let { seq, hash: prev } = head;
  let at = 0;
  /** Of the line before, in ASCII: written together with the next one. */
  let ending = '';
  for (const body of bodies) {
    seq += 1;
    const start = at + ending.length;
    at += bytes.write(`${ending}{"seq":${seq},${body},"prev":"${prev}"`, at);
    prev = hash('sha256', bytes.subarray(start, at), 'hex');
    ending = `,"hash":"${prev}"}\n`;
  }
  at += bytes.write(ending, at, 'latin1');
  return { lines: bytes.subarray(0, at), head: { seq, hash: prev } };
}

/** One line as read back. The caller compares it with its neighbours. */
export interface Link {
  readonly seq: number;
  readonly prev: string;
  readonly hash: string;
  /** The hash is that of the line's own text. */
  readonly intact: boolean;
  readonly record: Readonly<Record<string, unknown>>;
}

const tail = /,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}$/;
const tailBytes = `,"prev":"","hash":""}`.length + 128;
const hashBytes = `,"hash":""}`.length + 64;

/** Parses a line without its newline; undefined when it is no audit line. */
export function parseLink(line: Buffer): Link | undefined {
  const end = tail.exec(line.toString('latin1', Math.max(line.length - tailBytes, 0)));
  if (end?.[1] === undefined || end[2] === undefined) return undefined;
  const record = parseObject(line.toString('utf8'));
  if (record === undefined) return undefined;
  const { seq } = record;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined;
  if (record.prev !== end[1] || record.hash !== end[2]) return undefined;
  const intact = hash('sha256', line.subarray(0, line.length - hashBytes), 'hex') === end[2];
  return { seq, prev: end[1], hash: end[2], intact, record };
}

/** True for a line, without its newline, whose hash is that of its own text. */
export function isIntact(line: Buffer): boolean {
  return hash('sha256', line.subarray(0, line.length - hashBytes), 'hex') === hashOf(line);
}

/** The hash that a line states at its end; another text where it states none. */
export function hashOf(line: Buffer): string {
  return line.toString('latin1', Math.max(line.length - 66, 0), line.length - 2);
}

/** The `seq` at the start of a line, read without the rest; undefined when none stands there. */
export function seqOf(line: Buffer): number | undefined {
  const [, digits] = /^\{"seq":(\d{1,16}),/.exec(line.toString('latin1', 0, 24)) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
