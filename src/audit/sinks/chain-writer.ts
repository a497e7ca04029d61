// Writer of chained lines to the target of one sink. After an outage it records the number of missed records, and writes kept ones.
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { RecordsRefused } from '../errors.ts';
import { type ChainHead, chainLines } from '../hash-chain.ts';
import type { Heads, Signing } from '../heads/heads.ts';
import type { LogEvent, SinkTarget } from './sink-type.ts';

/** Called with the number of records; `sink` is the sink's type. */
export interface AuditObserver {
  written(sink: string, records: number): void;
  failed(sink: string, records: number): void;
  shed(sink: string): void;
}

/** Options of `createChainWriter`. */
export interface ChainWriterOptions {
  /** The sink's type, as metrics name it. */
  readonly type: string;
  /** Distinguishes the sink from others of its type, for the operator. */
  readonly key: string;
  readonly target: SinkTarget;
  /** Encodes a record of the log's own. */
  readonly record: (event: LogEvent) => string;
  readonly heads: Heads;
  readonly now: () => number;
  readonly log: Log;
  readonly observe?: AuditObserver | undefined;
}

/** Its calls into the target never overlap, as long as its own calls of `write`, `tick` and `close` do not. */
export interface ChainWriter {
  /** Writes the bodies as lines of the chain, all or none. Without bodies it opens the target and writes what is due. */
  write(bodies: readonly string[]): Promise<void>;
  /** Housekeeping, about once a second; writes what is due, also a signed head. */
  tick(): Promise<void>;
  /** Signs the end of the chain, unless its last record is a head. */
  sign(): Promise<void>;
  /** The end of the chain; undefined until the target was opened. */
  end(): ChainHead | undefined;
  /** Begins an outage, which ends with the next successful `write`. */
  fail(error: unknown): void;
  /** Counts records that the target did not take. `late` of them are kept and will be written. */
  miss(records: number, late: number): void;
  /** Counts a record for which the queue had no room. A record of the log's own tells of them, about once a second. */
  shed(): void;
  /** Keeps bodies that the target did not take, for when it works again. */
  keep(bodies: readonly string[]): void;
  /** Something is kept, or is to be told. */
  isBehind(): boolean;
  /** Ends the call into the target that is out; false where the target cannot. */
  abort(): boolean;
  /** The error that began the outage; undefined while there is none. */
  problem(): string | undefined;
  close(): Promise<void>;
}

interface Outage {
  readonly since: number;
  readonly error: unknown;
  missed: number;
}

/** Room for the lines of an ordinary write. */
const scratchBytes = 256 * 1024;
/** More lines than this are not kept. */
const maxKept = 1000;

/** Creates a writer. It opens the target with the first write. */
export function createChainWriter(options: ChainWriterOptions): ChainWriter {
  const { type, key, target, record, now, log, observe, heads } = options;
  /** Where lines are put together; one write at a time uses it. */
  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  let outage: Outage | undefined;
  /** Records of what the target found, until they are written. */
  let found: string[] = [];
  let kept: string[] = [];
  /** Records that found no room since the last record of it. */
  let crowded: { readonly since: number; missed: number } | undefined;

  /** The end of the chain. */
  let end: ChainHead | undefined;
  /** Records that are written to the chain by this process. */
  let count = 0;
  /** Records of a write that failed, some of which may have got out. */
  let unsure = 0;
  let rotations = 0;
  let signed:
    | { readonly seq: number; readonly at: number; readonly by: Signing; readonly rotations: number }
    | undefined;

  /** Yields the error of records that are refused for good, where all others are written. */
  async function append(bodies: readonly string[]): Promise<RecordsRefused | undefined> {
    const opened = await target.prepare();
    if (opened.events.length > 0) found.push(...opened.events.map(record));
    takeEnd(opened.head);
    rotations = opened.rotations;
    const all = found.length === 0 ? bodies : [...found, ...bodies];
    if (all.length === 0) return undefined;
    unsure = all.length;
    const chained = chainLines(opened.head, all, scratch);
    const refusal = await target.write(chained).then(() => undefined, refusalIn);
    end = chained.head;
    count += unsure;
    unsure = 0;
    found = [];
    return refusal;
  }

  /** Counts the records of a failed write that are there all the same. Further ones are of somebody else. */
  function takeEnd(there: ChainHead): void {
    const grown = Math.max(there.seq - (end ?? there).seq, 0);
    const own = Math.min(grown, unsure);
    count += own;
    unsure = 0;
    end = there;
    if (grown > own) tellForeign(grown - own, there.seq);
  }

  function tellForeign(records: number, lastSeq: number): void {
    log.error({ sink: key, records, lastSeq }, 'audit records of somebody else stand in the chain');
    found.push(record({ reason: 'foreign_records', detail: { sink: key, records, lastSeq } }));
  }

  function isHeadDue(): boolean {
    const by = heads.signing();
    if (by === undefined) return false;
    if (signed === undefined || signed.by.key.id !== by.key.id || signed.rotations !== rotations) return true;
    const elapsed = now() - signed.at;
    return elapsed < 0 || elapsed >= by.every;
  }

  async function sign(): Promise<void> {
    const by = heads.signing();
    if (by === undefined) return;
    await write([]);
    if (end === undefined || end.seq === (signed?.seq ?? 0)) return;
    const at = now();
    const { head, event } = heads.sign(key, end, count, by);
    await append([record(event)]);
    signed = { seq: end.seq, at, by, rotations };
    heads.written(key, head, end, target.hashAt && target.sync);
  }

  async function write(bodies: readonly string[]): Promise<void> {
    const refusal = outage === undefined ? await append(bodies) : await writeAfter(outage, bodies);
    if (refusal !== undefined) throw refusal;
  }

  async function writeAfter(ended: Outage, bodies: readonly string[]): Promise<RecordsRefused | undefined> {
    const { missed, since } = ended;
    const due = kept.length;
    const detail = { sink: key, missed, since: new Date(since) };
    const refusal = await append([record({ reason: 'recovered', detail }), ...kept, ...bodies]);
    kept = kept.slice(due);
    observe?.written(type, due);
    log.warn({ sink: key, missed }, 'audit sink works again');
    // More may have been refused meanwhile.
    outage = ended.missed > missed || kept.length > 0 ? { ...ended, missed: ended.missed - missed } : undefined;
    return refusal;
  }

  async function writeDue(): Promise<void> {
    if (crowded === undefined) return write([]);
    const { since, missed } = crowded;
    log.warn({ sink: key, missed }, 'the audit queue was full; records were refused');
    await write([record({ reason: 'overloaded', detail: { sink: key, missed, since: new Date(since) } })]);
    crowded = crowded.missed > missed ? { since: now(), missed: crowded.missed - missed } : undefined;
  }

  return {
    write,
    async tick() {
      await target.tick(async (event) => void (await append([record(heads.attest(event))])));
      await writeDue();
      if (isHeadDue()) await sign();
    },
    sign,
    end: () => end,
    fail(error) {
      if (outage !== undefined) return;
      outage = { since: now(), error, missed: 0 };
      log.error({ sink: key, err: error }, 'audit sink failed; trying again until it works');
    },
    miss(records, late) {
      observe?.failed(type, records);
      if (outage !== undefined) outage.missed += records - late;
    },
    shed() {
      observe?.shed(type);
      crowded ??= { since: now(), missed: 0 };
      crowded.missed += 1;
    },
    keep(bodies) {
      kept.push(...bodies);
      if (outage !== undefined) outage.missed += Math.max(0, kept.length - maxKept);
      kept.splice(maxKept);
    },
    isBehind: () => kept.length > 0 || crowded !== undefined,
    problem: () => outage && messageOf(outage.error),
    abort() {
      target.abort?.();
      return target.abort !== undefined;
    },
    close: () => target.close(),
  };
}

function refusalIn(error: unknown): RecordsRefused {
  if (error instanceof RecordsRefused) return error;
  throw error;
}
