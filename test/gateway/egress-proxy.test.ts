// Issuers with a private authority that are reached only through an HTTP proxy: keys, introspection and exchange, and a proxy that fails.
import t from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { assertRefused, attack, host, post, request } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startIntrospection, startTokenEndpoint } from '../support/oauth-endpoints.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const hostname = 'idp.corp.example';
const authority = await createCertificateAuthority({ commonName: 'Corporate' });
const stranger = await createCertificateAuthority({ commonName: 'Stranger' });
const tlsFrom = async (issuing: typeof authority) => {
  const { certificatePem, keyPem } = await issuing.issue({
    commonName: hostname,
    dnsNames: [hostname, 'localhost'],
    server: true,
  });
  return { cert: certificatePem, key: keyPem };
};
const tls = await tlsFrom(authority);
const proxy = await startConnectProxy();
const issuer = await createFakeIssuer({ hostname, tls });
const partner = await startIntrospection({ tls });
const exchange = await startTokenEndpoint({ tls });
const upstream = await startUpstream({ tls });
const impostor = await startUpstream({ tls: await tlsFrom(stranger) });
for (const server of [proxy, issuer, partner, exchange, upstream, impostor]) t.teardown(server.close);

/** The address by the name that only the proxy can reach. */
const named = (url: string) => url.replace(/^https:\/\/[^:/]+/, `https://${hostname}`);
const clock = { now: Date.now() };
const client = { clientId: 'portcullis', clientSecret: 's3cret' };
proxy.credentials = 'gateway:pr0xy';
const egressProxy = `http://${proxy.credentials}@127.0.0.1:${proxy.port}`;
const localUpstream = `https://localhost:${new URL(upstream.url).port}`;

const scenario = await startScenario(
  t,
  {
    server: { egressProxy },
    authenticators: {
      corp: { type: 'jwt', issuer: issuer.issuer, caFile: 'corporate.crt' },
      partner: {
        type: 'introspection',
        endpoint: named(partner.endpoint),
        issuer: 'https://partner.example/',
        caFile: 'corporate.crt',
        ...client,
      },
    },
    upstreams: {
      superset: {
        url: localUpstream,
        tls: { caFile: 'corporate.crt' },
        identity: {
          exchange: { authenticator: 'corp', endpoint: named(exchange.endpoint), audience: 'superset', ...client },
        },
      },
      plain: { url: localUpstream, tls: { caFile: 'corporate.crt' } },
    },
    routes: [
      { path: '/exchanged', resource: 'https://mcp.example.com/mcp' },
      {
        path: '/mcp',
        upstream: 'plain',
        authenticate: { anyOf: ['corp', 'partner'] },
        mcp: { rules: [listDashboards] },
      },
    ],
  },
  {
    issuer,
    upstream,
    files: { 'corporate.crt': authority.certificatePem, 'stranger.crt': stranger.certificatePem },
    now: () => clock.now,
    logToFile: true,
  },
);

function opaque(name: string): string {
  const token = name.replaceAll(/[^a-z]/g, '-');
  partner.answers.set(token, {
    active: true,
    aud: 'https://mcp.example.com/mcp',
    client_id: 'ai_agent_prod',
    scope: 'dashboards:read',
  });
  return token;
}
const callWith = (token: string) =>
  attack(scenario, post(toolCall('list_dashboards'), [host, `Authorization: Bearer ${token}`]));
const portOf = (url: string) => new URL(url).port;

t.test(
  'issuers with a private authority, reached only through an HTTP proxy: keys, introspection and exchange',
  async (t) => {
    t.equal((await callWith(await scenario.token({}, { now: clock.now }))).answer.status, 200, 'discovery and keys');
    t.equal((await callWith(opaque('first'))).answer.status, 200, 'introspection');
    const exchanged = await attack(
      scenario,
      request('GET /exchanged', [host, `Authorization: Bearer ${await scenario.token({}, { now: clock.now })}`]),
    );
    t.equal(exchanged.answer.status, 200, 'exchange, with the caFile of its authenticator');
    t.same(exchanged.forwarded[0]?.header('authorization'), ['Bearer issued-1']);
    const asked = new Set(proxy.tunnels);
    t.same(
      asked,
      new Set([issuer.issuer, partner.endpoint, exchange.endpoint].map((url) => `${hostname}:${portOf(url)}`)),
    );
    t.notMatch([...asked].join(), portOf(upstream.url), 'upstreams never go through it');
  },
);

t.test('a proxy that is down, refuses or lies: 503 with a named outcome, and back', async (t) => {
  const cases = [
    [
      'needs credentials (407)',
      { credentials: 'other:one' },
      'proxy',
      /the proxy http:\/\/127\.0\.0\.1:\d+ answered 407/,
    ],
    ['refuses (403)', { fault: 'refuses' }, 'proxy', /the proxy http:\/\/127\.0\.0\.1:\d+ answered 403/],
    ['speaks no HTTP', { fault: 'no HTTP' }, 'proxy', /the proxy http:\/\/127\.0\.0\.1:\d+ failed: /],
    [
      'leads elsewhere',
      { fault: 'elsewhere' },
      'connection',
      /through the proxy http:\/\/127\.0\.0\.1:\d+ could not be reached: .*certificate/,
    ],
  ] as const;
  proxy.elsewhere = Number(portOf(impostor.url));
  const counted = (outcome: string) =>
    scenario.metric('portcullis_introspection_requests_total', { authenticator: 'partner', outcome });
  for (const [name, how, outcome, said] of cases) {
    await scenario.reload({ authenticators: { partner: { clientSecret: name } } });
    const { credentials } = proxy;
    Object.assign(proxy, how);
    const before = await counted(outcome);
    const result = await callWith(opaque(name));
    assertRefused(t, name, result, { status: 503, code: 'idp_unavailable', http: { method: 'POST', path: '/mcp' } });
    t.match(result.record.detail, { credential: { problem: 'introspection', outcome } }, name);
    t.equal(await counted(outcome), before + 1, name);
    await until(async () => said.test(await scenario.log()), name);
    t.match((await callWith(opaque(name))).record.detail, { credential: { outcome: 'cooldown' } }, 'an outage');
    Object.assign(proxy, { credentials, fault: undefined });
    clock.now += 5000;
    t.equal((await callWith(opaque(name))).answer.status, 200, `${name}: and back`);
  }
  t.equal(impostor.requests.length, 0, 'the wrong server got nothing');

  await scenario.reload({ server: { egressProxy: 'http://127.0.0.1:1' } });
  const down = await callWith(opaque('down'));
  t.match(down, { code: 'idp_unavailable', forwarded: [] });
  t.match(down.record.detail, { credential: { outcome: 'proxy' } });
  t.notMatch(await scenario.log(), 'pr0xy', 'the password of the proxy is nowhere');
});

t.test('caFile and egressProxy are reloaded, and HTTPS_PROXY is the default', async (t) => {
  await scenario.reload({ authenticators: { partner: { caFile: 'stranger.crt' } } });
  t.match((await callWith(opaque('wrong authority'))).record.detail, { credential: { outcome: 'connection' } });
  await scenario.reload();
  t.equal((await callWith(opaque('right again'))).answer.status, 200);

  const byEnvironment = await startScenario(
    t,
    { authenticators: { corp: { type: 'jwt', issuer: issuer.issuer, caFile: 'corporate.crt' } } },
    { issuer, env: { HTTPS_PROXY: egressProxy }, files: { 'corporate.crt': authority.certificatePem } },
  );
  t.equal((await byEnvironment.agent.call('list_dashboards')).status, 200);
});
