// Rates and quotas of calls: the answers, headers, records and metrics of calls under a limit and over it.
import type { ServerResponse } from 'node:http';
import t from 'tap';
import type { ClientAnswer } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

const startMs = Date.UTC(2026, 10, 28, 23, 59, 0);
const time = { nowMs: startMs };
const scopes = ['dashboards:read'];

const scenario = await startScenario(
  t,
  {
    server: { limits: { refusalsPerAddress: '3/s' } },
    authenticators: { corp: { claims: { tenant: 'org_id' } } },
    limits: {
      sql: { rate: '30/m', burst: 2, per: ['client', 'subject'] },
      exports: { quota: '2/d', per: ['subject'] },
      all: { rate: '600/m', per: ['route'] },
      tenants: { rate: '1/h', per: ['tenant', 'tool'] },
      visitors: { rate: '2/m', per: ['address'] },
      flood: { rate: '1/h', per: ['subject'] },
    },
    routes: {
      '/mcp': {
        limits: ['all'],
        mcp: {
          preset: { name: 'superset', rules: false },
          rules: [
            { name: 'reported', allow: { tools: ['list_datasets'] }, limits: ['flood'], mode: 'report' },
            { name: 'sql', allow: { tools: ['execute_sql', 'list_datasets'] }, require: { scopes }, limits: ['sql'] },
            { name: 'exports', allow: { tools: ['get_chart_data'] }, limits: ['exports', 'sql'] },
            { name: 'tenants', allow: { tools: ['list_*'] }, limits: ['tenants'] },
          ],
        },
      },
      '/http': {
        mcp: { denials: 'http', rules: [{ name: 'sql', allow: { tools: ['execute_sql'] }, limits: ['sql'] }] },
      },
      '/api/*': { limits: ['sql'] },
      '/reports/*': { limits: ['flood'] },
      '/health': { limits: ['visitors'] },
    },
  },
  { now: () => time.nowMs },
);
const { upstream } = scenario;

/** A person nobody has called as before. */
let people = 0;
async function person(claims: Readonly<Record<string, unknown>> = {}) {
  people += 1;
  return scenario.as({ claims: { sub: `person-${people}`, ...claims } });
}

function errorOf({ text }: ClientAnswer) {
  return JSON.parse(text).error;
}

t.test(
  '30/m with burst 2: two calls pass, the third is a JSON-RPC error that a model can act on, the upstream gets two',
  async (t) => {
    const caller = await person();
    const before = upstream.requests.length;
    const first = await caller.call('execute_sql');
    t.match(first, { status: 200, headers: { 'ratelimit-policy': '"all";q=600;w=60, "sql";q=30;w=60' } });
    t.match(first.headers.ratelimit, /^"all";r=599;t=1, "sql";r=1;t=2$/);
    t.match((await caller.call('execute_sql')).headers.ratelimit, /"sql";r=0;t=4$/);
    const refused = await caller.call('execute_sql');
    t.equal(refused.status, 200);
    t.match(refused.headers, { 'retry-after': '2', ratelimit: '"sql";r=0;t=2', 'ratelimit-policy': '"sql";q=30;w=60' });
    t.match(errorOf(refused), {
      code: 429,
      message:
        'This call is over the limit sql of this gateway: 30 in a minute, 2 at once. Wait 2 seconds before you call again, and call less often.',
      data: { code: 'rate_limited', retryAfterSeconds: 2, requestId: refused.id },
    });
    t.equal(upstream.requests.length - before, 2);
    const records = await scenario.recordsOf(refused);
    t.match(records, [
      {
        stage: 'completed',
        decision: 'deny',
        rule: 'sql',
        reason: 'rate_limited',
        outcome: 'refused',
        status: 200,
        detail: { limit: 'sql' },
      },
    ]);
    t.equal(records.length, 1);
    t.equal(await scenario.metric('portcullis_limits_refused_total', { limit: 'sql' }), 1);
    t.equal(await scenario.metric('portcullis_limits_refused_total', { limit: 'exports' }), 0, 'there from the start');
    time.nowMs += 2000;
    t.equal(errorOf(await caller.call('execute_sql')), undefined, 'and passes when it was told to come back');
    t.match(errorOf(await (await person()).call('execute_sql')), undefined, 'another person has another bucket');
  },
);

t.test('denials: http, a ping and a path route are answered 429 with Retry-After', async (t) => {
  const caller = await person();
  const answers = [];
  for (let call = 0; call < 3; call += 1) answers.push(await caller.call('execute_sql', {}, { path: '/http' }));
  t.match(
    answers.map(({ status }) => status),
    [200, 200, 429],
  );
  t.match(answers[2]!.headers, { 'retry-after': '2', 'content-type': 'application/json' });
  t.match(errorOf(answers[2]!), { code: 429, data: { code: 'rate_limited', retryAfterSeconds: 2 } });
  const path = await caller.send({ path: '/api/dashboards' });
  t.match(
    path,
    { status: 429, headers: { 'retry-after': '2', ratelimit: '"sql";r=0;t=2' } },
    'the limit is one, wherever it stands',
  );
  t.match(JSON.parse(path.text), { code: 'rate_limited', status: 429, requestId: path.id });
  t.match(await scenario.recordOf(path), { reason: 'rate_limited', status: 429, detail: { limit: 'sql' } });
});

t.test('a call that a second limit refuses takes nothing from the first', async (t) => {
  const caller = await person();
  for (let call = 0; call < 2; call += 1) t.equal(errorOf(await caller.call('execute_sql')), undefined);
  for (let call = 0; call < 5; call += 1) {
    t.match(errorOf(await caller.call('get_chart_data')), { message: /over the limit sql/ });
  }
  time.nowMs += 4000;
  for (let call = 0; call < 2; call += 1) t.equal(errorOf(await caller.call('get_chart_data')), undefined);
  const over = await caller.call('get_chart_data');
  t.match(
    errorOf(over).message,
    /^This call is over the limit exports of this gateway: 2 in each day of UTC\. Wait \d+ seconds /,
  );
  t.match(over.headers, { ratelimit: /^"exports";r=0;t=\d+$/ });
});

t.test('a quota of 2/d begins anew at midnight UTC', async (t) => {
  const caller = await person();
  await caller.call('get_chart_data');
  await caller.call('get_chart_data');
  time.nowMs = Date.UTC(2026, 10, 28, 23, 59, 50);
  t.match(errorOf(await caller.call('get_chart_data')), { data: { retryAfterSeconds: 10 } });
  time.nowMs = Date.UTC(2026, 10, 29);
  t.equal(errorOf(await caller.call('get_chart_data')), undefined);
});

t.test(
  'a limit sees the tool behind call_tool, a tenant of its own for each value, and one for tokens without the claim',
  async (t) => {
    const one = await person({ org_id: 'acme' });
    const same = await person({ org_id: 'acme' });
    const number = await person({ org_id: 1 });
    const text = await person({ org_id: '1' });
    const without = [await person(), await person()] as const;
    const isOver = async (caller: typeof one, tool: string) => errorOf(await caller.call(tool)) !== undefined;
    t.notOk(await isOver(one, 'list_charts'));
    t.ok(await isOver(same, 'list_charts'), 'one bucket for a tenant');
    t.ok(errorOf(await same.call('call_tool', { name: 'list_charts' })) !== undefined, 'whatever it is called through');
    t.notOk(await isOver(same, 'list_dashboards'), 'another tool has another');
    t.notOk(await isOver(number, 'list_charts'));
    t.notOk(await isOver(text, 'list_charts'), 'the text "1" is not the number 1');
    t.notOk(await isOver(without[0], 'list_charts'));
    t.ok(await isOver(without[1], 'list_charts'), 'an absent value is a bucket of its own');
  },
);

t.test('what is not carried out takes nothing: denied calls, and rules in report mode', async (t) => {
  const caller = await person({ scope: '' });
  for (let call = 0; call < 5; call += 1)
    t.match(errorOf(await caller.call('execute_sql')).data.code, 'insufficient_scope');
  const reported = await person();
  await reported.call('list_datasets');
  const passes = await reported.send({ path: '/reports/weekly' });
  t.match(
    passes,
    { status: 200, headers: { ratelimit: '"flood";r=0;t=3600' } },
    'the reported rule took nothing of flood',
  );
});

t.test('visitors without a credential are limited by address; metadata and other routes are not', async (t) => {
  const answers = [];
  for (let call = 0; call < 3; call += 1) answers.push(await scenario.anybody.send({ path: '/health' }));
  t.match(
    answers.map(({ status }) => status),
    [200, 200, 429],
  );
  t.match(answers[0]!.headers, { ratelimit: '"visitors";r=1;t=30' });
  t.match(await scenario.recordOf(answers[2]!), { reason: 'rate_limited', detail: { limit: 'visitors' } });
  const metadata = await scenario.anybody.send({ path: '/.well-known/oauth-protected-resource/mcp' });
  t.equal(metadata.status, 200);
  t.notOk('ratelimit' in metadata.headers);
});

t.test('a hundred calls over a limit are a few records and a sum, and each is answered', async (t) => {
  const caller = await person();
  const calls = 100;
  const before = (await scenario.records()).length;
  const refusedBefore = await scenario.metric('portcullis_limits_refused_total', { limit: 'flood' });
  const answers = [];
  for (let call = 0; call <= calls; call += 1) answers.push(await caller.send({ path: '/reports/weekly' }));
  t.match(answers[0], { status: 200 });
  t.ok(answers.slice(1).every(({ status }) => status === 429));
  t.match(JSON.parse(answers.at(-1)!.text), { detail: /over the limit flood/ }, 'also the summed ones say which limit');
  t.equal((await scenario.metric('portcullis_limits_refused_total', { limit: 'flood' })) - refusedBefore, calls);
  const own = (await scenario.records()).slice(before).filter(({ reason }) => reason === 'rate_limited');
  t.ok(own.filter(({ detail }) => detail?.summed === undefined).length <= 3, `${own.length} records`);
  t.equal((await scenario.agent.send({ path: '/reports/weekly' })).status, 200, 'nobody else notices');
});

t.test('a call that the busy upstream does not get, and a reload, take nothing: what is used stays used', async (t) => {
  const waiting: ServerResponse[] = [];
  const limits = { sql: { rate: '3/h', per: ['subject'] } };
  const { agent, connect, recordOf, reload, upstream } = await startScenario(
    t,
    {
      limits,
      upstreams: { superset: { limits: { concurrencyPerSubject: 1 } } },
      routes: { '/api/*': { limits: ['sql'] } },
    },
    { now: () => startMs, reply: (_request, response) => void waiting.push(response) },
  );
  const path = '/api/dashboards';
  const first = agent.send({ path });
  await upstream.received(1);
  const other = await connect().send({ path, headers: agent.headers });
  t.equal(other.status, 503);
  t.notOk('ratelimit' in other.headers);
  t.match(await recordOf(other), { reason: 'overloaded', detail: { limit: 'concurrency_per_subject' } });
  waiting.pop()!.end();
  t.match((await first).headers.ratelimit, '"sql";r=2');
  await reload({ limits: { sql: { ...limits.sql, rate: '2/h' } } });
  const next = agent.send({ path });
  await upstream.received(2);
  waiting.pop()!.end();
  t.match((await next).headers.ratelimit, '"sql";r=0', 'one of two was used, nothing by the refused call');
  t.match(await agent.send({ path }), { status: 429 });
});
