// Report of a replay: what the new policy decides otherwise, by client, call and rule, in bounded memory. Pure.
import { type AuditRecord, callOf, requestsIn, timeOf } from '../../audit/reading/record.ts';
import type { Replayed } from './replay.ts';

const changes = ['now allowed', 'now denied', 'cannot be told'] as const;
export type Change = (typeof changes)[number];

/** Requests that changed alike. */
export interface ChangedRequests {
  readonly change: Change;
  readonly client: string | undefined;
  /** The tool, the MCP method, or the HTTP method and the route. */
  readonly call: string;
  readonly ruleThen: string | undefined;
  readonly ruleNow: string | undefined;
  /** The code of the refusal, then or now; of what cannot be told, the lacking facts. */
  readonly reason: string | undefined;
  readonly requests: number;
  /** Ids of the first ones. */
  readonly examples: readonly string[];
}

/** Counts of a replay. */
export interface ReplayReport {
  readonly requests: number;
  readonly same: number;
  readonly nowAllowed: number;
  readonly nowDenied: number;
  readonly cannotBeTold: number;
  /** Records that tell of no decision: preflights, clients that left before it, sums of refused strangers. */
  readonly undecided: number;
  /** Lacking facts, with the number of requests that depend on them. */
  readonly lacking: Readonly<Record<string, number>>;
  /** Milliseconds since 1970; infinite where no request has a time. */
  readonly first: number;
  readonly last: number;
  /** Of each change, those with the most requests first. */
  readonly changes: readonly ChangedRequests[];
  /** Requests of changes that had no room. */
  readonly others: number;
}

/** Counts replayed requests. */
export interface ReplayCounts {
  add(record: AuditRecord, replayed: Replayed): void;
  report(): ReplayReport;
}

const maxRows = 10_000;
/** Reasons of refusals stand in records, and an altered log may have any number. */
const maxLacking = 100;
const maxExamples = 3;

type Row = { -readonly [K in keyof ChangedRequests]: ChangedRequests[K] } & { examples: string[] };

/** Creates the counts. */
export function createReplayCounts(capacity = maxRows): ReplayCounts {
  const totals = { requests: 0, same: 0, nowAllowed: 0, nowDenied: 0, cannotBeTold: 0, undecided: 0, others: 0 };
  const lacking: Record<string, number> = {};
  const rows = new Map<string, Row>();
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

  function addRow(record: AuditRecord, change: Change, now: NonNullable<Replayed['now']>): void {
    const client = record.principal?.clientId;
    const call = callOf(record);
    const ruleNow = now.kind === 'unknown' ? undefined : now.rule;
    const reason = now.kind === 'unknown' ? now.lacking : (now.reason ?? record.reason);
    const key = JSON.stringify([change, client, call, record.rule, ruleNow, reason]);
    let row = rows.get(key);
    if (row === undefined) {
      if (rows.size >= capacity) {
        totals.others += 1;
        return;
      }
      row = { change, client, call, ruleThen: record.rule, ruleNow, reason, requests: 0, examples: [] };
      rows.set(key, row);
    }
    row.requests += 1;
    if (row.examples.length < maxExamples) row.examples.push(record.id);
  }

  return {
    add(record, { now, then }) {
      const time = timeOf(record);
      if (time < first) first = time;
      if (time > last) last = time;
      totals.requests += requestsIn(record);
      if (now === undefined) {
        totals.undecided += requestsIn(record);
      } else if (now.kind === 'unknown') {
        totals.cannotBeTold += 1;
        const isCounted = Object.hasOwn(lacking, now.lacking) || Object.keys(lacking).length < maxLacking;
        const fact = isCounted ? now.lacking : 'others';
        lacking[fact] = (lacking[fact] ?? 0) + 1;
        addRow(record, 'cannot be told', now);
      } else if ((now.kind === 'allow') === (then.kind === 'allow')) {
        totals.same += 1;
      } else if (now.kind === 'allow') {
        totals.nowAllowed += 1;
        addRow(record, 'now allowed', now);
      } else {
        totals.nowDenied += 1;
        addRow(record, 'now denied', now);
      }
    },
    report: () => ({
      ...totals,
      lacking,
      first,
      last,
      changes: [...rows.values()].sort(
        (one, other) => changes.indexOf(one.change) - changes.indexOf(other.change) || other.requests - one.requests,
      ),
    }),
  };
}
