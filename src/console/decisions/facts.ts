// Facts of the decisions page: the last requests of this process, by their audit records.
import { randomBytes } from 'node:crypto';
import { type AuditRecord, callOf, requestsIn } from '../../audit/reading/record.ts';
import type { RecentRecord, RecordFilter } from '../../audit/recent/recent-records.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { type WhySource, whyFacts } from './why-facts.ts';

/** Functions of the console source that the decisions page asks. */
export interface DecisionsSource extends WhySource {
  /** A page of requests, from the newest or from `before` on. */
  decisions(question: { readonly filter: RecordFilter; readonly before?: number }): Promise<DecisionsPage>;
  /** The requests of which records have come since a cursor; without one, or with that of another process, from now on. */
  decisionsSince(question: { readonly filter: RecordFilter; readonly cursor?: string }): Promise<NewDecisions>;
}

/** A page of requests, newest first. */
export interface DecisionsPage {
  readonly rows: readonly DecisionRow[];
  /** For requests that come after this page was made. */
  readonly cursor: string;
  /** `before` of the next page; undefined on the last one. */
  readonly next: number | undefined;
}

/** Requests since a cursor, newest first. */
export interface NewDecisions {
  readonly rows: readonly DecisionRow[];
  readonly cursor: string;
  /** Requests that have ended meanwhile and are not among the rows, as too many came at once. */
  readonly leftOut: number;
}

/** One request as a row. Texts come from its record; long ones are cut. */
export interface DecisionRow {
  /** Of its record: `before` of a page that begins behind this row. */
  readonly number: number;
  readonly id: string;
  /** RFC 3339. */
  readonly time: string;
  readonly client: string;
  readonly call: string;
  readonly decision: string;
  readonly rule: string;
  readonly reason: string;
  /** `open` until the request has ended. */
  readonly outcome: string;
  readonly status: string;
  readonly duration: string;
}

/** Requests on a page without script; fewer where their texts are long. */
const pageSize = 100;
/** Characters of a text in a row. */
const maxTextLength = 200;
/** Requests that are told at once, and records that are looked at for them: the work for a viewer is bounded, whatever the load. */
const batch = { limit: 50, look: 1000 };

/** Creates the functions. */
export function decisionsFacts(parts: RunningParts): DecisionsSource {
  const { recent } = parts;
  // Numbers begin again with each process.
  const process = randomBytes(4).toString('hex');
  const cursorOf = (number: number) => `${process}-${number}`;
  const searchSince = async (after: number, filter: RecordFilter): Promise<NewDecisions> => {
    const { found, leftOut, newest } = await recent.search({ filter, after, ...batch });
    return { rows: found.map(rowOf), cursor: cursorOf(newest), leftOut };
  };
  /** The last answer: several viewers with the same question are told the same. */
  let last: { readonly key: string; readonly answer: Promise<NewDecisions> } | undefined;
  return {
    ...whyFacts(parts),
    async decisions({ before, filter }) {
      const { found, hasMore, newest } = await recent.search({ filter, after: 0, before, limit: pageSize });
      return {
        rows: found.map(rowOf),
        cursor: cursorOf(newest),
        next: hasMore ? found.at(-1)?.number : undefined,
      };
    },
    async decisionsSince({ cursor = '', filter }) {
      const [, of, number] = /^(\w+)-(\d+)$/.exec(cursor) ?? [];
      const after = of === process ? Number(number) : Number.POSITIVE_INFINITY;
      const key = JSON.stringify([after, recent.newest(), filter]);
      if (last?.key !== key) last = { key, answer: searchSince(after, filter) };
      return last.answer;
    },
  };
}

function rowOf({ number, record }: RecentRecord): DecisionRow {
  const {
    client,
    cut,
    decision = '',
    durationMs,
    id,
    outcome,
    principal,
    reason = '',
    rule = '',
    stage,
    status,
    time,
  } = record;
  const requests = requestsIn(record);
  const call =
    requests > 1 ? `${requests} requests, summed up` : cut === 'all' ? 'a record too long to keep' : callText(record);
  return {
    number,
    id,
    time: time ?? '',
    client: shorten(principal?.clientId ?? principal?.subject ?? client?.address ?? ''),
    call: shorten(call),
    decision,
    rule: shorten(rule),
    reason: shorten(reason),
    outcome: outcome ?? (stage === 'stream' ? 'stream ended' : 'open'),
    status: status?.toString() ?? '',
    duration: durationMs === undefined || durationMs === null ? '' : `${Math.round(durationMs)}`,
  };
}

/** The page of the request has the text as it was recorded. */
function shorten(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`;
}

function callText(record: AuditRecord): string {
  const { mcp } = record;
  const target = typeof mcp?.target === 'string' ? ` ${mcp.target}` : '';
  return mcp?.via === undefined ? `${callOf(record)}${target}` : `${callOf(record)} via ${mcp.via}`;
}
