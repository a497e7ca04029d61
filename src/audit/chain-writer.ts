// Writer of chained lines to the target of one sink. After an outage it records the number of missed records, and writes kept ones.
import type { Log } from '../log.ts';
import { chainLines } from './hash-chain.ts';
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
  readonly now: () => number;
  readonly log: Log;
  readonly observe?: AuditObserver | undefined;
}

/** Its calls into the target never overlap, as long as its own calls of `write`, `tick` and `close` do not. */
export interface ChainWriter {
  /** Writes the bodies as lines of the chain, all or none. Without bodies it opens the target and writes what is due. */
  write(bodies: readonly string[]): Promise<void>;
  /** Housekeeping, about once a second; writes what is due. */
  tick(): Promise<void>;
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
  /** The error that began the outage; undefined while there is none. */
  problem(): string | undefined;
  close(): Promise<void>;
}

/** Room for the lines of an ordinary write. */
const scratchBytes = 256 * 1024;
/** More lines than this are not kept. */
const maxKept = 1000;

/** Creates a writer. It opens the target with the first write. */
export function createChainWriter(options: ChainWriterOptions): ChainWriter {
  const { type, key, target, record, now, log, observe } = options;
  /** Where lines are put together; one write at a time uses it. */
  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  let outage: { readonly since: number; readonly error: unknown; missed: number } | undefined;
  /** Records of what the target found, until they are written. */
  let found: string[] = [];
  let kept: string[] = [];
  /** Records that found no room since the last record of it. */
  let crowded: { readonly since: number; missed: number } | undefined;

  async function append(bodies: readonly string[]): Promise<void> {
    const { head, events } = await target.prepare();
    if (events.length > 0) found.push(...events.map(record));
    const all = found.length === 0 ? bodies : [...found, ...bodies];
    if (all.length === 0) return;
    await target.write(chainLines(head, all, scratch));
    found = [];
  }

  async function write(bodies: readonly string[]): Promise<void> {
    if (outage === undefined) return append(bodies);
    const { missed } = outage;
    const due = kept.length;
    const detail = { sink: key, missed, since: new Date(outage.since) };
    await append([record({ reason: 'recovered', detail }), ...kept, ...bodies]);
    kept = kept.slice(due);
    observe?.written(type, due);
    log.warn({ sink: key, missed }, 'audit sink works again');
    // More may have been refused meanwhile.
    outage = outage.missed > missed || kept.length > 0 ? { ...outage, missed: outage.missed - missed } : undefined;
  }

  return {
    write,
    async tick() {
      await target.tick((event) => append([record(event)]));
      if (crowded === undefined) return write([]);
      const { since, missed } = crowded;
      log.warn({ sink: key, missed }, 'the audit queue was full; records were refused');
      await write([record({ reason: 'overloaded', detail: { sink: key, missed, since: new Date(since) } })]);
      crowded = crowded.missed > missed ? { since: now(), missed: crowded.missed - missed } : undefined;
    },
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
    problem: () => outage && (outage.error instanceof Error ? outage.error.message : String(outage.error)),
    close: () => target.close(),
  };
}
