// A stranger asks a route without authentication, whose upstream fails, as fast as it can: each 502 has two records, and a line in the operator's log.
import { statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { host, request } from '../../support/attack.ts';
import { rawConnection, talk } from '../../support/raw-http.ts';
import { startScenario } from '../../support/scenario.ts';

const count = 300;

/** An upstream whose every answer breaks off, and one where nothing listens. */
async function faultyUpstreams(t: Test) {
  const breaking = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('begin', () => response.destroy());
  });
  const closed = createServer();
  const ports = [];
  for (const server of [breaking, closed]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as AddressInfo).port);
  }
  closed.close();
  t.teardown(() => breaking.close());
  const [breaks, down] = ports.map((port) => ({ url: `http://127.0.0.1:${port}` }));
  return { breaks, down };
}

async function begin(t: Test) {
  const state = { nowMs: Date.UTC(2026, 10, 23, 5, 45) };
  const open = { authenticate: 'none' };
  const scenario = await startScenario(
    t,
    {
      server: { limits: { refusalsPerAddress: '20/s' } },
      upstreams: await faultyUpstreams(t),
      routes: {
        '/dn': { ...open, upstream: 'down' },
        '/breaks': { ...open, upstream: 'breaks' },
        '/open': open,
      },
    },
    { now: () => state.nowMs, logToFile: true },
  );
  const warnings = async (text: string) => (await scenario.log()).split('\n').filter((line) => line.includes(text));
  return { ...scenario, state, warnings };
}

t.test('pipelined requests for an upstream that is down', async (t) => {
  const scenario = await begin(t);
  const { directory, gateway, port, state, upstream } = scenario;
  const size = () => statSync(join(directory, 'audit.jsonl')).size;
  const before = size();
  const connection = await rawConnection(port);
  connection.write(request('GET /dn', [host]).repeat(count));
  const { answers } = await connection.answers(count);
  const failed = answers.filter(({ status }) => status === 502).length;
  t.ok(failed > 5 && failed < 30, `${failed} were forwarded`);
  t.match(answers.at(-1), { status: 429, headers: { 'retry-after': '1' }, json: { code: 'rate_limited' } });
  t.equal(answers.filter(({ status }) => status === 429).length, count - failed);

  const ask = async () => (await talk(port, request('GET /open', [host]))).answers[0]?.status;
  t.equal(await ask(), 429, 'the rate is one of the address');
  t.equal((await scenario.agent.call('list_dashboards')).status, 200, 'a verified caller of that address');
  t.equal(upstream.requests.length, 1, 'nothing but its call came through');
  state.nowMs += 5000;
  t.equal(await ask(), 200, 'seconds later all is well');
  connection.end();

  const warnings = await scenario.warnings('could not be reached');
  t.ok(warnings.length > 5 && warnings.length <= failed, `${warnings.length} lines`);
  t.match(JSON.parse(warnings[0]!), { code: 'bad_upstream', cause: { code: 'ECONNREFUSED', message: /ECONNREFUSED/ } });
  t.notOk(warnings.some((line) => line.includes('stack')));
  await gateway.close();
  t.ok(size() - before < 60_000, `${size() - before} bytes`);
  const records = await scenario.records();
  const of = (stage: string) => records.filter(({ http, stage: its }) => http?.path === '/dn' && its === stage);
  t.equal(of('decided').length, failed, 'what was forwarded has its record');
  t.equal(of('completed').filter(({ reason, status }) => reason === 'bad_upstream' && status === 502).length, failed);
  let summed = 0;
  for (const { detail, reason, status } of records) {
    const sum = (detail as { summed?: { requests: number; codes: Record<string, number> } } | undefined)?.summed;
    if (sum === undefined) continue;
    t.strictSame([reason, status, sum.codes], ['rate_limited', 429, { rate_limited: sum.requests }]);
    summed += sum.requests;
  }
  const own = records.filter(({ detail, reason }) => reason === 'rate_limited' && detail === undefined).length;
  t.equal(summed + own, count - failed + 1);
});

t.test('answers that the upstream breaks off', async (t) => {
  const { port, warnings } = await begin(t);
  let passed = 0;
  for (let index = 0; index < 60; index += 1)
    if ((await talk(port, request('GET /breaks', [host]))).answers[0]?.status !== 429) passed += 1;
  t.ok(passed > 5 && passed <= 20, `${passed} were forwarded`);
  t.equal((await warnings('broke off its answer')).length, passed);
});
