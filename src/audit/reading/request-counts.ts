// Counts of requests by properties, in bounded memory whatever callers send. Pure.
import { type AuditRecord, requestsIn, timeOf } from './record.ts';

/** The properties that requests are counted by. */
export const properties = {
  client: ({ principal }) => principal?.clientId,
  tool: ({ mcp }) => mcp?.tool,
  rule: ({ rule }) => rule,
  reason: ({ reason }) => reason,
  route: ({ route }) => route,
  key: ({ principal }) => (principal?.kind === 'api-key' ? principal.credentialId : undefined),
  outcome: ({ outcome }) => outcome,
  subject: ({ principal }) => principal?.subject,
} satisfies Record<string, (request: AuditRecord) => string | undefined>;

export type Property = keyof typeof properties;

/** The requests of a group. */
export interface Group {
  /** In the order of the properties; undefined where the requests have none. */
  readonly values: readonly (string | undefined)[];
  readonly requests: number;
  readonly allowed: number;
  readonly denied: number;
  /** Milliseconds since 1970; infinite where no request has a time. */
  readonly first: number;
  readonly last: number;
  /** A percentile (0 to 1) of the durations, to within a tenth; undefined without any. */
  readonly percentileMs: (share: number) => number | undefined;
}

/** Counts requests. */
export interface RequestCounts {
  add(request: AuditRecord): void;
  /** The groups with the most requests first. `others` are those that had no room, together. */
  groups(): { readonly groups: readonly Group[]; readonly others: Group | undefined };
}

/** Each takes about a kilobyte. */
const maxGroups = 10_000;

/** Creates them. Groups that come when there is no room are counted together. */
export function createRequestCounts(by: readonly Property[], capacity = maxGroups): RequestCounts {
  const groups = new Map<string, GrowingGroup>();
  let others: GrowingGroup | undefined;

  function groupOf(values: readonly (string | undefined)[]): GrowingGroup {
    const key = JSON.stringify(values);
    const found = groups.get(key);
    if (found !== undefined) return found;
    if (groups.size >= capacity) {
      others ??= emptyGroup([]);
      return others;
    }
    const group = emptyGroup(values);
    groups.set(key, group);
    return group;
  }

  return {
    add(request) {
      count(groupOf(by.map((property) => properties[property](request))), request);
    },
    groups: () => ({
      groups: [...groups.values()].sort((one, other) => other.requests - one.requests),
      others,
    }),
  };
}

type GrowingGroup = { -readonly [K in keyof Group]: Group[K] } & { durations: Uint32Array | undefined };

/** Buckets of durations: each ends a fifth above the one before, from 10 µs to 4 days. */
const buckets = 128;
const leastMs = 0.01;
const growth = 1.2;

function emptyGroup(values: Group['values']): GrowingGroup {
  const group: GrowingGroup = {
    values,
    requests: 0,
    allowed: 0,
    denied: 0,
    first: Number.POSITIVE_INFINITY,
    last: Number.NEGATIVE_INFINITY,
    durations: undefined,
    percentileMs: (share) => group.durations && percentile(group.durations, share),
  };
  return group;
}

function count(group: GrowingGroup, request: AuditRecord): void {
  const requests = requestsIn(request);
  group.requests += requests;
  if (request.decision === 'allow') group.allowed += requests;
  if (request.decision === 'deny') group.denied += requests;
  const time = timeOf(request);
  if (time < group.first) group.first = time;
  if (time > group.last) group.last = time;
  const { durationMs } = request;
  if (typeof durationMs !== 'number') return;
  group.durations ??= new Uint32Array(buckets);
  const bucket = Math.ceil(Math.log(durationMs / leastMs) / Math.log(growth));
  group.durations[Math.min(Math.max(bucket, 0), buckets - 1)]! += 1;
}

/** The middle of the bucket. */
function percentile(durations: Uint32Array, share: number): number {
  const total = durations.reduce((sum, each) => sum + each, 0);
  let left = Math.ceil(total * share);
  const bucket = durations.findIndex((each) => {
    left -= each;
    return left <= 0;
  });
  return leastMs * growth ** (bucket - 0.5);
}
