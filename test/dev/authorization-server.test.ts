// The development authorization server: grants, registration, log-in and redirects.
import { request } from 'node:http';
import {
  discoverAuthorizationServerMetadata,
  exchangeAuthorization,
  refreshAuthorization,
  registerClient,
  startAuthorization,
} from '@modelcontextprotocol/sdk/client/auth.js';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose';
import t from 'tap';
import { startAuthorizationServer } from '../../src/dev/authorization-server.ts';
import { approve } from './browser.ts';

const resource = 'https://localhost:8443/mcp';
const other = 'https://localhost:8443/api/dashboards';
const agent = { clientId: 'ai_agent_prod', clientSecret: 's3cr:et/+', scopes: ['dashboards:read', 'queries:execute'] };
const printed = [t.capture(console, 'info'), t.capture(console, 'warn'), t.capture(console, 'error')];
const server = await startAuthorizationServer({
  resources: [resource, other],
  scopes: ['dashboards:read', 'dashboards:write', 'queries:read', 'queries:execute', 'exports:create'],
  clients: [agent],
  accessTokenLifetimeSeconds: 120,
});
t.teardown(() => server.close());

async function requestToken(form: Record<string, string>, secret = agent.clientSecret) {
  const credentials = `${encodeURIComponent(agent.clientId)}:${encodeURIComponent(secret)}`;
  const response = await fetch(server.tokenEndpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...form }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}

async function verified(token: string, audience: string): Promise<JWTPayload> {
  const keySet = createRemoteJWKSet(new URL(`${server.issuer}/jwks`));
  const { payload } = await jwtVerify(token, keySet, { issuer: server.issuer, audience, typ: 'at+jwt' });
  return payload;
}

t.test('client credentials give an RFC 9068 token with the audience, scopes and client asked for', async (t) => {
  const answer = await requestToken({ scope: 'dashboards:read queries:execute' });
  t.equal(answer.status, 200);
  const token = answer.body.access_token ?? '';
  t.match(decodeProtectedHeader(token), { typ: 'at+jwt', alg: 'ES256' });
  const claims = await verified(token, resource);
  t.match(claims, { sub: 'ai_agent_prod', client_id: 'ai_agent_prod', scope: 'dashboards:read queries:execute' });
  t.equal(Number(claims.exp) - Number(claims.iat), 120);
  t.type(claims.jti, 'string');
  const narrow = await requestToken({ scope: 'dashboards:read', resource: other });
  t.match(await verified(narrow.body.access_token ?? '', other), { scope: 'dashboards:read', aud: other });
});

t.test('a wrong secret, a scope the client has not and an unknown resource get no token', async (t) => {
  t.match(await requestToken({ scope: 'dashboards:read' }, 'wrong'), {
    status: 401,
    body: { error: 'invalid_client' },
  });
  t.match(await requestToken({ scope: 'exports:create' }), { status: 400, body: { error: 'invalid_scope' } });
  t.match(await requestToken({ resource: 'https://other.test/' }), { status: 400, body: { error: 'invalid_target' } });
});

t.test('an MCP client discovers, registers itself, is approved by a person, and refreshes', async (t) => {
  const metadata = await discoverAuthorizationServerMetadata(server.issuer);
  t.equal(metadata?.issuer, server.issuer);
  t.same(metadata?.code_challenge_methods_supported, ['S256']);
  const redirectUrl = 'http://localhost:33418/callback';
  const clientInformation = await registerClient(server.issuer, {
    ...(metadata === undefined ? {} : { metadata }),
    scope: 'dashboards:read',
    clientMetadata: {
      client_name: 'MCP <b>client</b>',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
  });
  const common = { ...(metadata === undefined ? {} : { metadata }), clientInformation, resource: new URL(resource) };
  const { authorizationUrl, codeVerifier } = await startAuthorization(server.issuer, {
    ...common,
    redirectUrl,
    scope: 'dashboards:read',
    state: 'state-1',
  });
  const callback = await approve(authorizationUrl);
  t.equal(callback.origin + callback.pathname, redirectUrl);
  t.equal(callback.searchParams.get('state'), 'state-1');
  t.equal(callback.searchParams.get('iss'), server.issuer);
  const authorizationCode = callback.searchParams.get('code') ?? '';
  const exchange = { ...common, authorizationCode, redirectUri: redirectUrl };
  await t.rejects(exchangeAuthorization(server.issuer, { ...exchange, codeVerifier: 'x'.repeat(43) }));

  const again = await startAuthorization(server.issuer, {
    ...common,
    redirectUrl,
    scope: 'dashboards:read queries:execute offline_access',
    state: 's',
  });
  const code = (await approve(again.authorizationUrl)).searchParams.get('code') ?? '';
  const tokens = await exchangeAuthorization(server.issuer, {
    ...exchange,
    authorizationCode: code,
    codeVerifier: again.codeVerifier,
  });
  t.match(await verified(tokens.access_token, resource), { sub: 'analyst', scope: 'dashboards:read queries:execute' });
  t.not(codeVerifier, again.codeVerifier);
  const refreshed = await refreshAuthorization(server.issuer, {
    ...common,
    refreshToken: tokens.refresh_token ?? '',
  });
  t.match(await verified(refreshed.access_token, resource), { sub: 'analyst', client_id: clientInformation.client_id });
  t.not(decodeJwt(refreshed.access_token).jti, decodeJwt(tokens.access_token).jti);
});

t.test('private redirect schemes register, and a redirect that was not registered is refused', async (t) => {
  const register = await fetch(`${server.issuer}/reg`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      redirect_uris: ['cursor://anysphere.cursor-retrieval/oauth/callback'],
      token_endpoint_auth_method: 'none',
    }),
  });
  t.equal(register.status, 201);
  const { client_id } = (await register.json()) as { client_id: string };
  const url = new URL(`${server.issuer}/auth`);
  url.search = new URLSearchParams({
    client_id,
    redirect_uri: 'https://attacker.test/',
    response_type: 'code',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  }).toString();
  const refused = await fetch(url, { redirect: 'manual' });
  t.equal(refused.status, 400);
  t.match(await refused.text(), /invalid_redirect_uri/);
});

t.test('browsers of any origin may read it, but not through a name that is not loopback', async (t) => {
  const preflight = await fetch(server.tokenEndpoint, {
    method: 'OPTIONS',
    headers: { origin: 'http://localhost:6274', 'access-control-request-method': 'POST' },
  });
  t.equal(preflight.headers.get('access-control-allow-origin'), 'http://localhost:6274');
  const status = await new Promise((resolve) => {
    request(`${server.issuer}/jwks`, { headers: { host: 'attacker.test' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).end();
  });
  t.equal(status, 421);
});

t.test('an expired log-in says so, and in all of this nothing was printed', async (t) => {
  const page = await fetch(`${server.issuer}/interaction/unknown`);
  t.equal(page.status, 400);
  t.match(await page.text(), /expired/);
  t.same(
    printed.flatMap((capture) => capture()),
    [],
  );
});
