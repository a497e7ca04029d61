// The head of a request and a part of its body arrive with a good credential; then the credential is revoked, expires, or is taken out by a reload; then
// the rest arrives, up to 30 s later. The same in a token exchange or while the record is written.
import t, { type Test } from 'tap';
import { host, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, keyEntry, listDashboards } from '../support/configuration.ts';
import { startTokenEndpoint } from '../support/oauth-endpoints.ts';
import { type RawConnection, rawConnection } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const message = JSON.stringify(toolCall('list_dashboards'));
const half = Math.floor(message.length / 2);

async function begin(t: Test, more: Parameters<typeof startScenario>[1] = {}) {
  let now = Date.now();
  const scenario = await startScenario(
    t,
    {
      revocation: { file: 'revoked.yaml' },
      routes: { '/mcp': { mcp: { rules: [listDashboards] } }, '/ws/*': { websocket: true } },
      ...more,
    },
    { now: () => now, files: { 'revoked.yaml': '{}' }, revocationPollMs: 10 },
  );
  /** Sends the head and half of the body; resolves when the credential has been verified. */
  async function sendHalf(credential: string, path = '/mcp') {
    const client = await rawConnection(scenario.port);
    t.teardown(client.end);
    const length = `Content-Length: ${message.length}`;
    client.write(
      request(`POST ${path}`, [host, credential, 'Content-Type: application/json', length, 'Expect: 100-continue']),
    );
    await client.interim();
    client.write(message.slice(0, half));
    return client;
  }
  /** Sends the rest, and asserts the refusal. */
  async function refusesRest(t: Test, client: RawConnection, code: string, problem: string) {
    const seen = scenario.upstream.requests.length;
    client.write(message.slice(half));
    const answer = (await client.answers()).answers.find(({ status }) => status >= 200)!;
    const { json } = answer;
    t.equal(answer.status, 401);
    t.equal((json?.error as { data?: { code?: string } } | undefined)?.data?.code ?? json?.code, code);
    const records = await scenario.recordsOf({ id: answer.headers['x-request-id']! });
    t.match(records.at(-1), { stage: 'completed', status: 401, reason: code, detail: { credential: { problem } } });
    t.equal(scenario.upstream.requests.length, seen, 'the upstream got nothing');
    return records;
  }
  return {
    ...scenario,
    sendHalf,
    refusesRest,
    pass: (ms: number) => (now += ms),
    async revoke(list: string) {
      const before = (await scenario.records()).length;
      await scenario.write('revoked.yaml', list);
      await scenario.record(({ seq, detail }) => seq > before && detail?.event === 'revocation list taken');
    },
    tokenOf: async (claims: object = {}) =>
      `Authorization: ${(await scenario.bearer({ jti: 'token-1', ...claims })).authorization}`,
  };
}

for (const path of ['/mcp', '/api/x']) {
  t.test(`the rest of a body on ${path} is refused once its credential is no good any more`, async (t) => {
    const scenario = await begin(t);
    const { sendHalf, refusesRest, revoke, pass, tokenOf, reload, upstream } = scenario;
    const good = await sendHalf(withKey, path);
    good.write(message.slice(half));
    await upstream.received(1);
    t.equal(String(upstream.requests[0]!.body), message, 'a good one goes on, whole');

    const removed = await sendHalf(withKey, path);
    const unchanged = await sendHalf(await tokenOf(), path);
    await reload({ authenticators: { keys: { keys: [keyEntry('k2', `${apiKey}2`)] } } });
    await refusesRest(t, removed, 'invalid_api_key', 'not_accepted');
    unchanged.write(message.slice(half));
    await upstream.received(upstream.requests.length + 1);

    await reload();

    const expiring = await sendHalf(await tokenOf({ exp: Math.floor(Date.now() / 1000) + 60 }), path);
    pass(120_000);
    await refusesRest(t, expiring, 'invalid_token', 'expired');

    const [byToken, byKey] = [await sendHalf(await tokenOf(), path), await sendHalf(withKey, path)];
    await revoke('{jti: [token-1], keyIds: [k1]}');
    const records = await refusesRest(t, byToken, 'invalid_token', 'revoked');
    t.equal(
      records[0]!.stage,
      path === '/mcp' ? 'completed' : 'decided',
      'refused before the decision, where there is a message to judge',
    );
    await refusesRest(t, byKey, 'invalid_api_key', 'revoked');
  });
}

t.test('what is revoked while its token is exchanged is refused before its decision is recorded', async (t) => {
  const endpoint = await startTokenEndpoint();
  t.teardown(endpoint.close);
  const exchange = {
    authenticator: 'corp',
    endpoint: endpoint.endpoint,
    clientId: 'gateway',
    clientSecret: 's',
    audience: 'superset',
  };
  const { upstream, revoke, as, recordsOf } = await begin(t, {
    revocation: { file: 'revoked.yaml' },
    upstreams: { superset: { identity: { exchange } } },
    routes: [{ path: '/mcp', mcp: { rules: [listDashboards] } }],
  });
  const release = endpoint.hold();
  const caller = await as({ claims: { jti: 'token-1' } });
  const asking = caller.call('list_dashboards');
  await until(() => endpoint.questions.length === 1);
  await revoke('{jti: [token-1]}');
  release();
  const answer = await asking;
  t.equal(answer.status, 401);
  t.equal(upstream.requests.length, 0);
  t.match(await recordsOf(answer), [
    { stage: 'completed', outcome: 'refused', reason: 'invalid_token', detail: { credential: { problem: 'revoked' } } },
  ]);
});
