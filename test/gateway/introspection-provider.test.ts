// Introspection against an authorization server that others wrote (oidc-provider): opaque tokens, both ways of client authentication, revocation.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';
import t from 'tap';
import { assertRefused, attack, host, post, type Scene, toolCall } from '../support/attack.ts';
import { startTestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startUpstream } from '../support/upstream.ts';

const resource = 'https://mcp.example.com/mcp';
const http = { method: 'POST', path: '/mcp' };
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const agent = { id: 'ai_agent_prod', secret: 'agent/secret+with:signs' };

let handle: RequestListener = (_request, response) => void response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
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

const asSecret = 'clientId: gateway-secret, clientSecret: "a secret: with % and u"';
const yaml = (client: string) => `version: 1
server: {listen: 127.0.0.1:0, publicUrl: https://mcp.example.com}
admin: {listen: "127.0.0.1:0"}
authenticators:
  partner: {type: introspection, endpoint: "${issuer}/token/introspection", issuer: "${issuer}", cacheFor: 0s, ${client}}
upstreams: {up: {url: "${upstream.url}"}}
routes:
  - {path: /mcp, upstream: up, authenticate: partner, mcp: {rules: [{allow: {tools: [list_dashboards]}, require: {scopes: [dashboards:read]}}]}}
`;
const upstream = await startUpstream();
const gateway = await startTestGateway({
  yaml: yaml(asSecret),
  files: { 'gateway.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
});
const scene: Scene = { gateway, upstream, issuer: await createFakeIssuer() };
t.teardown(async () => {
  await gateway.close();
  await Promise.all([upstream.close(), scene.issuer.close()]);
  server.close();
  server.closeAllConnections();
});

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
  attack(scene, post(toolCall('list_dashboards'), [host, `Authorization: Bearer ${token}`]));

for (const [how, client] of Object.entries({
  client_secret_basic: asSecret,
  client_secret_post: `${asSecret}, clientAuthentication: client_secret_post`,
  private_key_jwt: 'clientId: gateway-key, clientKeyFile: gateway.pem, clientKeyId: gateway-1',
})) {
  t.test(`a token by ${how}: let in, for this resource and with its scopes, until it is revoked`, async (t) => {
    await gateway.reload(yaml(client));
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
  await gateway.reload(yaml('clientId: gateway-secret, clientSecret: wrong'));
  const result = await send(await obtain());
  assertRefused(t, 'wrong secret', result, { status: 503, code: 'idp_unavailable', http });
  t.match(result.record.detail, { credential: { problem: 'introspection', outcome: 'status' } });
});
