// Overview of the console: the last hour, what needs attention, and the weight of every page.
import t from 'tap';
import { findAttention } from '../../src/console/overview/attention.ts';
import type { OverviewFacts } from '../../src/console/overview/facts.ts';
import { overview } from '../../src/console/overview/page.ts';
import type { PageRequest } from '../../src/console/page.ts';
import { pages } from '../../src/console/pages.ts';
import { createHistory, maxHistoryPoints } from '../../src/metrics/history.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { listDashboards } from '../support/configuration.ts';
import { textOf } from '../support/console.ts';
import { startScenario } from '../support/scenario.ts';

const day = 86_400_000;
const now = Date.UTC(2026, 10, 28);

t.test('the history has the rates and the latency of the last hour, in a bounded number of points', async (t) => {
  const metrics = createMetrics('test');
  let time = now;
  let sample = () => {};
  const history = createHistory({
    samples: metrics.samples,
    now: () => time,
    every(_ms, call) {
      sample = call;
      return () => {};
    },
  });
  t.same(await history.points(), [], 'none before time has passed');
  const request = { route: 'mcp', status: 200, tool: undefined, decision: undefined, apiKey: undefined };
  const later = async (ms: number) => {
    time += ms;
    sample();
    await new Promise(setImmediate);
  };
  for (let index = 0; index < 90; index++)
    metrics.requestFinished({ ...request, outcome: 'completed', seconds: 0.004 });
  for (let index = 0; index < 10; index++) metrics.requestFinished({ ...request, outcome: 'refused', seconds: 0.2 });
  await later(10_000);
  const [first] = await history.points();
  t.match(first, { time: now / 1000 + 10, seconds: 10, requests: 100, refused: 10, failed: 0 });
  t.ok(first!.p50! > 0.0025 && first!.p50! < 0.005, `${first!.p50}`);
  t.equal(first!.p95, 0.175, 'half way through the bucket from 0.1 to 0.25');
  await later(10_000);
  t.match((await history.points())[1], { requests: 0, p50: null, p95: null });
  for (let index = 0; index < 400; index++) await later(10_000);
  const points = await history.points();
  t.ok(points.length <= 120 && points.length > 80, `${points.length} points`);
  t.equal(
    points.reduce((sum, { seconds }) => sum + seconds, 0),
    3600,
  );
});

const healthy: OverviewFacts = {
  version: '1',
  policy: 'f'.repeat(64),
  configFile: '/etc/gateway.yaml',
  inForceSince: now,
  warnings: [],
  notReady: [],
  refusedReload: undefined,
  shadow: { file: 's.yaml', policy: 'e'.repeat(64), problem: undefined, differences: 0, untold: 3 },
  openRequests: 0,
  openStreams: 0,
  issuers: [{ issuer: 'https://id', isReady: true, ageSeconds: 1, failures: 2 }],
  upstreams: [{ name: 'superset', url: 'http://127.0.0.1', probe: undefined }],
  audit: {
    healthy: true,
    sinks: [],
    deliveries: [{ sink: 'siem', type: 'http', required: false, bytes: 10, lagSeconds: 59, problem: undefined }],
    truncation: undefined,
    lost: 0,
  },
  state: { kind: 'redis', available: true, onFailure: 'refuse' },
  revocation: { entries: 1, digest: undefined, problem: undefined },
  definitions: [{ route: 'mcp', onChange: 'deny', changed: [], problem: undefined }],
  expiries: {
    certificates: [{ name: 'server.tls.certFile', expiresAtSeconds: (now + 31 * day) / 1000 }],
    revocationLists: [{ name: 'server.tls.clientCrlFile', expiresAtSeconds: (now + 2 * day) / 1000 }],
  },
  apiKeys: [{ id: 'k1', clientId: 'reporting_tool', end: now + 31 * day, endsWithSunset: true, requests: 5 }],
};

t.test('a gateway without a problem needs no attention, and each of these does', (t) => {
  const of = (facts: Partial<OverviewFacts>, processes: Parameters<typeof findAttention>[1] = []) =>
    findAttention({ ...healthy, ...facts }, processes, now).map(({ title, tone }) => `${tone}: ${title}`);
  t.same(of({}), []);
  const { audit, expiries } = healthy;
  const certificate = (days: number) => ({
    expiries: { ...expiries, certificates: [{ name: 'c', expiresAtSeconds: (now + days * day) / 1000 }] },
  });
  const key = (days: number, requests: number) => ({
    apiKeys: [{ id: 'k1', clientId: 'reporting_tool', end: now + days * day, endsWithSunset: true, requests }],
  });
  const cases: [RegExp, Partial<OverviewFacts>][] = [
    [/^bad: Not ready: starting/, { notReady: ['starting'] }],
    [/^bad: The last reload was refused/, { refusedReload: { time: now, problem: 'g.yaml:1:1 no' } }],
    [/^bad: The revocation file/, { revocation: { entries: 0, digest: undefined, problem: 'no' } }],
    [/^warn: The shadow was not reloaded/, { shadow: { ...healthy.shadow!, problem: 'no' } }],
    [/^warn: The shadow decides otherwise on 1 request /, { shadow: { ...healthy.shadow!, differences: 1 } }],
    [/^warn: `check` warns of 1 place/, { warnings: ['g.yaml:1:1 doubtful'] }],
    [/^bad: Audit: cut/, { audit: { ...audit, truncation: 'cut' } }],
    [/^bad: A required audit sink/, { audit: { ...audit, healthy: false } }],
    [
      /^warn: Audit sink siem is 60 s behind/,
      { audit: { ...audit, deliveries: [{ ...audit.deliveries[0]!, lagSeconds: 60 }] } },
    ],
    [
      /^bad: Audit sink siem/,
      { audit: { ...audit, deliveries: [{ ...audit.deliveries[0]!, required: true, problem: '503' }] } },
    ],
    [/^bad: 2 audit records will not/, { audit: { ...audit, lost: 2 } }],
    [/^bad: The issuer https:\/\/id/, { issuers: [{ ...healthy.issuers[0]!, isReady: false }] }],
    [/^bad: The upstream superset/, { upstreams: [{ name: 'superset', url: 'http://u', probe: false }] }],
    [/^bad: The shared state/, { state: { kind: 'redis', available: false, onFailure: 'refuse' } }],
    [
      /^bad: Definitions of mcp .*: execute_sql$/,
      { definitions: [{ route: 'mcp', onChange: 'deny', changed: ['execute_sql'], problem: undefined }] },
    ],
    [
      /^warn: The definitions of mcp could not/,
      { definitions: [{ route: 'mcp', onChange: 'deny', changed: [], problem: 'timeout' }] },
    ],
    [/^warn: The certificate c expires/, certificate(29)],
    [/^bad: The certificate c expires/, certificate(6)],
    [/^bad: The certificate c has expired/, certificate(-1)],
    [
      /^bad: The revocation list l is due/,
      { expiries: { certificates: [], revocationLists: [{ name: 'l', expiresAtSeconds: now / 1000 + 3600 }] } },
    ],
    [/^warn: The API key k1 of reporting_tool ends with the sunset .* used for 5 requests/, key(20, 5)],
    [/^bad: The API key k1 .* used for 5 requests/, key(6, 5)],
    [/^warn: The API key k1 .* not used since the start/, key(6, 0)],
  ];
  for (const [expected, facts] of cases) {
    const found = of(facts);
    t.equal(found.length, 1, `${found}`);
    t.match(found[0], expected);
  }
  const down = { worker: 2, source: undefined, problem: 'not running' };
  t.match(
    of(certificate(20), [down]),
    [/^bad: Worker 2 is not up: not running/, /^warn: The certificate/],
    'worst first',
  );
  t.end();
});

t.test('the page of a gateway', async (t) => {
  const scenario = await startScenario(t, {
    authenticators: { keys: { sunset: new Date(Date.now() + 10 * day).toISOString() } },
  });
  const page = async () => (await scenario.admin('/')).text();
  await scenario.reporting.call('list_dashboards');
  const text = await page();
  t.match(
    text,
    'The API key k1 of reporting_tool ends with the sunset of its kind, and was used for 1 request since the start',
  );
  t.match(text, scenario.issuer.issuer.replaceAll('=', '&#61;'));
  t.match(text, (await scenario.status()).policy);
  t.match(text, '<span class="badge good">ready</span>');

  t.test('a reload that was refused stands there with its problem at its line, until one is taken', async (t) => {
    await scenario.reload({ routes: { '/mcp': { mcp: { rules: [{ ...listDashboards, '<b>': 1 }] } } } });
    const refused = await page();
    t.match(refused, 'The last reload was refused');
    t.match(refused, /gateway\.yaml:\d+:\d+ routes\[0\]\.mcp\.rules\[0\]/);
    t.notMatch(refused, '<b>');
    await scenario.reload();
    t.notMatch(await page(), 'The last reload was refused');
  });

  t.test('every page weighs less than 100 KB with all its files, uncompressed', async (t) => {
    for (const { path } of pages) {
      const document = await (await scenario.admin(path)).text();
      const files = new Set(document.match(/\/assets\/[\w.-]+/g));
      let bytes = Buffer.byteLength(document);
      for (const file of files) bytes += (await (await scenario.admin(file)).arrayBuffer()).byteLength;
      if (path === '/') bytes += await weightOfAnHour();
      t.ok(bytes < 100_000, `${path}: ${bytes} bytes`);
    }
  });
  t.end();
});

t.test('links lead to pages of the worker that is shown', async (t) => {
  const facts = { ...healthy, shadow: { ...healthy.shadow!, differences: 1 }, notReady: ['starting'] };
  const source = { overview: async () => facts, requestHistory: async () => [] } as unknown as PageRequest['source'];
  const other = { processes: [], query: new URLSearchParams(), viewer: undefined, params: {} };
  const text = textOf((await overview.render({ source, now, worker: 2, ...other })).body);
  for (const link of ['/decisions?worker=2', '/streams?worker=2', '#health'])
    t.match(text, `href="${link.replace('=', '&#61;')}"`);
});

t.test('what is left out says how much of it is to act on now', async (t) => {
  const attentionOf = async (facts: OverviewFacts) => {
    const source = { overview: async () => facts, requestHistory: async () => [] } as unknown as PageRequest['source'];
    const other = { processes: [], worker: undefined, query: new URLSearchParams(), viewer: undefined, params: {} };
    return textOf((await overview.render({ source, now, ...other })).body);
  };
  const ends = (count: number, days: number) =>
    Array.from({ length: count }, (_, index) => ({
      name: `c-${days}-${index}`,
      expiresAtSeconds: (now + days * day) / 1000,
    }));
  const expiring = (certificates: OverviewFacts['expiries']['certificates']) =>
    attentionOf({ ...healthy, expiries: { certificates, revocationLists: [] } });
  const badgesIn = (text: string, tone: string) => text.split(`<span class="badge ${tone}">act now</span>`).length - 1;
  const many = await expiring([...ends(80, 20), ...ends(100, 1)]);
  const shown = badgesIn(many, 'bad');
  t.ok(shown > 10 && shown < 100, `${shown} shown`);
  t.match(many, `And ${180 - shown} more: act now on ${100 - shown} of them.`);
  t.match(await expiring([...ends(80, 20), ...ends(1, 1)]), /And \d+ more: act now on none of them\./);
});

/** Bytes that a full history adds to the overview. */
async function weightOfAnHour(): Promise<number> {
  const render = async (points: number) => {
    const requestHistory = async () =>
      Array.from({ length: points }, (_, index) => ({
        ...{ time: 1_795_900_000 + index * 30, seconds: 30, requests: 12_345 + index, refused: index, failed: index },
        ...{ p50: 0.0012345 * index, p95: 0.012345 * index },
      }));
    const source = { overview: async () => healthy, requestHistory } as unknown as PageRequest['source'];
    const asked = {
      source,
      now,
      processes: [],
      worker: undefined,
      query: new URLSearchParams(),
      viewer: undefined,
      params: {},
    };
    return Buffer.byteLength(textOf((await overview.render(asked)).body));
  };
  return (await render(maxHistoryPoints)) - (await render(1));
}
