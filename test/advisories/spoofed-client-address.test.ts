// GHSA-444r-cwp2-x5xf, CVE-2026-3635 (fastify trustProxy) and GHSA-jqcg-44mw-7w3h (proxy-addr): X-Forwarded-For from anybody, or by counting hops,
// gives a caller the address it likes, and with it what is allowed to that address.
import t from 'tap';
import { codeOf, host, request, withKey } from '../support/attack.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

t.test(
  'a forwarded address counts from configured proxies only, and then the last one they did not write',
  async (t) => {
    const scenario = await startScenario(t, {
      authenticators: { keys: { keys: [keyEntry('k1', apiKey, { networks: ['10.0.0.0/8'] })] } },
      routes: [{ path: '/x', authenticate: 'keys' }],
    });
    const { upstream } = scenario;
    const from = async (...headers: string[]) =>
      (await talk(scenario.port, request('GET /x', [host, withKey, ...headers]))).answers[0]!;
    const spoofs = [
      'X-Forwarded-For: 10.0.0.1',
      'Forwarded: for=10.0.0.1',
      'X-Real-IP: 10.0.0.1',
      'X-Client-IP: 10.0.0.1',
      'True-Client-IP: 10.0.0.1',
    ];
    for (const spoof of spoofs) {
      const answer = await from(spoof);
      t.match({ status: answer.status, code: codeOf(answer) }, { status: 401, code: 'invalid_api_key' }, spoof);
    }
    t.match((await scenario.record(({ reason }) => reason === 'invalid_api_key')).client, { address: '127.0.0.1' });
    t.equal(upstream.requests.length, 0);

    await scenario.reload({ server: { trustedProxies: ['127.0.0.1/32'] } });
    t.equal((await from('X-Forwarded-For: 10.0.0.1, 192.0.2.9')).status, 401, 'the caller wrote the first');
    t.equal((await from('X-Forwarded-For: 10.0.0.1, garbage')).status, 401);
    t.equal((await from('X-Forwarded-For: 10.0.0.1', 'X-Forwarded-For: 192.0.2.9')).status, 401, 'in two headers');
    t.equal((await from('X-Forwarded-For: 192.0.2.9, 10.0.0.1')).status, 200, 'the proxy wrote the last');
    t.same(upstream.requests[0]?.header('x-forwarded-for'), ['10.0.0.1']);
  },
);
