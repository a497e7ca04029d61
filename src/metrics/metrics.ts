// Prometheus metrics of the gateway: events and state that are counted, and the text of a scrape.
import { collectDefaultMetrics, type Histogram, Registry } from 'prom-client';
import { declareMetrics } from './declarations.ts';
import { acceptsOpenMetrics, openMetricsRegistry, openMetricsText, openMetricsType } from './open-metrics.ts';
import { observePauses } from './pauses.ts';
import type { MetricValues } from './sum.ts';

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
  /** The sinks that deliver elsewhere. */
  readonly deliveries?: readonly { readonly type: string; readonly bytes: number; readonly lagSeconds: number }[];
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
  /** Labels that name its trace; undefined without one. */
  readonly exemplar?: Exemplar | undefined;
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

/** Labels of an exemplar (OpenMetrics). */
export interface Exemplar {
  readonly trace_id: string;
  readonly span_id: string;
}

/** A configuration that came into force. */
export interface LoadedState {
  readonly limits: readonly string[];
  readonly pinnedRoutes: readonly string[];
  /** False where its shadow is older than the file. */
  readonly isShadowCurrent: boolean;
}

/** One value of a metric. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Of a part of a histogram: with `_bucket`, `_sum` or `_count` at its end. */
  readonly metricName?: string;
}

/** The metrics, told plain values. */
export type Metrics = ReturnType<typeof createMetrics>;

function nameOf(allow: boolean): string {
  return allow ? 'allow' : 'deny';
}

/** Creates the metrics in a registry of their own; with `exemplars` its histograms name traces. */
export function createMetrics(version: string, { exemplars = false } = {}) {
  const registry = exemplars ? openMetricsRegistry() : new Registry();
  const metrics = declareMetrics(registry, exemplars);
  // Histograms keep their exemplars, which OpenMetrics alone shows.
  registry.setContentType(Registry.PROMETHEUS_CONTENT_TYPE);
  metrics.revocationEntries.set(0);
  metrics.revocationSuccess.set(1);
  // An increase is seen only from a value on that was there before.
  for (const reason of ['queue_full', 'export_failed', 'rejected']) metrics.spansDropped.inc({ reason }, 0);
  metrics.build.set({ version, node: process.versions.node }, 1);
  collectDefaultMetrics({ register: registry });
  observePauses(registry);

  /** Its labels are those of the histogram. */
  function observe<L extends string>(
    histogram: Histogram<L>,
    labels: Record<L, string>,
    value: number,
    exemplar?: Exemplar,
  ): void {
    if (!exemplars) histogram.observe(labels, value);
    else histogram.observe({ labels, value, exemplarLabels: (exemplar ?? {}) as never });
  }

  function requestFinished(request: FinishedRequest): void {
    const { route = 'none', outcome, status, seconds, tool, decision, apiKey } = request;
    metrics.requests.inc({ route, outcome, status: status === undefined ? 'none' : String(status) });
    observe(metrics.requestDuration, { route }, seconds, request.exemplar);
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

  /** Sinks of a type share a value: bytes are added, and the oldest record counts. */
  function showDeliveries(deliveries: NonNullable<MetricsSource['deliveries']>): void {
    metrics.auditSpool.reset();
    metrics.auditLag.reset();
    for (const sink of new Set(deliveries.map(({ type }) => type))) {
      const ofType = deliveries.filter(({ type }) => type === sink);
      metrics.auditSpool.set(
        { sink },
        ofType.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      metrics.auditLag.set({ sink }, Math.max(...ofType.map(({ lagSeconds }) => lagSeconds)));
    }
  }

  /** Sets the gauges of `source`. */
  function measure(source: MetricsSource): void {
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
    showDeliveries(source.deliveries ?? []);
  }

  return {
    /** The text that Prometheus reads, as OpenMetrics where `accept` wants it and there are exemplars. State of `source` is read now. */
    async scrape(source: MetricsSource, accept?: string): Promise<{ contentType: string; text: string }> {
      measure(source);
      return exemplars && acceptsOpenMetrics(accept)
        ? { contentType: openMetricsType, text: await openMetricsText(await registry.getMetricsAsJSON()) }
        : { contentType: registry.contentType, text: await registry.metrics() };
    },
    /** The same as values, which `sumMetrics` adds to those of other processes. */
    values(source: MetricsSource): Promise<MetricValues> {
      measure(source);
      return registry.getMetricsAsJSON();
    },
    /** The samples of one metric, by its name without `portcullis_`; a histogram has those of its buckets, cumulative. */
    async samples(name: string): Promise<readonly MetricSample[]> {
      const metric = registry.getSingleMetric(`portcullis_${name}`);
      if (metric === undefined) throw new Error(`no metric has the name portcullis_${name}`);
      return (await metric.get()).values as MetricSample[];
    },
    requestFinished,
    overloaded: (limit = 'none') => metrics.overloads.inc({ limit }),
    limitRefused: (limit: string) => metrics.limitsRefused.inc({ limit }),
    upstreamResponded: (upstream: string, seconds: number, exemplar?: Exemplar) =>
      observe(metrics.upstreamDuration, { upstream }, seconds, exemplar),
    /** `seconds` is undefined where nothing had to be verified: the token was known. */
    authenticationAttempted(authenticator: string, result: string, reason: string, seconds: number | undefined): void {
      metrics.authentications.inc({ authenticator, result, reason });
      if (seconds !== undefined) observe(metrics.validation, { authenticator }, seconds);
    },
    spansExported: (spans: number) => metrics.spansExported.inc(spans),
    spansDropped: (reason: string, spans: number) => metrics.spansDropped.inc({ reason }, spans),
    streamOpened: (route: string) => metrics.activeStreams.inc({ route }),
    streamClosed: (route: string) => metrics.activeStreams.dec({ route }),
    auditWritten: (sink: string, records: number) => metrics.auditRecords.inc({ sink }, records),
    auditFailed: (sink: string, records: number) => metrics.auditFailures.inc({ sink }, records),
    auditRetried: (sink: string) => metrics.auditRetries.inc({ sink }),
    auditLost: (sink: string, reason: string, records: number) => metrics.auditLost.inc({ sink, reason }, records),
    auditShed: (sink: string) => metrics.auditShed.inc({ sink }),
    auditTruncated: () => metrics.auditTruncations.inc(),
    auditStateFailed: () => metrics.auditStateFailures.inc(),
    stateFailed(outcome: string): void {
      metrics.stateFailures.inc();
      metrics.stateOutcomes.inc({ outcome });
    },
    /** Undefined where nothing is shared. */
    stateAvailable: (available: boolean | undefined) =>
      available === undefined ? metrics.stateAvailable.remove() : metrics.stateAvailable.set(available ? 1 : 0),
    loginEnded: (outcome: string) => metrics.logins.inc({ outcome }),
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
    configurationLoaded(hash: string, { limits, pinnedRoutes, isShadowCurrent }: LoadedState): void {
      // An increase is seen only from a value on that was there before.
      for (const limit of limits) metrics.limitsRefused.inc({ limit }, 0);
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
    temporaryRevocations: (count: number) => metrics.temporaryRevocations.set(count),
  };
}
