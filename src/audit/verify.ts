// Verification of the hash chain over the files of one audit log, up to its first break.
import { realpath } from 'node:fs/promises';
import { fileProblem } from '../errors.ts';
import { maxLineBytes, readLines } from './file/lines.ts';
import { genesis, parseLink } from './hash-chain.ts';

/** The first line that does not fit into the chain. */
export interface ChainBreak {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly reason: string;
}

/** The result of a verification. */
export interface ChainReport {
  readonly valid: boolean;
  /** The files in the order of the chain. */
  readonly files: readonly string[];
  /** Records that hold together, up to the first that does not fit. */
  readonly records: number;
  readonly firstSeq: number | undefined;
  readonly lastSeq: number | undefined;
  /** Hash of the last good line. Kept elsewhere, it later proves that nothing was cut off the end. */
  readonly lastHash: string | undefined;
  /** The first break; undefined when the chain holds, or when there is no record. */
  readonly break: ChainBreak | undefined;
  readonly notes: readonly string[];
}

interface Walk {
  readonly files: string[];
  readonly notes: string[];
  records: number;
  firstSeq: number | undefined;
  seq: number;
  hash: string;
  /** The file of the last good line. */
  lastFile: string | undefined;
  /** The first record, while it does not begin the chain and no retention record covers the ones before it. */
  uncovered: { readonly seq: number; readonly prev: string; readonly at: ChainBreak } | undefined;
}

/**
 * Verifies files given in any order. Every line must be an audit line with the hash of its own text, follow its
 * predecessor's `seq` and state its hash as `prev`. The first must begin the chain, or follow records whose deletion a
 * retention record in these files states. A torn last line of the newest file is a note. Lines missing from the end cannot show.
 * Files without a record are not valid: they prove nothing. Throws an Error with a public message when a file cannot be read.
 */
export async function verifyChain(paths: readonly string[]): Promise<ChainReport> {
  const files = await sortByChain(paths);
  const walk: Walk = {
    files,
    notes: [],
    records: 0,
    firstSeq: undefined,
    seq: 0,
    hash: genesis.hash,
    lastFile: undefined,
    uncovered: undefined,
  };
  for (const file of files) {
    const broken = await walkFile(walk, file, file === files.at(-1));
    if (broken !== undefined) return report(walk, broken);
  }
  return report(walk, walk.uncovered?.at);
}

async function walkFile(walk: Walk, file: string, newest: boolean): Promise<ChainBreak | undefined> {
  let line = 0;
  for await (const { bytes, terminated } of readLines(file)) {
    line += 1;
    if (!terminated && newest && bytes.length <= maxLineBytes && parseLink(bytes) === undefined) {
      walk.notes.push(`${file}:${line}: the last line is torn (${bytes.length} bytes); the next start repairs it`);
      return undefined;
    }
    const reason = takeLine(walk, file, line, bytes);
    if (reason !== undefined) return { file, line, reason };
  }
  return undefined;
}

/** Adds a line to the walk, or says why it does not belong. */
function takeLine(walk: Walk, file: string, line: number, bytes: Buffer): string | undefined {
  const link = parseLink(bytes);
  if (link === undefined) return 'not an audit record';
  if (!link.intact) return 'the record was altered: its hash is not that of its text';
  if (walk.firstSeq === undefined) {
    walk.firstSeq = link.seq;
    if (link.seq !== 1 || link.prev !== genesis.hash) {
      const reason = `begins at seq ${link.seq}: earlier records are missing and no retention record covers them`;
      walk.uncovered = { seq: link.seq, prev: link.prev, at: { file, line, reason } };
    }
  } else {
    const reason = compare(walk, file, link.seq, link.prev);
    if (reason !== undefined) return reason;
  }
  if (walk.uncovered !== undefined && covers(link.record, walk.uncovered)) {
    walk.notes.push(`records up to seq ${walk.uncovered.seq - 1} were deleted by retention, as seq ${link.seq} states`);
    walk.uncovered = undefined;
  }
  walk.seq = link.seq;
  walk.hash = link.hash;
  walk.lastFile = file;
  walk.records += 1;
  return undefined;
}

/** Where the break is between two files. */
const hint = '; the files may be of two chains: each sink has one of its own, verify them one by one';

function compare(walk: Walk, file: string, seq: number, prev: string): string | undefined {
  // Within one file there is no other chain.
  const otherChain = file === walk.lastFile ? '' : hint;
  if (seq === 1 && prev === genesis.hash) return `the chain starts again: seq 1 after seq ${walk.seq}${otherChain}`;
  if (seq > walk.seq + 1) return `records are missing: seq ${seq} after seq ${walk.seq}`;
  if (seq <= walk.seq) return `records are repeated or out of order: seq ${seq} after seq ${walk.seq}${otherChain}`;
  return prev === walk.hash ? undefined : `prev is not the hash of the record before${otherChain}`;
}

/** True for a retention record that states the deletion of the records right before the first one. */
function covers(record: Readonly<Record<string, unknown>>, start: { seq: number; prev: string }): boolean {
  if (record.stage !== 'config' || record.reason !== 'retention') return false;
  const deleted = objectOf(objectOf(record.detail)?.deleted);
  return deleted?.lastSeq === start.seq - 1 && deleted.lastHash === start.prev;
}

/** By the first record's `seq`; files that begin with none go last, where their line is reported. */
async function sortByChain(paths: readonly string[]): Promise<string[]> {
  const seen = new Set<string>();
  const starts: { path: string; seq: number }[] = [];
  for (const path of paths) {
    try {
      const real = await realpath(path);
      if (seen.has(real)) continue;
      seen.add(real);
      const seq = await firstSeqOf(path);
      // Right after a rotation the newest file is empty.
      if (seq !== undefined) starts.push({ path, seq });
    } catch (cause) {
      throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
    }
  }
  return starts.sort((one, other) => one.seq - other.seq).map(({ path }) => path);
}

async function firstSeqOf(path: string): Promise<number | undefined> {
  for await (const { bytes } of readLines(path)) return parseLink(bytes)?.seq ?? Number.MAX_SAFE_INTEGER;
  return undefined;
}

function report(walk: Walk, broken: ChainBreak | undefined): ChainReport {
  const start = walk.uncovered?.at;
  if (start !== undefined && start !== broken) walk.notes.push(`${start.file}:${start.line}: ${start.reason}`);
  const { files, notes, records, firstSeq } = walk;
  const any = records > 0;
  return {
    valid: broken === undefined && any,
    files,
    records,
    firstSeq,
    lastSeq: any ? walk.seq : undefined,
    lastHash: any ? walk.hash : undefined,
    break: broken,
    notes,
  };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
