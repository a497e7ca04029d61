// Tokens as well-known authorization servers really issue them, with nothing configured but the preset: accepted, and their near misses refused.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { issuerPresetNames, issuerPresets } from '../../src/authn/token/issuer-presets.ts';
import { assertRefused, attack, host } from '../support/attack.ts';
import { createFakeIssuer, signToken } from '../support/issuer.ts';
import { rawRequest } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

type Members = Readonly<Record<string, unknown>>;

interface Provider {
  readonly preset: string;
  readonly issuer: string;
  /** Keys beside preset and issuer. */
  readonly keys?: Members;
  /** The rest of the route. */
  readonly route: Members;
  readonly header: Members;
  readonly claims: Members;
  readonly principal: Members;
  readonly granted: readonly string[];
  /** Laid over the good token; each is refused with the reason. */
  readonly misses: readonly (readonly [name: string, claims: Members, reason: string, header?: Members])[];
  /** Laid over the good token; each is accepted, with these scopes. */
  readonly variants?: readonly (readonly [
    name: string,
    claims: Members,
    granted: readonly string[],
    header?: Members,
  ])[];
}

const tenant = '0f3b2c1d-4e5f-4a6b-8c7d-9e0f1a2b3c4d';
const otherTenant = '7a1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9';
const application = '11111111-2222-4333-8444-555555555555';
const clientOfEntra = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
const reading = { scopes: ['dashboards:read'] };
const resource = (name: string) => `https://mcp.example.com/${name}`;
const clientOfCognito = '5k2r8v1n3example7q9t0u4w6';

const entra = (issuer: string, claims: Members, misses: Provider['misses']): Provider => ({
  preset: 'entra',
  issuer,
  keys: { audience: [`api://${application}`, application] },
  route: reading,
  header: { typ: 'JWT', x5t: 'nOo3ZDrODXEK1jKWhXslHR_KXEg' },
  claims: {
    oid: '00000000-aaaa-4bbb-8ccc-000000000001',
    tid: tenant,
    sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ',
    scp: 'dashboards:read',
    uti: 'fqiBqXLPj0eQa82S-IYFAA',
    ...claims,
  },
  principal: { subject: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ', clientId: clientOfEntra, tenant },
  granted: ['dashboards:read'],
  misses: [
    ['another application', { aud: 'api://99999999-2222-4333-8444-555555555555' }, 'audience'],
    ['Microsoft Graph', { aud: '00000003-0000-0000-c000-000000000000' }, 'audience'],
    [
      'an ID token of an application that is its own client',
      { azp: undefined, appid: undefined, scp: undefined, roles: ['dashboards:read'], nonce: 'n', name: 'Anna' },
      'claims',
    ],
    ['an ID token of the hybrid flow', { c_hash: 'x' }, 'token_type'],
    ['another type', {}, 'token_type', { typ: 'id_token' }],
    ...misses,
  ],
  variants: [
    ['roles beside scp are the user’s, not the client’s', { roles: ['exports:create'] }, ['dashboards:read']],
    ['an application on its own', { scp: undefined, roles: ['dashboards:read'] }, ['dashboards:read']],
  ],
});

const entraV2 = `https://login.microsoftonline.com/${tenant}/v2.0`;
const entraV1 = `https://sts.windows.net/${otherTenant}/`;

const providers: Readonly<Record<string, Provider>> = {
  auth0: {
    preset: 'auth0',
    issuer: 'https://acme.eu.auth0.com/',
    route: { scopes: ['dashboards:read', 'exports:create'] },
    header: { typ: 'JWT' },
    claims: {
      sub: '4zPxExampleClientId@clients',
      aud: resource('auth0'),
      azp: '4zPxExampleClientId',
      scope: 'dashboards:read',
      permissions: ['dashboards:read', 'exports:create'],
      gty: 'client-credentials',
      org_id: 'org_acme',
    },
    principal: { subject: '4zPxExampleClientId@clients', clientId: '4zPxExampleClientId', tenant: 'org_acme' },
    granted: ['dashboards:read', 'exports:create'],
    misses: [
      ['an ID token', { aud: '4zPxExampleClientId', azp: undefined, scope: undefined, nonce: 'n' }, 'audience'],
      ['an ID token for the API by mistake', { azp: undefined }, 'claims'],
      ['the userinfo endpoint alone', { aud: 'https://acme.eu.auth0.com/userinfo' }, 'audience'],
      ['another tenant', { iss: 'https://other.eu.auth0.com/' }, 'issuer'],
      ['no slash', { iss: 'https://acme.eu.auth0.com' }, 'issuer'],
      ['no type', {}, 'token_type', { typ: undefined }],
    ],
    variants: [
      [
        'the RFC 9068 profile, for a person',
        {
          sub: 'auth0|5f7c8ec7c33c6c004bbafe82',
          aud: [resource('auth0'), 'https://acme.eu.auth0.com/userinfo'],
          azp: undefined,
          client_id: '4zPxExampleClientId',
          gty: undefined,
          jti: 'k1',
        },
        ['dashboards:read', 'exports:create'],
        { typ: 'at+jwt' },
      ],
    ],
  },
  'entra-v2': entra(
    entraV2,
    {
      aud: application,
      ver: '2.0',
      azp: clientOfEntra,
      azpacr: '1',
      name: 'Anna',
      preferred_username: 'anna@acme.example',
    },
    [
      ['another tenant', { iss: `https://login.microsoftonline.com/${otherTenant}/v2.0` }, 'issuer'],
      ['the v1 issuer of the tenant', { iss: `https://sts.windows.net/${tenant}/` }, 'issuer'],
    ],
  ),
  'entra-v1': entra(
    entraV1,
    {
      aud: `api://${application}`,
      ver: '1.0',
      appid: clientOfEntra,
      appidacr: '1',
      upn: 'anna@acme.example',
      unique_name: 'anna@acme.example',
      tid: tenant,
    },
    [['the v2 issuer of the tenant', { iss: `https://login.microsoftonline.com/${otherTenant}/v2.0` }, 'issuer']],
  ),
  okta: {
    preset: 'okta',
    issuer: 'https://acme.okta.com/oauth2/aus1exampleSERVER5d7',
    route: reading,
    header: { typ: undefined },
    claims: {
      ver: 1,
      jti: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE',
      aud: resource('okta'),
      cid: '0oaexampleCLIENT5d7',
      uid: '00uexampleUSER5d7',
      scp: ['dashboards:read'],
      auth_time: 1_700_000_000,
      sub: 'anna@acme.example',
    },
    principal: {
      subject: 'anna@acme.example',
      clientId: '0oaexampleCLIENT5d7',
      credentialId: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE',
    },
    granted: ['dashboards:read'],
    misses: [
      [
        'an ID token',
        { aud: '0oaexampleCLIENT5d7', cid: undefined, scp: undefined, jti: 'ID.rad', at_hash: 'x', idp: '00o' },
        'audience',
      ],
      ['an ID token for the API by mistake', { cid: undefined, jti: 'ID.rad' }, 'claims'],
      ['the server that everybody has', { iss: 'https://acme.okta.com/oauth2/default' }, 'issuer'],
      ['the organization’s own server', { iss: 'https://acme.okta.com', aud: 'https://acme.okta.com' }, 'issuer'],
      ['its type', {}, 'token_type', { typ: 'application/okta-internal-at+jwt' }],
      ['another audience', { aud: 'api://default' }, 'audience'],
    ],
    variants: [['a client on its own', { sub: '0oaexampleCLIENT5d7', uid: undefined }, ['dashboards:read']]],
  },
  keycloak: {
    preset: 'keycloak',
    issuer: 'https://sso.example.com/realms/analytics',
    route: reading,
    header: { typ: 'JWT' },
    claims: {
      jti: 'onrtro:4b5c6d7e',
      aud: [resource('keycloak'), 'account'],
      sub: '5f1c2b3a-0000-4000-8000-aabbccddeeff',
      typ: 'Bearer',
      azp: 'ai_agent_prod',
      sid: '0d9c8b7a',
      acr: '1',
      realm_access: { roles: ['offline_access', 'default-roles-analytics'] },
      scope: 'email profile dashboards:read',
      preferred_username: 'anna',
    },
    principal: { subject: '5f1c2b3a-0000-4000-8000-aabbccddeeff', clientId: 'ai_agent_prod' },
    granted: ['email', 'profile', 'dashboards:read'],
    misses: [
      ['an ID token', { typ: 'ID', aud: 'ai_agent_prod', nonce: 'n', scope: undefined }, 'audience'],
      ['an ID token with the audience mapped into it', { typ: 'ID' }, 'claims'],
      ['a refresh token', { typ: 'Refresh', aud: 'https://sso.example.com/realms/analytics' }, 'audience'],
      ['a logout token', { typ: 'Logout' }, 'claims'],
      ['no audience mapper', { aud: 'account' }, 'audience'],
      ['another realm', { iss: 'https://sso.example.com/realms/master' }, 'issuer'],
    ],
    variants: [['marked as an access token', {}, ['email', 'profile', 'dashboards:read'], { typ: 'at+jwt' }]],
  },
  google: {
    preset: 'google',
    issuer: 'https://accounts.google.com',
    route: {
      rules: [
        {
          allow: {
            clients: ['102938475610293847561'],
            claims: { email: ['reports@acme.iam.gserviceaccount.com'] },
          },
        },
      ],
    },
    header: { typ: 'JWT' },
    claims: {
      aud: resource('google'),
      azp: '102938475610293847561',
      email: 'reports@acme.iam.gserviceaccount.com',
      email_verified: true,
      sub: '102938475610293847561',
    },
    principal: { subject: '102938475610293847561', clientId: '102938475610293847561' },
    granted: [],
    misses: [
      [
        'a sign-in ID token',
        { aud: '1234.apps.googleusercontent.com', azp: '1234.apps.googleusercontent.com', at_hash: 'x', nonce: 'n' },
        'audience',
      ],
      ['a sign-in ID token for the resource', { at_hash: 'x' }, 'token_type'],
      ['another service', { aud: 'https://other.example' }, 'audience'],
      ['without its scheme', { iss: 'accounts.google.com' }, 'issuer'],
    ],
  },
  cognito: {
    preset: 'cognito',
    issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE01',
    keys: { audience: [clientOfCognito] },
    route: { scopes: ['superset/dashboards:read'] },
    header: { typ: undefined },
    claims: {
      sub: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000002',
      'cognito:groups': ['analysts'],
      version: 2,
      client_id: clientOfCognito,
      origin_jti: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000003',
      event_id: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000004',
      token_use: 'access',
      scope: 'superset/dashboards:read openid',
      auth_time: 1_700_000_000,
      jti: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000005',
      username: 'anna',
    },
    principal: { subject: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000002', clientId: clientOfCognito },
    granted: ['superset/dashboards:read', 'openid'],
    misses: [
      [
        'an ID token',
        { aud: clientOfCognito, client_id: undefined, token_use: 'id', scope: undefined, at_hash: 'x' },
        'audience',
      ],
      ['an ID token without its audience', { token_use: 'id' }, 'claims'],
      ['a use that is not said', { token_use: undefined }, 'claims'],
      ['another client of the pool', { client_id: '7another1client2of3the4pool' }, 'audience'],
      ['no client', { client_id: undefined }, 'audience'],
      ['bound to another resource', { aud: 'https://other.example/mcp' }, 'audience'],
      ['another pool', { iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE02' }, 'issuer'],
    ],
    variants: [
      [
        'bound to this resource, by a client that is not listed',
        { aud: resource('cognito'), client_id: '7another1client2of3the4pool' },
        ['superset/dashboards:read', 'openid'],
      ],
    ],
  },
};

const issuer = await createFakeIssuer({ algorithm: 'RS256' });
t.teardown(issuer.close);
const authenticators = Object.entries(providers).map(([name, { preset, issuer: named, keys }]) => {
  return [name, { type: 'jwt', preset, issuer: named, jwksUri: issuer.jwksUri, ...keys }] as const;
});
const scenario = await startScenario(
  t,
  {
    authenticators: Object.fromEntries(authenticators),
    routes: Object.entries(providers).map(([name, { route }]) => ({ path: `/${name}`, authenticate: name, ...route })),
  },
  { issuer },
);

/** Only what is given, and times. */
const nothing = { aud: undefined, sub: undefined, client_id: undefined, scope: undefined, jti: undefined };

async function send(name: string, claims: Members = {}, header: Members = {}) {
  const provider = providers[name]!;
  const token = await signToken(
    provider.issuer,
    { ...nothing, ...provider.claims, ...claims },
    { key: issuer.key, header: { ...provider.header, ...header } },
  );
  return attack(scenario, rawRequest([`GET /${name} HTTP/1.1`, host, `Authorization: Bearer ${token}`]));
}

const refusals = (reason: string) => scenario.metric('portcullis_authentications_total', { result: 'refused', reason });

for (const [name, provider] of Object.entries(providers)) {
  t.test(`${name}: its access tokens are understood, and nothing else of it is`, async (t) => {
    const good = await send(name);
    t.equal(good.answer.status, 200, 'good');
    t.match(good.record.principal, { kind: 'oauth', issuer: provider.issuer, ...provider.principal });
    t.strictSame(good.record.scopes?.granted ?? [], provider.granted);
    for (const [what, claims, granted, header] of provider.variants ?? []) {
      const { answer, record } = await send(name, claims, header);
      t.equal(answer.status, 200, what);
      t.strictSame(record.scopes?.granted, granted, what);
    }
    const http = { method: 'GET', path: `/${name}` };
    for (const [what, claims, reason, header] of provider.misses) {
      const before = await refusals(reason);
      assertRefused(t, what, await send(name, claims, header), { status: 401, code: 'invalid_token', http });
      t.equal(await refusals(reason), before + 1, `${what}: ${reason}`);
    }
  });
}

t.test('every preset has a provider here, and the reference says what it sets', async (t) => {
  t.same(new Set(Object.values(providers).map(({ preset }) => preset)), new Set(issuerPresetNames));
  const reference = await readFile(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  const rows = reference.split('\n').filter((line) => line.startsWith('| `'));
  for (const key of [
    'tokenTypes',
    'algorithms',
    'audienceForm',
    'scopeClaims',
    'scopesFrom',
    'clientIdClaims',
  ] as const) {
    const row = rows.map(cellsOf).find((cells) => cells[0] === key && cells.length === issuerPresetNames.length + 1);
    const set = issuerPresetNames.map((name) => issuerPresets[name].defaults[key] ?? fallback[key]);
    t.same(row, [key, ...set.map((value) => [value].flat().join(' '))], key);
  }
});

const fallback = {
  algorithms: 'default',
  audienceForm: 'resource',
  scopesFrom: 'all',
  tokenTypes: '',
  scopeClaims: '',
  clientIdClaims: '',
};

function cellsOf(row: string): string[] {
  return row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.replaceAll('`', '').trim());
}
