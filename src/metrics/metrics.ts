// Prometheus metrics of the gateway (prom-client). Label values come from the configuration or from closed lists.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { observePauses } from './pauses.ts';

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const validationBuckets = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

/** State that is read at each scrape. */
export interface MetricsSource {
  readonly keySets: readonly { readonly issuer: string; ageSeconds(): number | undefined }[];
  readonly certificates: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly revocationLists: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly apiKeys: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly probes: readonly { readonly upstream: string; readonly success: boolean }[];
  /** The last signed head of the first audit sink. */
  readonly auditHead?:
    | { readonly instance: string; readonly seq: number; readonly hash: string; readonly time: string }
    | undefined;
}

/** A decision, as far as it is counted. */
export interface CountedDecision {
  readonly allow: boolean;
  readonly reason?: string;
  readonly rule?: string | undefined;
}

/** A request that has ended, allowed or not. */
export interface FinishedRequest {
  /** Name of the route; undefined where none matched. */
  readonly route: string | undefined;
  readonly outcome: string;
  /** Undefined where no response was begun. */
  readonly status: number | undefined;
  /** From the head read to the response closed. */
  readonly seconds: number;
  /** The called tool, `other` unless the rules name it; undefined where no tool was called. */
  readonly tool: string | undefined;
  /** Undefined where the policy was not asked. */
  readonly decision:
    | (CountedDecision & {
        /** The decisions of rules in report mode. */
        readonly reports?: readonly CountedDecision[] | undefined;
      })
    | undefined;
  /** Id of the API key that authenticated the request. */
  readonly apiKey: string | undefined;
}

/** A configuration that came into force. */
export interface LoadedState {
  readonly pinnedRoutes: readonly string[];
  /** False where its shadow is older than the file. */
  readonly isShadowCurrent: boolean;
}

/** The metrics, told plain values. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Declares every metric and registers it. */
function declareMetrics(registry: Registry) {
  const registers = [registry];
  const counter = <L extends string>(name: string, labelNames: L[], help: string) =>
    new Counter({ name: `portcullis_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, labelNames: L[], help: string) =>
    new Gauge({ name: `portcullis_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(name: string, label: L, buckets: number[], help: string) =>
    new Histogram({ name: `portcullis_${name}`, help, labelNames: [label], buckets, registers });
  const latency = <L extends string>(name: string, label: L, help: string) =>
    histogram(name, label, latencyBuckets, help);

  return {
    requests: counter('requests_total', ['route', 'outcome', 'status'], 'Requests by route, outcome and status'),
    requestDuration: latency('request_duration_seconds', 'route', 'From the head read to the response closed'),
    upstreamDuration: latency('upstream_request_duration_seconds', 'upstream', 'From dispatch to the first byte'),
    authentications: counter('authentications_total', ['authenticator', 'result', 'reason'], 'Credentials by result'),
    validation: histogram(
      'token_validation_seconds',
      'authenticator',
      validationBuckets,
      'Verification of a credential',
    ),
    overloads: counter('overloads_total', ['limit'], 'Requests and drains that a limit of load refused'),
    decisions: counter('decisions_total', ['route', 'decision', 'reason'], 'Policy decisions'),
    reportedDecisions: counter(
      'reported_decisions_total',
      ['route', 'rule', 'decision'],
      'Decisions of rules in report mode',
    ),
    shadowDifferences: counter(
      'shadow_differences_total',
      ['route', 'live', 'shadow'],
      'Requests on which the shadow decides otherwise',
    ),
    shadowUntold: counter(
      'shadow_untold_total',
      ['route', 'reason'],
      'Requests on which the decision of the shadow cannot be told',
    ),
    shadowSuccess: gauge('shadow_last_reload_success', [], '1 when the shadow is that of its file as it is'),
    toolCalls: counter(
      'tool_calls_total',
      ['route', 'tool', 'outcome'],
      'Calls of tools that the rules name, or "other"',
    ),
    activeStreams: gauge('active_streams', ['route'], 'Event streams that are open'),
    upstreamProbe: gauge('upstream_probe_success', ['upstream'], '1 when the last probe was refused as it has to be'),
    auditRecords: counter('audit_records_total', ['sink'], 'Audit records written'),
    auditFailures: counter('audit_write_failures_total', ['sink'], 'Audit records that a sink did not take'),
    auditShed: counter('audit_queue_full_total', ['sink'], 'Audit records for which the queue of a sink had no room'),
    auditHead: gauge('audit_head_info', ['instance', 'seq', 'hash'], 'The last signed head of the first audit sink'),
    auditHeadTime: gauge('audit_head_timestamp_seconds', [], 'When the last head of the first audit sink was signed'),
    auditTruncations: counter('audit_truncations_total', [], 'Audit files that ended before their signed head'),
    auditStateFailures: counter('audit_state_failures_total', [], 'Failed writes of the state file of audit.sign'),
    refusalsSummed: counter('refusals_summed_total', [], 'Requests of strangers that are recorded in sums'),
    keySetAge: gauge('key_set_age_seconds', ['issuer'], 'Age of the key set in use'),
    keySetFailures: counter('key_set_refresh_failures_total', ['issuer'], 'Fetches of a key set that failed'),
    introspections: counter('introspection_requests_total', ['authenticator', 'outcome'], 'Introspections of a token'),
    exchanges: counter('token_exchanges_total', ['upstream', 'outcome'], "Exchanges of callers' tokens"),
    certificateExpiry: gauge(
      'certificate_expiry_timestamp_seconds',
      ['certificate'],
      'End of a configured certificate',
    ),
    revocationListExpiry: gauge('crl_next_update_timestamp_seconds', ['list'], 'When the first of the CRLs is overdue'),
    apiKeyExpiry: gauge('api_key_expiry_timestamp_seconds', ['key'], 'Expiry of an API key'),
    apiKeyRequests: counter('api_key_requests_total', ['key'], 'Requests authenticated by an API key'),
    conditionErrors: counter('condition_errors_total', ['route', 'rule'], 'Calls that a failed condition denied'),
    serverRequestsWithheld: counter(
      'server_requests_withheld_total',
      ['route', 'method'],
      'Requests of upstreams to clients, and results of other requests, that a route does not let pass',
    ),
    definitionChanges: counter(
      'tool_definition_changes_total',
      ['route'],
      'Definitions that are not as they were recorded',
    ),
    configuration: gauge('config_info', ['hash'], 'The live configuration'),
    reloadSuccess: gauge('config_last_reload_success', [], '1 when the last reload was taken, 0 when it was refused'),
    revocationEntries: gauge('revocation_entries', [], 'Entries of the revocation list in force'),
    revocationSuccess: gauge('revocation_last_reload_success', [], '1 when the revocation file as it is is in force'),
    build: gauge('build_info', ['version', 'node'], 'Version of the gateway and of Node'),
  };
}

function nameOf(allow: boolean): string {
  return allow ? 'allow' : 'deny';
}

/** Creates the metrics in a registry of their own. */
export function createMetrics(version: string) {
  const registry = new Registry();
  const metrics = declareMetrics(registry);
  metrics.revocationSuccess.set(1);
  metrics.build.set({ version, node: process.versions.node }, 1);
  collectDefaultMetrics({ register: registry });
  observePauses(registry);

  function requestFinished(request: FinishedRequest): void {
    const { route = 'none', outcome, status, seconds, tool, decision, apiKey } = request;
    metrics.requests.inc({ route, outcome, status: status === undefined ? 'none' : String(status) });
    metrics.requestDuration.observe({ route }, seconds);
    if (tool !== undefined) metrics.toolCalls.inc({ route, tool, outcome });
    if (apiKey !== undefined) metrics.apiKeyRequests.inc({ key: apiKey });
    if (decision === undefined) return;
    const { allow, reason = 'allowed', reports, rule = 'none' } = decision;
    metrics.decisions.inc({ route, decision: nameOf(allow), reason });
    for (const report of reports ?? []) {
      metrics.reportedDecisions.inc({ route, rule: report.rule ?? 'none', decision: nameOf(report.allow) });
    }
    if (reason === 'condition_error') metrics.conditionErrors.inc({ route, rule });
  }

  function showHead(head: MetricsSource['auditHead']): void {
    metrics.auditHead.reset();
    metrics.auditHeadTime.remove();
    if (head === undefined) return;
    metrics.auditHead.set({ instance: head.instance, seq: String(head.seq), hash: head.hash }, 1);
    metrics.auditHeadTime.set(Date.parse(head.time) / 1000);
  }

  /** The text that Prometheus reads. State of `source` is read now. */
  async function scrape(source: MetricsSource): Promise<string> {
    const { keySetAge, certificateExpiry, revocationListExpiry, apiKeyExpiry, upstreamProbe } = metrics;
    for (const each of [keySetAge, certificateExpiry, revocationListExpiry, apiKeyExpiry, upstreamProbe]) each.reset();
    for (const keySet of source.keySets) {
      const age = keySet.ageSeconds();
      if (age !== undefined) keySetAge.set({ issuer: keySet.issuer }, age);
    }
    for (const { name, expiresAtSeconds } of source.certificates)
      certificateExpiry.set({ certificate: name }, expiresAtSeconds);
    for (const { name, expiresAtSeconds } of source.revocationLists)
      revocationListExpiry.set({ list: name }, expiresAtSeconds);
    for (const { name, expiresAtSeconds } of source.apiKeys) apiKeyExpiry.set({ key: name }, expiresAtSeconds);
    for (const { upstream, success } of source.probes) upstreamProbe.set({ upstream }, success ? 1 : 0);
    showHead(source.auditHead);
    return registry.metrics();
  }

  return {
    contentType: registry.contentType,
    scrape,
    requestFinished,
    overloaded: (limit = 'none') => metrics.overloads.inc({ limit }),
    upstreamResponded: (upstream: string, seconds: number) => metrics.upstreamDuration.observe({ upstream }, seconds),
    /** `seconds` is undefined where nothing had to be verified: the token was known. */
    authenticationAttempted(authenticator: string, result: string, reason: string, seconds: number | undefined): void {
      metrics.authentications.inc({ authenticator, result, reason });
      if (seconds !== undefined) metrics.validation.observe({ authenticator }, seconds);
    },
    streamOpened: (route: string) => metrics.activeStreams.inc({ route }),
    streamClosed: (route: string) => metrics.activeStreams.dec({ route }),
    auditWritten: (sink: string, records: number) => metrics.auditRecords.inc({ sink }, records),
    auditFailed: (sink: string, records: number) => metrics.auditFailures.inc({ sink }, records),
    auditShed: (sink: string) => metrics.auditShed.inc({ sink }),
    auditTruncated: () => metrics.auditTruncations.inc(),
    auditStateFailed: () => metrics.auditStateFailures.inc(),
    refusalSummed: () => metrics.refusalsSummed.inc(),
    keySetRefreshFailed: (issuer: string) => metrics.keySetFailures.inc({ issuer }),
    introspected: (authenticator: string, outcome: string) => metrics.introspections.inc({ authenticator, outcome }),
    tokenExchanged: (upstream: string, outcome: string) => metrics.exchanges.inc({ upstream, outcome }),
    connectionRefused: (reason: string) => metrics.requests.inc({ route: 'none', outcome: 'refused', status: reason }),
    serverRequestWithheld: (route: string, method: string) => metrics.serverRequestsWithheld.inc({ route, method }),
    definitionChanged: (route: string) => metrics.definitionChanges.inc({ route }),
    shadowDiffered: (route: string, live: string, shadow: string) =>
      metrics.shadowDifferences.inc({ route, live, shadow }),
    shadowUntold: (route: string, reason: string) => metrics.shadowUntold.inc({ route, reason }),
    configurationLoaded(hash: string, { pinnedRoutes, isShadowCurrent }: LoadedState): void {
      // An increase is seen only from a value on that was there before.
      for (const route of pinnedRoutes) metrics.definitionChanges.inc({ route }, 0);
      metrics.shadowSuccess.set(isShadowCurrent ? 1 : 0);
      metrics.configuration.reset();
      metrics.configuration.set({ hash }, 1);
      metrics.reloadSuccess.set(1);
    },
    configurationRefused: () => metrics.reloadSuccess.set(0),
    revocationsTaken(entries: number): void {
      metrics.revocationEntries.set(entries);
      metrics.revocationSuccess.set(1);
    },
    revocationsRefused: () => metrics.revocationSuccess.set(0),
  };
}
