// A stranger sends hundreds of random opaque tokens at once. Each is a question to the authorization server, and while those fill the queue the good
// tokens of everybody else cannot be verified either.
import t from 'tap';
import { createInjectingClient, toolCall } from '../../support/client.ts';
import { listDashboards } from '../../support/configuration.ts';
import { startIntrospection } from '../../support/oauth-endpoints.ts';
import { startScenario } from '../../support/scenario.ts';
import { until } from '../../support/until.ts';

const clock = { now: Date.now() };
const partner = await startIntrospection();
t.teardown(partner.close);
const scenario = await startScenario(
  t,
  {
    server: { trustedProxies: ['127.0.0.1/32'] },
    authenticators: {
      partner: partner.authenticator,
    },
    routes: { '/mcp': { authenticate: 'partner', mcp: { rules: [listDashboards] } } },
  },
  { now: () => clock.now },
);
const stranger = createInjectingClient(scenario.gateway.app);

function knowToPartner(token: string): void {
  partner.answers.set(token, {
    active: true,
    aud: 'https://mcp.example.com/mcp',
    sub: 'anna',
    client_id: 'ai_agent_prod',
    scope: 'dashboards:read',
    exp: Math.floor(clock.now / 1000) + 3600,
  });
}
const from = (address: string, token: string) => ({
  headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': address },
});
const listAs = async (address: string, token: string) =>
  (await scenario.as({ ...from(address, token), connections: 1 })).call('list_dashboards');
const tokens = Array.from({ length: 400 }, (_, index) => `random-${index}`);
const flood = (shown = tokens) =>
  Promise.all(shown.map((token) => stranger.post(toolCall('list_dashboards'), from('192.0.2.1', token))));

t.test('400 random opaque tokens at once: new good tokens get through, and what is known goes first', async (t) => {
  for (const token of ['known', 'new', 'neighbour']) knowToPartner(token);
  t.equal((await listAs('192.0.2.1', 'known')).status, 200);
  clock.now += 31_000;

  const release = partner.hold();
  const flooding = flood();
  await until(() => partner.questions.length === 1 + 16);
  const good = [listAs('198.51.100.7', 'new'), listAs('2001:db8::1', 'neighbour'), listAs('192.0.2.1', 'known')];
  await until(() => partner.questions.length === 1 + 16 + 3);
  t.same(partner.tokens().slice(17).sort(), ['known', 'neighbour', 'new'], 'asked at once, before what waits');
  release();
  const statuses = (await Promise.all(good)).map(({ status }) => status);
  t.same(statuses, [200, 200, 200]);

  const refused = await flooding;
  t.ok(
    refused.every(({ status }) => status === 401 || status === 429),
    'nobody else is told that the server is busy',
  );
  t.equal(scenario.upstream.requests.length, 4, 'the upstream got the good ones alone');
  t.match(await scenario.recordOf(refused[0]!), {
    decision: 'deny',
    reason: 'invalid_token',
    client: { address: '192.0.2.1' },
    detail: { credential: { problem: 'inactive' } },
  });
});

t.test('the same tokens again are not asked about, but for a short time only', async (t) => {
  const asked = partner.questions.length;
  await flood(tokens.slice(0, 40));
  t.equal(partner.questions.length, asked);
  knowToPartner(tokens[0]!);
  clock.now += 2000;
  t.equal((await listAs('198.51.100.7', tokens[0]!)).status, 200, 'a token that became active is taken soon');
});
