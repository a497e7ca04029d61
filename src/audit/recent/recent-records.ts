// Newest audit records of requests, in memory and in bounds of number and bytes, read by a cursor.
import { member } from '../encode.ts';
import type { AuditEvent } from '../event.ts';
import type { AuditRecord } from '../reading/record.ts';
import { type ByteRing, createByteRing } from './byte-ring.ts';
import { shortened } from './shorten.ts';

/** Requests that are looked for. Each member is the whole text of that member of the record. */
export interface RecordFilter {
  readonly client?: string | undefined;
  readonly tool?: string | undefined;
  readonly rule?: string | undefined;
  readonly reason?: string | undefined;
  readonly outcome?: string | undefined;
  readonly decision?: string | undefined;
}

/** A search among the records. */
export interface RecordSearch {
  readonly filter: RecordFilter;
  /** Records behind this number only; 0 for all. */
  readonly after: number;
  /** Records before this number only; absent for all. */
  readonly before?: number | undefined;
  /** Requests that are yielded. */
  readonly limit: number;
  /** Records that are looked at; by default all that there are. */
  readonly look?: number | undefined;
}

/** A record with its number, which counts the records of this process. */
export interface RecentRecord {
  readonly number: number;
  readonly record: AuditRecord;
}

/** The requests that were found. */
export interface RecordsFound {
  /** Newest first; each request once, by the newest of its records that passes. */
  readonly found: readonly RecentRecord[];
  /** The number of the newest record, for the next search. */
  readonly newest: number;
  /** Requests behind `after` that have ended and were not looked at: there were too many, or they were gone. */
  readonly leftOut: number;
  /** True where older records were not looked at. */
  readonly hasMore: boolean;
}

/** The records. Nothing is held until the first one is added. */
export interface RecentRecords {
  /** Turns the records on or off. Turned off, none is held; at first they are off. */
  keep(isKept: boolean): void;
  /** Takes the record of a request as it was encoded. Others are not held. */
  add(event: AuditEvent, body: string): void;
  /** The number of the newest record; 0 before the first. */
  newest(): number;
  /** Finds requests. A long search lets others have their turn. */
  search(search: RecordSearch): Promise<RecordsFound>;
  /** The records of one request with their lines, oldest first. */
  recordsOf(id: string): Promise<readonly { readonly record: AuditRecord; readonly line: Buffer }[]>;
}

/** Decided and completed records of at least 10,000 requests, at their usual size of 600 to 1,000 bytes. */
const size = { bytes: 24 * 1024 * 1024, entries: 20_000 };
/** Requests that a search goes through. */
const maxRequests = 10_000;
/** In UTF-16 units. Of longer records the arguments are left out. */
const maxLength = 16 * 1024;
/** Records that are looked at in one turn of the event loop. */
const slice = 1000;

const kinds = { decided: 1, completed: 2, stream: 3 } as const;

/** Creates the records. Tests give another size. */
export function createRecentRecords(of = size): RecentRecords {
  let kept = false;
  let ring: ByteRing | undefined;

  /** Visits records from the newest to the oldest, until the visitor yields false. */
  async function visit(visitor: (entry: number, bytes: Buffer) => boolean): Promise<void> {
    const from = ring;
    if (from === undefined) return;
    for (let entry = from.newest(), left = slice; entry >= from.oldest(); entry -= 1, left -= 1) {
      if (left === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        left = slice;
        if (entry < from.oldest()) return;
      }
      if (!visitor(entry, from.bytesOf(entry))) return;
    }
  }

  return {
    keep(isKept) {
      kept = isKept;
      if (!kept) ring = undefined;
    },
    add(event, body) {
      if (!kept || event.stage === 'config' || event.stage === 'head') return;
      ring ??= createByteRing(of);
      ring.add(body.length > maxLength ? shortened(event, body, maxLength) : body, kinds[event.stage]);
    },
    newest: () => ring?.newest() ?? 0,
    async search({ after, before = Number.POSITIVE_INFINITY, filter, limit, look = Number.POSITIVE_INFINITY }) {
      const newest = ring?.newest() ?? 0;
      const members = membersOf(filter);
      const seen = new Set<string>();
      const found: RecentRecord[] = [];
      let looked = 0;
      let last = newest + 1;
      let hasMore = false;
      await visit((entry, bytes) => {
        if (entry <= after) return false;
        hasMore = found.length === limit || looked === look || seen.size === maxRequests;
        if (hasMore) return false;
        looked += 1;
        last = entry;
        if (!members.every((text) => bytes.includes(text))) return true;
        const id = idIn(bytes);
        if (seen.has(id)) return true;
        const isShown = entry < before;
        const record = isShown || members.length > 0 ? recordIn(lineOf(bytes)) : undefined;
        if (record !== undefined && !matches(record, filter)) return true;
        seen.add(id);
        if (isShown && record !== undefined) found.push({ number: entry, record });
        return true;
      });
      return { found, newest, leftOut: leftOutOf(after, last), hasMore };
    },
    async recordsOf(id) {
      const start = Buffer.from(member('id', id).slice(1));
      const lines: Buffer[] = [];
      await visit((_entry, bytes) => {
        if (bytes.compare(start, 0, start.length, 0, Math.min(start.length, bytes.length)) === 0)
          lines.unshift(lineOf(bytes));
        return true;
      });
      return lines.map((line) => ({ record: recordIn(line), line }));
    },
  };

  /** Completions between two records; of those that are gone, every second record is taken for one. */
  function leftOutOf(after: number, before: number): number {
    if (after === 0 || ring === undefined) return 0;
    const oldest = ring.oldest();
    let count = Math.ceil(Math.max(0, Math.min(oldest, before) - 1 - after) / 2);
    for (let entry = Math.max(after + 1, oldest); entry < before; entry += 1)
      if (ring.kindOf(entry) === kinds.completed) count += 1;
    return count;
  }
}

/** A record without its place in a chain, as a line of its own. */
function lineOf(bytes: Buffer): Buffer {
  return Buffer.concat([opening, bytes, closing]);
}

/** It is the text of our own encoder: to check its members again would cost three times as much. */
function recordIn(line: Buffer): AuditRecord {
  return JSON.parse(line.toString());
}

const opening = Buffer.from('{"seq":0,');
const closing = Buffer.from('}');

/** Behind `"id":"`, with which each record begins. */
function idIn(bytes: Buffer): string {
  return bytes.toString('latin1', 6, bytes.indexOf('"', 6));
}

/** The members of a record that passes, as they stand in its text behind a quote, which is slow to look for. They may stand elsewhere in it too. */
function membersOf({ client, decision, outcome, reason, rule, tool }: RecordFilter): Buffer[] {
  const texts = [
    member('clientId', client),
    member('tool', tool),
    member('rule', rule),
    member('reason', reason),
    member('outcome', outcome),
    member('decision', decision),
  ];
  return texts.filter((text) => text !== '').map((text) => Buffer.from(text.slice(2)));
}

function matches(record: AuditRecord, { client, decision, outcome, reason, rule, tool }: RecordFilter): boolean {
  const pairs = [
    [client, record.principal?.clientId],
    [tool, record.mcp?.tool],
    [rule, record.rule],
    [reason, record.reason],
    [outcome, record.outcome],
    [decision, record.decision],
  ];
  return pairs.every(([wanted, had]) => wanted === undefined || wanted === had);
}
