// A stranger sends requests that are refused, as fast as it can: at 1.6 KB a record it writes 33 GB an hour, and a full audit disk stops everybody.
// Answers that are given without asking who it is fill the disk just as well.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { verifyChain } from '../../../src/audit/verify.ts';
import { host, request } from '../../support/attack.ts';
import type { AuditRecord } from '../../support/gateway.ts';
import { type RawAnswer, rawConnection, talk } from '../../support/raw-http.ts';
import { startScenario } from '../../support/scenario.ts';
import { until } from '../../support/until.ts';

const frozenMs = Date.UTC(2026, 10, 23, 5, 45);
const limits = { refusalsPerAddress: '20/s' };
const statuses = (answers: readonly RawAnswer[]) =>
  Object.entries(Object.groupBy(answers, ({ status }) => status)).map(([status, all]) => [Number(status), all?.length]);

/** The codes of all sums, each with its number. */
function codesOf(sums: readonly AuditRecord[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { detail } of sums)
    for (const [code, count] of Object.entries((detail as { summed: { codes: Record<string, number> } }).summed.codes))
      total[code] = (total[code] ?? 0) + count;
  return total;
}

t.test(
  '300 requests without and with a bad credential: 20 refusals, 280 answers 429, one record of those',
  async (t) => {
    const started = performance.now();
    const scenario = await startScenario(t, { server: { limits } }, { now: () => frozenMs });
    const { directory, gateway, port, upstream } = scenario;
    const bad = (index: number) =>
      request('GET /api/x', [host, ...(index % 2 ? ['Authorization: Bearer nonsense'] : [])]);
    const flood = await talk(port, Array.from({ length: 300 }, (_, index) => bad(index)).join(''), 300);
    t.strictSame(statuses(flood.answers), [
      [401, 20],
      [429, 280],
    ]);
    t.match(flood.answers.at(-1), { headers: { 'retry-after': '1' }, json: { code: 'rate_limited', status: 429 } });
    t.equal(flood.closed, false, 'a client that is told stays connected');
    const call = await scenario.agent.call('list_dashboards');
    t.equal(call.status, 200, 'a good caller of that address');
    const rpc = await scenario.anybody.call('list_dashboards');
    t.match(rpc, { status: 429, text: /"code":"rate_limited"/ });
    const ambiguous = await talk(port, request('GET /api/../x'));
    t.match(ambiguous.answers, [{ status: 429, headers: { connection: 'close' } }], 'what had to be closed is closed');
    const garbage = await talk(port, 'GARBAGE\r\n\r\n');
    t.match(garbage.answers, [{ status: 429, headers: { 'retry-after': '1' }, json: { code: 'rate_limited' } }]);
    t.equal((await scenario.readiness()).status, 200);
    t.equal(await scenario.metric('portcullis_refusals_summed_total'), 283);
    t.equal(await scenario.metric('portcullis_requests_total', { status: '429' }), 282);
    t.equal(upstream.requests.length, 1, 'nothing but the good call came through');

    await gateway.close();
    const seconds = Math.ceil((performance.now() - started) / 1000);
    const records = await scenario.records();
    t.equal(records.filter(({ status }) => status === 401).length, 20);
    const sums = records.filter(({ reason }) => reason === 'rate_limited');
    const record = { client: { address: '127.0.0.1' }, decision: 'deny', outcome: 'refused', status: 429 };
    const summed = { first: '2026-11-23T05:45:00.000Z', last: '2026-11-23T05:45:00.000Z' };
    for (const sum of sums) t.match(sum, { ...record, detail: { summed } });
    t.ok(sums.length > 0 && sums.length <= seconds, `one for each of ${seconds} seconds`);
    t.strictSame(codesOf(sums), { credentials_required: 141, invalid_token: 140, bad_path: 1, bad_request: 1 });
    t.equal((await verifyChain([join(directory, 'audit.jsonl')])).valid, true);
  },
);

t.test('long paths and user agents that have to be escaped: no more bytes than the limit gives', async (t) => {
  const state = { nowMs: frozenMs };
  const scenario = await startScenario(t, { server: { limits } }, { now: () => state.nowMs });
  const { directory, gateway, port } = scenario;
  const size = () => statSync(join(directory, 'audit.jsonl')).size;
  const before = size();
  const long = request(`GET /api/${'a'.repeat(300)}`, [host, `User-Agent: ${'\x9f"'.repeat(200)}`]);
  const connection = await rawConnection(port);
  let asked = 0;
  for (let second = 0; second < 10; second += 1) {
    connection.write(long.repeat(40));
    asked += 40;
    t.equal((await connection.answers(asked)).answers.length, asked);
    state.nowMs += 1000;
  }
  connection.end();
  await gateway.close();
  const seconds = 10;
  t.ok(
    size() - before > 100_000 && size() - before < (1_000_000 / 60) * seconds,
    `${size() - before} bytes for ${asked} requests in 10 seconds`,
  );
});

t.test(
  'through a trusted proxy each client has its own limit, and health and preflights are answered though summed',
  async (t) => {
    const server = { limits, trustedProxies: ['127.0.0.1'], allowedOrigins: ['https://app.example'] };
    const scenario = await startScenario(t, { server }, { now: () => frozenMs });
    const { gateway, port } = scenario;
    const from = (address: string, line = 'GET /api/x', ...headers: string[]) =>
      request(line, [host, `X-Forwarded-For: ${address}`, ...headers]);
    for (const address of ['192.0.2.1', '192.0.2.2'])
      t.strictSame(statuses((await talk(port, from(address).repeat(50), 50)).answers), [
        [401, 20],
        [429, 30],
      ]);
    const health = await talk(port, from('192.0.2.3', 'GET /health').repeat(50), 50);
    t.strictSame(statuses(health.answers), [[200, 50]]);
    const preflight = from(
      '192.0.2.3',
      'OPTIONS /api/x',
      'Origin: https://app.example',
      'Access-Control-Request-Method: GET',
    );
    t.strictSame(statuses((await talk(port, preflight.repeat(10), 10)).answers), [[204, 10]]);
    await gateway.close();
    const records = await scenario.records();
    const of = (address: string) => records.filter(({ client }) => client?.address === address);
    for (const address of ['192.0.2.1', '192.0.2.2'])
      t.equal(of(address).filter(({ status }) => status === 401).length, 20);
    const open = of('192.0.2.3');
    const own = open.filter(({ detail }) => detail === undefined).length;
    t.ok(
      own > 20 && own <= 40,
      `${own} records, a decision and a completion for each, which have more bytes than a refusal`,
    );
    const sums = open.filter(({ detail }) => detail !== undefined);
    for (const { decision, outcome } of sums) t.strictSame([decision, outcome], [undefined, 'completed']);
    t.strictSame(codesOf(sums), { completed: 60 - own / 2 });
  },
);

t.test('handshakes without the certificate that is required: 3 records, and one of the others', async (t) => {
  const server = { limits: { refusalsPerAddress: '3/m' }, tls: { clientCertificates: 'required' } };
  const { gateway, metric, port, records } = await startScenario(t, { server }, { tls: true, now: () => frozenMs });
  for (let index = 0; index < 8; index += 1) {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'localhost' });
    socket.on('error', () => {});
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  await until(
    async () => (await metric('portcullis_requests_total', { status: 'rate_limited' })) === 5,
    'all are counted',
  );
  await gateway.close();
  const found = await records();
  t.equal(found.filter(({ reason }) => reason === 'invalid_certificate').length, 3);
  t.strictSame(codesOf(found.filter(({ reason }) => reason === 'rate_limited')), { invalid_certificate: 5 });
});
