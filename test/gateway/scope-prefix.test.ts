// Scopes that are asked for by another name than tokens have (`api://APP/x` and `x`).
import t from 'tap';
import { listDashboards } from '../support/configuration.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { startScenario } from '../support/scenario.ts';

const partner = await startIntrospection();
t.teardown(partner.close);
const scenario = await startScenario(
  t,
  {
    authenticators: {
      corp: { scopePrefix: 'api://APP/' },
      partner: partner.authenticator,
    },
    routes: {
      '/mcp': {
        authenticate: { anyOf: ['corp', 'partner', 'keys'] },
        mcp: {
          challengeScopes: ['dashboards:read', 'openid', 'https://other.example/scope'],
          rules: [
            listDashboards,
            { allow: { tools: ['execute_sql'] }, require: { scopes: ['queries:execute', 'openid'] } },
          ],
        },
      },
      '/api/*': { authenticate: 'partner' },
    },
  },
  { inject: true },
);
const scopeOf = (challenge: unknown) => /scope="([^"]*)"/.exec(String(challenge))?.[1];

t.test('issuers whose scopes are asked for by another name: challenges and metadata have the long names', async (t) => {
  const first = await scenario.anybody.call('list_dashboards');
  t.equal(first.status, 401);
  const long = 'api://APP/dashboards:read openid https://other.example/scope';
  t.equal(scopeOf(first.headers['www-authenticate']), long);

  const stepUp = await scenario.agent.call('execute_sql');
  t.match(stepUp, { status: 403 });
  t.equal(scopeOf(stepUp.headers['www-authenticate']), 'api://APP/queries:execute openid');
  t.match(JSON.parse(stepUp.text), { error: { data: { scopes: ['openid'] } } }, 'the missing one, as rules name it');
  t.match(await scenario.recordOf(stepUp), {
    decision: 'deny',
    reason: 'insufficient_scope',
    scopes: { required: ['queries:execute', 'openid'], missing: ['openid'] },
  });

  const expired = await scenario.as({ claims: { exp: 1 } });
  t.equal(scopeOf((await expired.call('list_dashboards')).headers['www-authenticate']), long);
  const metadata = await scenario.anybody.send({ path: '/.well-known/oauth-protected-resource/mcp' });
  t.same(JSON.parse(metadata.text).scopes_supported, long.split(' '));
  t.equal(scenario.upstream.requests.length, 0);
});

t.test('a token of an issuer without a prefix is told the short names', async (t) => {
  partner.answers.set('opaque', { active: true, aud: 'https://mcp.example.com/mcp', client_id: 'c', scope: 'openid' });
  const other = await scenario.as({ headers: { authorization: 'Bearer opaque' } });
  const stepUp = await other.call('execute_sql');
  t.equal(scopeOf(stepUp.headers['www-authenticate']), 'queries:execute openid');
  const elsewhere = await scenario.anybody.send({ path: '/api/x' });
  t.equal(scopeOf(elsewhere.headers['www-authenticate']), 'dashboards:read');
  t.equal(scenario.upstream.requests.length, 0);
});

t.test('tokens have the short names, and nothing else counts', async (t) => {
  const caller = scenario.connect();
  const send = async (scope: string) =>
    (
      await caller.post(
        { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_dashboards', arguments: {} } },
        { headers: await scenario.bearer({ scope }) },
      )
    ).status;
  t.equal(await send('dashboards:read'), 200);
  t.equal(await send('api://APP/dashboards:read'), 403);
  t.equal(scenario.upstream.requests.length, 1);
});
