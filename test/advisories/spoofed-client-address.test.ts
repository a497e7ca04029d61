// GHSA-444r-cwp2-x5xf, CVE-2026-3635 (fastify trustProxy) and GHSA-jqcg-44mw-7w3h (proxy-addr): X-Forwarded-For from anybody, or by counting hops,
// gives a caller the address it likes, and with it what is allowed to that address.
import t from 'tap';
import { codeOf, host, keyEntry, request } from '../support/attack.ts';
import { startTestGateway } from '../support/gateway.ts';
import { talk } from '../support/raw-http.ts';
import { startUpstream } from '../support/upstream.ts';

t.test(
  'a forwarded address counts from configured proxies only, and then the last one they did not write',
  async (t) => {
    const upstream = await startUpstream();
    const key = `sk_${'n'.repeat(43)}`;
    const yaml = (server: string) => `version: 1
server: {listen: "127.0.0.1:0", publicUrl: "https://mcp.example.com"${server}}
admin: {listen: "127.0.0.1:0"}
authenticators: {keys: {type: apiKey, keys: [${keyEntry('k1', key, ', networks: [10.0.0.0/8]')}]}}
upstreams: {up: {url: "${upstream.url}"}}
routes: [{path: /x, upstream: up, authenticate: keys}]
`;
    const gateway = await startTestGateway({ yaml: yaml('') });
    t.teardown(async () => {
      await gateway.close();
      await upstream.close();
    });
    const from = async (...headers: string[]) =>
      (await talk(gateway.port, request('GET /x', [host, `Authorization: Bearer ${key}`, ...headers]))).answers[0]!;
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
    t.match((await gateway.record(({ reason }) => reason === 'invalid_api_key')).client, { address: '127.0.0.1' });
    t.equal(upstream.requests.length, 0);

    await gateway.reload(yaml(', trustedProxies: [127.0.0.1/32]'));
    t.equal((await from('X-Forwarded-For: 10.0.0.1, 192.0.2.9')).status, 401, 'the caller wrote the first');
    t.equal((await from('X-Forwarded-For: 10.0.0.1, garbage')).status, 401);
    t.equal((await from('X-Forwarded-For: 10.0.0.1', 'X-Forwarded-For: 192.0.2.9')).status, 401, 'in two headers');
    t.equal((await from('X-Forwarded-For: 192.0.2.9, 10.0.0.1')).status, 200, 'the proxy wrote the last');
    t.same(upstream.requests[0]?.header('x-forwarded-for'), ['10.0.0.1']);
  },
);
