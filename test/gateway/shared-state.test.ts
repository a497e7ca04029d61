// State that replicas share, through running gateways and a server of Redis's protocol: proofs, nonces, outages, reloads.
import t, { type Test } from 'tap';
import { createDpopKey } from '../support/dpop.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startRespServer } from '../support/resp-server.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const [server, upstream, issuer, key] = await Promise.all([
  startRespServer(),
  startUpstream(),
  createFakeIssuer(),
  createDpopKey(),
]);
t.teardown(() => Promise.all([server.close(), upstream.close(), issuer.close()]));
const resource = 'https://mcp.example.com/api';
const url = `${resource}/dashboards`;
const token = await issuer.token({ aud: resource, ...key.binding });
const proof = (options: object = {}) => key.proof({ token, method: 'GET', url, ...options });
const state = { redis: { url: server.url } };
/** A port at which nobody listens. */
const nowhere = await startRespServer();
await nowhere.stop();

/** One of several replicas. */
async function startReplica(t: Test, changes: object = {}) {
  const scenario = await startScenario(t, { state, ...changes }, { upstream, issuer, logToFile: true });
  return {
    ...scenario,
    async present(dpop: string) {
      const seen = upstream.requests.length;
      const answer = await scenario.anybody.send({
        method: 'GET',
        path: '/api/dashboards',
        headers: { authorization: `DPoP ${token}`, dpop },
      });
      const { code = 'ok' } = answer.status < 400 ? {} : (JSON.parse(answer.text) as { code: string });
      return {
        outcome: `${answer.status} ${code}`,
        nonce: answer.headers['dpop-nonce'],
        retryAfter: answer.headers['retry-after'],
        record: await scenario.recordOf(answer),
        forwarded: upstream.requests.length - seen,
      };
    },
  };
}

t.test('a proof is good once at all replicas together, and a nonce is good at each', async (t) => {
  const changes = { authenticators: { corp: { dpop: { nonce: 'required' } } } };
  const [one, another] = [await startReplica(t, changes), await startReplica(t, changes)];
  const first = await one.present(await proof());
  t.match(first, { outcome: '401 invalid_token', forwarded: 0 });
  const answered = await proof({ nonce: String(first.nonce) });
  t.match(await another.present(answered), { outcome: '200 ok', forwarded: 1 }, 'with the nonce of the other');
  const stolen = await one.present(answered);
  t.match(stolen, { outcome: '401 invalid_token', forwarded: 0 });
  t.match(stolen.record.detail, { credential: { problem: 'proof_replayed' } });
  t.match(await one.status(), { state: { kind: 'redis', available: true, onFailure: 'refuse' } });
  t.equal(await one.metric('portcullis_state_available'), 1);
});

t.test('while the server fails, what needs it is refused and everything else goes on, in one outage', async (t) => {
  const replica = await startReplica(t);
  server.script = () => "-READONLY You can't write against a read only replica.\r\n";
  for (let count = 0; count < 4; count += 1) {
    const refused = await replica.present(await proof());
    t.match(refused, { outcome: '503 state_unavailable', retryAfter: '1', forwarded: 0 });
    t.match(refused.record, { reason: 'state_unavailable', decision: 'deny', status: 503, outcome: 'refused' });
    t.match(refused.record.detail, { state: { problem: 'read_only' } });
  }
  t.equal(await replica.metric('portcullis_limits_state_failures_total'), 4);
  t.equal(await replica.metric('portcullis_state_failures_total', { outcome: 'read_only' }), 4);
  t.equal(await replica.metric('portcullis_state_available'), 0);
  t.equal((await replica.reporting.call('list_dashboards')).status, 200, 'a key needs no state');
  t.equal((await replica.agent.call('list_dashboards')).status, 200, 'nor does a token that is bound to nothing');
  t.equal((await replica.readiness()).status, 200);
  t.match(await replica.status(), { state: { available: false, problem: 'read_only' } });
  server.script = undefined;
  await until(async () => (await replica.status()).state?.available === true, 'the outage is over');
  t.match(await replica.present(await proof()), { outcome: '200 ok', forwarded: 1 });
  const records = await replica.matchingRecords(2, ({ detail }) => /^state /.test(String(detail?.event)));
  t.same(
    records.map(({ detail, stage }) => [stage, detail]),
    [
      ['config', { event: 'state unavailable', problem: 'read_only', onFailure: 'refuse' }],
      ['config', { event: 'state available' }],
    ],
  );
  const log = await replica.log();
  t.equal(log.match(/the shared state is unavailable, what needs it is refused: the server is a replica/g)?.length, 1);
  t.equal(log.match(/the shared state is available again/g)?.length, 1);
});

t.test(
  'a start while the server is away is served by onFailure, and a reload opens the new server and closes the old one',
  async (t) => {
    const away = { redis: { url: nowhere.url } };
    const replica = await startReplica(t, { state: { ...away, onFailure: 'local' } });
    t.match(await replica.status(), { state: { available: false, problem: 'unreachable', onFailure: 'local' } });
    const once = await proof();
    t.match(await replica.present(once), { outcome: '200 ok', forwarded: 1 });
    t.equal(await replica.metric('portcullis_limits_state_failures_total'), 1);
    t.match(await replica.present(once), { outcome: '401 invalid_token', forwarded: 0 }, 'each process by itself');
    t.match(
      await replica.log(),
      /the shared state is unavailable, each process is by itself: the connection cannot be made/,
    );

    await replica.reload({ state: { ...away, onFailure: 'refuse' } });
    t.match(await replica.present(await proof()), { outcome: '503 state_unavailable', forwarded: 0 });
    const open = server.connections();
    await replica.reload({ state: { ...state, onFailure: 'refuse' } });
    t.match(await replica.status(), { state: { available: true } });
    t.equal(server.connections(), open + 1);
    t.match(
      await replica.present(once),
      { outcome: '401 invalid_token', forwarded: 0 },
      'what was used before stays used',
    );
    t.match(await replica.present(await proof()), { outcome: '200 ok', forwarded: 1 });
    await replica.reload({ state: { ...state, onFailure: 'refuse' }, scopeImplies: { a: ['b'] } });
    t.equal(server.connections(), open + 1, 'a reload of something else keeps the connection');
    await replica.reload({ state: undefined });
    t.equal((await replica.status()).state, undefined);
    t.notMatch(await replica.metrics(), /^portcullis_state_available/m);
    await until(() => server.connections() === open, 'the connection ends');
    t.match(await replica.present(await proof()), { outcome: '200 ok', forwarded: 1 });
  },
);

t.test('an address that guesses keys at one replica has used up its rate at the others too', async (t) => {
  const replica = await startReplica(t, { server: { limits: { refusalsPerAddress: '100000/h' } } });
  const counted = () => server.commands.filter(([, key]) => key?.startsWith('portcullis:limit:#refusals:')).length;
  const before = counted();
  const guess = () =>
    replica.anybody.send({ method: 'GET', path: '/api/x', headers: { 'x-api-key': `sk_${'g'.repeat(43)}` } });
  t.equal((await guess()).status, 401);
  await until(() => counted() === before + 1, 'the refusal is counted');
  server.script = ([, key]) =>
    key?.startsWith('portcullis:limit:#refusals:') ? '*2\r\n:100001\r\n:720000\r\n' : undefined;
  t.equal((await guess()).status, 401, 'far from used up here');
  const seen = upstream.requests.length;
  await until(async () => (await guess()).status === 429, 'the others have told');
  t.equal(upstream.requests.length, seen);
  t.equal((await replica.reporting.call('list_dashboards')).status, 200, 'a good key of that address is served');
  t.ok(await replica.metric('portcullis_refusals_summed_total'));
});
