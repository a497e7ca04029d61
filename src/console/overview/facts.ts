// Facts of the overview: policy in force, readiness, the state of what the gateway depends on, and ends to come.
import type { SinkDelivery } from '../../audit/event.ts';
import type { Expiry } from '../../config/expiries.ts';
import { formatProblem } from '../../config/problem.ts';
import { type RunningParts, reasonsNotReady } from '../../gateway/admin/admin-source.ts';
import type { DefinitionState } from '../../gateway/catalog/definition-checks.ts';
import type { RevocationState } from '../../gateway/revocation-watcher.ts';
import type { HistoryPoint } from '../../metrics/history.ts';
import { configuredKeys, revocationsOfKeys } from '../../review/configured-keys.ts';
import type { StateStatus } from '../../state/switched-state.ts';
import { type KeySetFacts, keySetFacts } from '../key-sets.ts';

/** Functions of the console source that the overview asks. */
export interface OverviewSource {
  overview(): Promise<OverviewFacts>;
  /** The last hour, in at most 120 points. */
  requestHistory(): Promise<readonly HistoryPoint[]>;
}

/** State of one gateway process. Instants are milliseconds since 1970. */
export interface OverviewFacts {
  readonly version: string;
  readonly policy: string;
  readonly configFile: string;
  readonly inForceSince: number;
  /** Sentences of `check` on the configuration in force. */
  readonly warnings: readonly string[];
  readonly notReady: readonly string[];
  readonly refusedReload: { readonly time: number; readonly problem: string } | undefined;
  readonly shadow: ShadowFacts | undefined;
  readonly openRequests: number;
  readonly openStreams: number;
  /** With the fetches that failed since the start. */
  readonly issuers: readonly (KeySetFacts & { readonly failures: number })[];
  readonly upstreams: readonly UpstreamFacts[];
  readonly audit: AuditFacts;
  readonly state: StateStatus | undefined;
  readonly revocation: RevocationState | undefined;
  readonly definitions: readonly DefinitionState[];
  readonly expiries: Readonly<Record<'certificates' | 'revocationLists', readonly Expiry[]>>;
  readonly apiKeys: readonly EndingKey[];
}

/** A shadow configuration. */
export interface ShadowFacts {
  readonly file: string;
  readonly policy: string;
  readonly problem: string | undefined;
  /** Requests since the start on which it decides otherwise, or cannot tell. */
  readonly differences: number;
  readonly untold: number;
}

/** An upstream. */
export interface UpstreamFacts {
  readonly name: string;
  readonly url: string;
  /** Success of the last probe; undefined without one. */
  readonly probe: boolean | undefined;
}

/** The audit log. */
export interface AuditFacts {
  readonly healthy: boolean;
  /** Types of the sinks, in their order. */
  readonly sinks: readonly { readonly type: string; readonly required: boolean; readonly records: number }[];
  readonly deliveries: readonly SinkDelivery[];
  readonly truncation: string | undefined;
  /** Records that will not be delivered, since the start. */
  readonly lost: number;
}

/** An API key that has an end. */
export interface EndingKey {
  readonly id: string;
  readonly clientId: string;
  readonly end: number;
  readonly endsWithSunset: boolean;
  /** Requests since the start. */
  readonly requests: number;
}

/** Creates the functions. */
export function overviewFacts(parts: RunningParts): OverviewSource {
  return { overview: () => readFacts(parts), requestHistory: () => parts.history.points() };
}

async function readFacts(parts: RunningParts): Promise<OverviewFacts> {
  const { current, definitions, metrics, probes, reloads, revocations, runtime, state, version } = parts;
  const { expiries, loaded } = current();
  const total = async (name: string, label?: string) => sumBy(await metrics.samples(name), label);
  const [failures, probed] = [await total('key_set_refresh_failures_total', 'issuer'), probes.states()];
  const { certificates, revocationLists } = expiries;
  return {
    version,
    policy: loaded.hash,
    configFile: loaded.file,
    inForceSince: reloads.inForceSince,
    warnings: loaded.warnings.map(formatProblem),
    notReady: reasonsNotReady(parts),
    refusedReload: reloads.refused,
    shadow: await shadowFacts(parts, total),
    openRequests: runtime.open.size(),
    openStreams: runtime.streams.size(),
    issuers: keySetFacts(runtime).map((each) => ({ ...each, failures: failures.get(each.issuer) ?? 0 })),
    upstreams: Object.entries(loaded.config.upstreams).map(([name, { url }]) => ({
      name,
      url,
      probe: probed.find(({ upstream }) => upstream === name)?.success,
    })),
    audit: await auditFacts(parts, total),
    state: state.status(),
    revocation: revocations.state(),
    definitions: definitions.states(),
    expiries: { certificates, revocationLists },
    apiKeys: endingKeys(parts, await total('api_key_requests_total', 'key')),
  };
}

type Total = (name: string, label?: string) => Promise<ReadonlyMap<string, number>>;

/** The values of a counter added up by a label; under the empty text without one. */
function sumBy(
  samples: readonly { readonly labels: Readonly<Record<string, string | number>>; readonly value: number }[],
  label: string | undefined,
): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, value } of samples) {
    const key = label === undefined ? '' : String(labels[label]);
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

async function shadowFacts({ current }: RunningParts, total: Total): Promise<ShadowFacts | undefined> {
  const { shadow } = current().snapshot;
  if (shadow === undefined) return undefined;
  const { loaded, problem } = shadow;
  return {
    file: loaded.file,
    policy: loaded.hash,
    problem,
    differences: (await total('shadow_differences_total')).get('') ?? 0,
    untold: (await total('shadow_untold_total')).get('') ?? 0,
  };
}

async function auditFacts({ audit, current }: RunningParts, total: Total): Promise<AuditFacts> {
  const records = await total('audit_records_total', 'sink');
  return {
    healthy: audit.healthy(),
    sinks: current().loaded.config.audit.sinks.map(({ required, type }) => ({
      type,
      required,
      records: records.get(type) ?? 0,
    })),
    deliveries: audit.deliveries(),
    truncation: audit.truncation(),
    lost: (await total('audit_records_lost_total')).get('') ?? 0,
  };
}

function endingKeys({ current, now, revocations }: RunningParts, requests: ReadonlyMap<string, number>): EndingKey[] {
  const keys = configuredKeys(current().loaded.config, revocationsOfKeys(revocations.current()), now());
  return keys.flatMap(({ clientId, end, endsWithSunset, id }) =>
    end === undefined ? [] : [{ id, clientId, end, endsWithSunset, requests: requests.get(id) ?? 0 }],
  );
}
