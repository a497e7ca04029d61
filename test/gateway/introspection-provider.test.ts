// Introspection against an authorization server that others wrote (oidc-provider): opaque tokens, both ways of client authentication, revocation.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';
import t from 'tap';
import { assertRefused, attack, host, post } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const resource = 'https://mcp.example.com/mcp';
const http = { method: 'POST', path: '/mcp' };
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const agent = { id: 'ai_agent_prod', secret: 'agent/secret+with:signs' };

let handle: RequestListener = (_request, response) => void response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
t.teardown(() => {
  server.close();
  server.closeAllConnections();
});
const machine = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };
const provider = new Provider(issuer, {
  clients: [
    { ...machine, client_id: agent.id, client_secret: agent.secret, scope: 'dashboards:read queries:execute' },
    { ...machine, client_id: 'gateway-secret', client_secret: 'a secret: with % and u' },
    {
      ...machine,
      client_id: 'gateway-key',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: {
        keys: [{ ...privateKey.export({ format: 'jwk' }), d: undefined, kid: 'gateway-1', use: 'sig', alg: 'ES256' }],
      },
    },
  ],
  scopes: ['dashboards:read', 'queries:execute'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    revocation: { enabled: true, allowedPolicy: () => true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context: unknown, audience: string) => ({
        scope: 'dashboards:read queries:execute',
        audience,
        accessTokenFormat: 'opaque',
      }),
    },
  },
  ttl: { ClientCredentials: 60 },
});
handle = provider.callback();

const partner = { type: 'introspection', endpoint: `${issuer}/token/introspection`, issuer, cacheFor: '0s' };
const asSecret = { clientId: 'gateway-secret', clientSecret: 'a secret: with % and u' };
const scenario = await startScenario(
  t,
  {
    authenticators: { partner: { ...partner, ...asSecret } },
    routes: [{ path: '/mcp', authenticate: 'partner', mcp: { rules: [listDashboards] } }],
  },
  { files: { 'gateway.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() } },
);

async function ask(path: string, form: Record<string, string>): Promise<Response> {
  const credentials = `${encodeURIComponent(agent.id)}:${encodeURIComponent(agent.secret)}`;
  return fetch(issuer + path, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    body: new URLSearchParams(form),
  });
}

async function obtain(more: Record<string, string> = {}): Promise<string> {
  const form = { grant_type: 'client_credentials', scope: 'dashboards:read', resource, ...more };
  const { access_token: token } = (await (await ask('/token', form)).json()) as { access_token?: string };
  if (token === undefined) throw new Error('no token');
  return token;
}

const send = (token: string) =>
  attack(scenario, post(toolCall('list_dashboards'), [host, `Authorization: Bearer ${token}`]));

for (const [how, client] of Object.entries({
  client_secret_basic: asSecret,
  client_secret_post: { ...asSecret, clientAuthentication: 'client_secret_post' },
  private_key_jwt: { clientId: 'gateway-key', clientKeyFile: 'gateway.pem', clientKeyId: 'gateway-1' },
})) {
  t.test(`a token by ${how}: let in, for this resource and with its scopes, until it is revoked`, async (t) => {
    await scenario.reload({ authenticators: { partner: { ...partner, ...client } } });
    const token = await obtain();
    t.notMatch(token, /\./, 'opaque');
    const good = await send(token);
    t.equal(good.answer.status, 200);
    t.match(good.record, {
      principal: { issuer, clientId: agent.id, subject: agent.id },
      scopes: { granted: ['dashboards:read'] },
    });
    const elsewhere = await send(await obtain({ resource: 'https://other.example.com/mcp' }));
    assertRefused(t, 'for another resource', elsewhere, { status: 401, code: 'invalid_token', http });
    t.match(elsewhere.record.detail, { credential: { problem: 'audience' } });
    const weak = await send(await obtain({ scope: 'queries:execute' }));
    assertRefused(t, 'with another scope', weak, { status: 403, code: 'insufficient_scope', http });
    t.equal((await ask('/token/revocation', { token })).status, 200);
    const revoked = await send(token);
    assertRefused(t, 'revoked', revoked, { status: 401, code: 'invalid_token', http });
    t.match(revoked.record.detail, { credential: { problem: 'inactive' } });
  });
}

t.test('a gateway that the server does not know gets no answer, and lets nobody in', async (t) => {
  await scenario.reload({ authenticators: { partner: { clientSecret: 'wrong' } } });
  const result = await send(await obtain());
  assertRefused(t, 'wrong secret', result, { status: 503, code: 'idp_unavailable', http });
  t.match(result.record.detail, { credential: { problem: 'introspection', outcome: 'status' } });
});
