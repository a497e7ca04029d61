// Declarations of the Prometheus metrics (prom-client). Label values come from the configuration or from closed lists.
import { type Aggregator, Counter, Gauge, Histogram, type Registry } from 'prom-client';

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const validationBuckets = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

/** Declares every metric and registers it. */
export function declareMetrics(registry: Registry, enableExemplars: boolean) {
  const registers = [registry];
  const counter = <L extends string>(name: string, labelNames: L[], help: string) =>
    new Counter({ name: `portcullis_${name}`, help, labelNames, registers });
  /** `aggregator`: how the values of several workers become one. Absent until it is set: prom-client would show 0 where it has no labels. */
  const gauge = <L extends string>(name: string, labelNames: L[], help: string, aggregator: Aggregator) => {
    const declared = new Gauge({ name: `portcullis_${name}`, help, labelNames, registers, aggregator });
    if (labelNames.length === 0) declared.remove();
    return declared;
  };
  const histogram = <L extends string>(name: string, label: L, buckets: number[], help: string) =>
    new Histogram({ name: `portcullis_${name}`, help, labelNames: [label], buckets, registers, enableExemplars });
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
    logins: counter('logins_total', ['outcome'], 'Log-ins to the console by outcome'),
    overloads: counter('overloads_total', ['limit'], 'Requests and drains that a limit of load refused'),
    limitsRefused: counter('limits_refused_total', ['limit'], 'Calls over a limit'),
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
    shadowSuccess: gauge('shadow_last_reload_success', [], '1 when the shadow is that of its file as it is', 'min'),
    toolCalls: counter(
      'tool_calls_total',
      ['route', 'tool', 'outcome'],
      'Calls of tools that the rules name, or "other"',
    ),
    activeStreams: gauge('active_streams', ['route'], 'Event streams that are open', 'sum'),
    upstreamProbe: gauge(
      'upstream_probe_success',
      ['upstream'],
      '1 when the last probe was refused as it has to be',
      'min',
    ),
    auditRecords: counter('audit_records_total', ['sink'], 'Audit records written'),
    auditFailures: counter('audit_write_failures_total', ['sink'], 'Audit records that a sink did not take'),
    auditShed: counter('audit_queue_full_total', ['sink'], 'Audit records for which the queue of a sink had no room'),
    auditRetries: counter('audit_delivery_retries_total', ['sink'], 'Batches of records that were sent again'),
    auditLost: counter(
      'audit_records_lost_total',
      ['sink', 'reason'],
      'Records of a chain that will not be delivered, as they were refused, corrupt, removed, or in memory at the stop',
    ),
    auditSpool: gauge('audit_spool_bytes', ['sink'], 'Records that wait for their receiver', 'sum'),
    auditLag: gauge('audit_delivery_lag_seconds', ['sink'], 'Age of the oldest record that is not acknowledged', 'max'),
    auditHead: gauge(
      'audit_head_info',
      ['instance', 'seq', 'hash'],
      'The last signed head of the first audit sink',
      'max',
    ),
    auditHeadTime: gauge(
      'audit_head_timestamp_seconds',
      [],
      'When the last head of the first audit sink was signed',
      'min',
    ),
    auditTruncations: counter('audit_truncations_total', [], 'Audit files that ended before their signed head'),
    auditStateFailures: counter('audit_state_failures_total', [], 'Failed writes of the state file of audit.sign'),
    stateFailures: counter('limits_state_failures_total', [], 'Questions that the shared state did not answer'),
    stateOutcomes: counter('state_failures_total', ['outcome'], 'The same, by the way in which it failed'),
    stateAvailable: gauge(
      'state_available',
      [],
      '1 while the shared state answers; absent where nothing is shared',
      'min',
    ),
    refusalsSummed: counter('refusals_summed_total', [], 'Requests of strangers that are recorded in sums'),
    keySetAge: gauge('key_set_age_seconds', ['issuer'], 'Age of the key set in use', 'max'),
    keySetFailures: counter('key_set_refresh_failures_total', ['issuer'], 'Fetches of a key set that failed'),
    introspections: counter('introspection_requests_total', ['authenticator', 'outcome'], 'Introspections of a token'),
    exchanges: counter('token_exchanges_total', ['upstream', 'outcome'], "Exchanges of callers' tokens"),
    certificateExpiry: gauge(
      'certificate_expiry_timestamp_seconds',
      ['certificate'],
      'End of a configured certificate',
      'min',
    ),
    revocationListExpiry: gauge(
      'crl_next_update_timestamp_seconds',
      ['list'],
      'When the first of the CRLs is overdue',
      'min',
    ),
    apiKeyExpiry: gauge('api_key_expiry_timestamp_seconds', ['key'], 'Expiry of an API key', 'min'),
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
    spansExported: counter('trace_spans_exported_total', [], 'Spans that the collector has taken'),
    spansDropped: counter('trace_spans_dropped_total', ['reason'], 'Spans that did not get to the collector'),
    configuration: gauge('config_info', ['hash'], 'The live configuration', 'max'),
    reloadSuccess: gauge(
      'config_last_reload_success',
      [],
      '1 when the last reload was taken, 0 when it was refused',
      'min',
    ),
    revocationEntries: gauge('revocation_entries', [], 'Entries of the revocation list in force', 'min'),
    temporaryRevocations: gauge(
      'temporary_revocations',
      [],
      'Credentials that an operator has revoked for an hour',
      'min',
    ),
    revocationSuccess: gauge(
      'revocation_last_reload_success',
      [],
      '1 when the revocation file as it is is in force',
      'min',
    ),
    build: gauge('build_info', ['version', 'node'], 'Version of the gateway and of Node', 'max'),
  };
}
