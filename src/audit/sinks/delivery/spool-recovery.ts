// Recovery of a spool that an earlier process wrote: its segments, the end of the chain, and the position up to which all is acknowledged.
import { copyFile, readdir, readFile, stat, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../../log.ts';
import { type ChainHead, genesis, isIntact, parseLink } from '../../hash-chain.ts';
import { ignoreMissing } from '../file/errno.ts';
import type { LogEvent, LossReason } from '../sink-type.ts';
import { linesIn } from './backlog.ts';
import { type Position, positionPath } from './position-file.ts';
import { type Segment, seqAt } from './segment.ts';

/** Takes what was found. */
export interface SpoolFindings {
  readonly log: Log;
  /** Takes an event that has to be recorded, and the number of records that are lost by it; `corrupt` by default. */
  readonly report: (event: LogEvent, lost: number, reason?: LossReason) => void;
}

const segmentName = /^(\d{12})\.jsonl$/;

/** A spool as it was found. */
interface Recovered extends Position {
  readonly segments: Segment[];
  /** The number of the last record before the position. */
  readonly released: number;
}

/** Reads the folder, repairs the end of the last segment, and deletes segments that are delivered. */
export async function recoverSpool(folder: string, findings: SpoolFindings): Promise<Recovered> {
  const position = await readPosition(positionPath(folder), findings);
  const segments: Segment[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const [, digits] = segmentName.exec(name) ?? [];
    if (digits === undefined) continue;
    const path = join(folder, name);
    // The process ended before it could delete it.
    if (Number(digits) < (position?.segment ?? 0)) await unlink(path);
    else segments.push({ number: Number(digits), path, size: (await stat(path)).size, first: 0 });
  }
  const end = (await repairEnd(segments, findings)) ?? genesis;
  const head = position !== undefined && position.head.seq > end.seq ? position.head : end;
  let after = head.seq + 1;
  // Where the first record is damaged, the segment before counts for both.
  for (const segment of segments.toReversed()) {
    segment.first = (await seqAt(segment.path, 0)) ?? after;
    after = segment.first;
  }
  const [first, second] = segments;
  const offset = first !== undefined && first.number === position?.segment ? Math.min(position.offset, first.size) : 0;
  const waiting = first && ((await seqAt(first.path, offset)) ?? second?.first);
  return {
    ...{ segments, head, offset, released: (waiting ?? head.seq + 1) - 1 },
    segment: Math.max(segments.at(-1)?.number ?? 0, position?.segment ?? 0),
  };
}

/** Keeps a copy of a damaged segment, and reports it. */
export async function keepDamaged(
  { path }: Segment,
  damage: { readonly records: number; readonly from: number; readonly to: number },
  { log, report }: SpoolFindings,
): Promise<void> {
  const kept = `${path}.corrupt`;
  await copyFile(path, kept).catch(ignoreMissing);
  log.error({ path: kept, ...damage }, 'the spool is damaged; records in it are not delivered');
  report({ reason: 'spool_corrupt', detail: { path: kept, ...damage } }, damage.records);
}

async function readPosition(path: string, { log, report }: SpoolFindings): Promise<Position | undefined> {
  const text = await readFile(path, 'utf8').catch(ignoreMissing);
  const position = text === undefined ? undefined : parsePosition(text);
  if (text !== undefined && position === undefined) {
    log.error({ path }, 'the position of the spool cannot be read; all of it is delivered once more');
    report({ reason: 'repaired', detail: { path } }, 0);
  }
  return position;
}

function parsePosition(text: string): Position | undefined {
  try {
    const { segment, offset, head } = JSON.parse(text);
    const isWhole = [segment, offset, head.seq].every((each) => Number.isSafeInteger(each) && each >= 0);
    return isWhole && /^[0-9a-f]{64}$/.test(head.hash) ? { segment, offset, head } : undefined;
  } catch {
    return undefined;
  }
}

/** Cuts what stands behind the last whole record. Yields the end of the chain there. */
async function repairEnd(segments: readonly Segment[], findings: SpoolFindings): Promise<ChainHead | undefined> {
  for (const segment of segments.toReversed()) {
    const bytes = await readFile(segment.path);
    const last = linesIn(bytes).findLast(isIntact);
    const keep = last === undefined ? 0 : last.byteOffset - bytes.byteOffset + last.length + 1;
    if (segment === segments.at(-1) && keep < bytes.length) await cut(segment, bytes.subarray(keep), keep, findings);
    const link = last && parseLink(last);
    if (link !== undefined) return { seq: link.seq, hash: link.hash };
  }
  return undefined;
}

/** A torn line is the rest of a write; whole lines that are not intact are damage. */
async function cut(segment: Segment, rest: Buffer, keep: number, findings: SpoolFindings): Promise<void> {
  const { path } = segment;
  const records = linesIn(rest).length;
  if (records > 0) await keepDamaged(segment, { records, from: keep, to: keep + rest.length }, findings);
  else {
    findings.log.warn({ path, bytes: rest.length }, 'spool: a torn last line was cut');
    findings.report({ reason: 'repaired', detail: { path, repaired: rest.length, at: keep } }, 0);
  }
  await truncate(path, keep);
  segment.size = keep;
}
