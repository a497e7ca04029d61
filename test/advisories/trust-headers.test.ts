// Applications behind other proxies take the person from a header that only that proxy may set: `Cf-Access-Authenticated-User-Email`, `X-WEBAUTH-USER`,
// `X-Amzn-Oidc-Identity`, `X-MS-Client-Principal`, `Tailscale-User-Login`, `ssl-client-s-dn`. A client sends it through this gateway, which knows only
// its own names, and is whoever he likes.
import t from 'tap';
import { listDashboards } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const trusted = [
  'cf-access-authenticated-user-email',
  'cf-access-jwt-assertion',
  'cf-connecting-ip',
  'ssl-client-cert',
  'ssl-client-s-dn',
  'x-ssl-client-verify',
  'x-webauth-user',
  'x-amzn-oidc-identity',
  'x-amzn-oidc-data',
  'x-ms-client-principal',
  'x-ms-client-principal-name',
  'x-goog-authenticated-user-email',
  'x-goog-iap-jwt-assertion',
  'tailscale-user-login',
  'x-pomerium-jwt-assertion',
  'x-vouch-user',
  'x-authentik-username',
  'x-consumer-username',
  'x-user',
  'x-email',
  'x-groups',
  'x-client-ip',
  'true-client-ip',
  'fly-client-ip',
  'impersonate-user',
  'x-remote-group',
  'x-envoy-original-path',
  'destination',
  'from',
  'via',
];

t.test('trust headers of other stacks are dropped on path and MCP routes, unless the route names them', async (t) => {
  const { agent, upstream } = await startScenario(t, {
    routes: {
      '/api/*': {},
      '/named/*': { authenticate: 'none', forwardHeaders: ['x-user', 'X-Amzn-Oidc-Identity'] },
      '/mcp': { mcp: { rules: [listDashboards], forwardHeaders: ['x-user'] } },
    },
  });
  const headers = { ...Object.fromEntries(trusted.map((name) => [name, 'admin'])), 'accept-language': 'de' };
  const arrived = (): string[] => {
    const { rawHeaders } = upstream.requests.at(-1)!;
    return rawHeaders.filter((_, index) => rawHeaders[index + 1] === 'admin').map((name) => name.toLowerCase());
  };
  t.equal((await agent.send({ path: '/api/x', headers })).status, 200);
  t.same(arrived(), []);
  t.same(upstream.requests.at(-1)!.header('accept-language'), ['de']);
  t.equal((await agent.call('list_dashboards', {}, { headers })).status, 200);
  t.same(arrived(), ['x-user']);
  t.equal((await agent.send({ path: '/named/x', headers })).status, 200);
  t.same(arrived().sort(), ['x-amzn-oidc-identity', 'x-user']);
});
