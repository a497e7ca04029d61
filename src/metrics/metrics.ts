// Prometheus metrics of the gateway (prom-client). Label values come from the configuration or from closed lists.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const validationBuckets = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

/** State that is read at each scrape. */
export interface MetricsSource {
  readonly keySets: readonly { readonly issuer: string; ageSeconds(): number | undefined }[];
  readonly certificates: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly revocationLists: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly apiKeys: readonly { readonly name: string; readonly expiresAtSeconds: number }[];
  readonly probes: readonly { readonly upstream: string; readonly success: boolean }[];
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
    | { readonly allow: boolean; readonly reason?: string; readonly rule?: string | undefined }
    | undefined;
  /** Id of the API key that authenticated the request. */
  readonly apiKey: string | undefined;
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(version: string) {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({ name: `portcullis_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Gauge({ name: `portcullis_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[], buckets: number[]) =>
    new Histogram({ name: `portcullis_${name}`, help, labelNames, buckets, registers });

  const requests = counter('requests_total', 'Requests by route, outcome and status', ['route', 'outcome', 'status']);
  const requestDuration = histogram(
    'request_duration_seconds',
    'From the head read to the response closed',
    ['route'],
    latencyBuckets,
  );
  const upstreamDuration = histogram(
    'upstream_request_duration_seconds',
    'From dispatch to the first byte of the answer',
    ['upstream'],
    latencyBuckets,
  );
  const authentications = counter('authentications_total', 'Credentials verified, refused or not verifiable', [
    'authenticator',
    'result',
    'reason',
  ]);
  const validation = histogram(
    'token_validation_seconds',
    'Verification of one credential',
    ['authenticator'],
    validationBuckets,
  );
  const decisions = counter('decisions_total', 'Policy decisions', ['route', 'decision', 'reason']);
  const toolCalls = counter('tool_calls_total', 'Calls of tools that the rules name; others as "other"', [
    'route',
    'tool',
    'outcome',
  ]);
  const activeStreams = gauge('active_streams', 'Event streams that are open', ['route']);
  const upstreamProbe = gauge(
    'upstream_probe_success',
    '1 when the last probe without a credential was refused as it has to be, 0 when not',
    ['upstream'],
  );
  const auditRecords = counter('audit_records_total', 'Audit records written', ['sink']);
  const auditFailures = counter('audit_write_failures_total', 'Audit records that a sink did not take', ['sink']);
  const keySetAge = gauge('key_set_age_seconds', 'Age of the key set in use', ['issuer']);
  const keySetFailures = counter('key_set_refresh_failures_total', 'Fetches of a key set that failed', ['issuer']);
  const introspections = counter('introspection_requests_total', 'Questions to an introspection endpoint', [
    'authenticator',
    'outcome',
  ]);
  const exchanges = counter('token_exchanges_total', "Exchanges of callers' tokens for an upstream", [
    'upstream',
    'outcome',
  ]);
  const certificateExpiry = gauge(
    'certificate_expiry_timestamp_seconds',
    'End of validity of a configured certificate',
    ['certificate'],
  );
  const revocationListExpiry = gauge(
    'crl_next_update_timestamp_seconds',
    'When the first of the certificate revocation lists is overdue',
    ['list'],
  );
  const apiKeyExpiry = gauge('api_key_expiry_timestamp_seconds', 'Expiry of an API key', ['key']);
  const apiKeyRequests = counter('api_key_requests_total', 'Requests authenticated by an API key', ['key']);
  const conditionErrors = counter('condition_errors_total', 'CEL conditions that failed and denied the call', [
    'route',
    'rule',
  ]);
  const configuration = gauge('config_info', 'The live configuration', ['hash']);
  const reloadSuccess = gauge(
    'config_last_reload_success',
    '1 when the last reload was taken, 0 when it was refused',
    [],
  );
  const revocationEntries = gauge('revocation_entries', 'Entries of the revocation list in force', []);
  const revocationSuccess = gauge(
    'revocation_last_reload_success',
    '1 when the revocation file as it is now is in force, 0 when it could not be used',
    [],
  );
  const build = gauge('build_info', 'Version of the gateway and of Node', ['version', 'node']);

  revocationSuccess.set(1);
  build.set({ version, node: process.versions.node }, 1);
  collectDefaultMetrics({ register: registry });

  function requestFinished(request: FinishedRequest): void {
    const { route = 'none', outcome, status, seconds, tool, decision, apiKey } = request;
    requests.inc({ route, outcome, status: status === undefined ? 'none' : String(status) });
    requestDuration.observe({ route }, seconds);
    if (tool !== undefined) toolCalls.inc({ route, tool, outcome });
    if (apiKey !== undefined) apiKeyRequests.inc({ key: apiKey });
    if (decision === undefined) return;
    const { allow, reason = 'allowed', rule = 'none' } = decision;
    decisions.inc({ route, decision: allow ? 'allow' : 'deny', reason });
    if (reason === 'condition_error') conditionErrors.inc({ route, rule });
  }

  /** The text that Prometheus reads. State of `source` is read now. */
  async function scrape(source: MetricsSource): Promise<string> {
    const gauges = [keySetAge, certificateExpiry, revocationListExpiry, apiKeyExpiry, upstreamProbe];
    for (const each of gauges) each.reset();
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
    return registry.metrics();
  }

  return {
    contentType: registry.contentType,
    scrape,
    requestFinished,
    upstreamResponded: (upstream: string, seconds: number) => upstreamDuration.observe({ upstream }, seconds),
    /** `seconds` is undefined where nothing had to be verified: the token was known. */
    credentialJudged(authenticator: string, result: string, reason: string, seconds: number | undefined): void {
      authentications.inc({ authenticator, result, reason });
      if (seconds !== undefined) validation.observe({ authenticator }, seconds);
    },
    streamOpened: (route: string) => activeStreams.inc({ route }),
    streamClosed: (route: string) => activeStreams.dec({ route }),
    auditWritten: (sink: string, records: number) => auditRecords.inc({ sink }, records),
    auditFailed: (sink: string, records: number) => auditFailures.inc({ sink }, records),
    keySetRefreshFailed: (issuer: string) => keySetFailures.inc({ issuer }),
    introspected: (authenticator: string, outcome: string) => introspections.inc({ authenticator, outcome }),
    tokenExchanged: (upstream: string, outcome: string) => exchanges.inc({ upstream, outcome }),
    connectionRefused: (reason: string) => requests.inc({ route: 'none', outcome: 'refused', status: reason }),
    configurationLoaded(hash: string): void {
      configuration.reset();
      configuration.set({ hash }, 1);
      reloadSuccess.set(1);
    },
    configurationRefused: () => reloadSuccess.set(0),
    revocationsTaken(entries: number): void {
      revocationEntries.set(entries);
      revocationSuccess.set(1);
    },
    revocationsRefused: () => revocationSuccess.set(0),
  };
}
