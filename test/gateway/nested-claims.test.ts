// Nested claims everywhere a claim is named, and mapped claims as identity headers.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t, {
  authenticators: {
    corp: {
      scopeClaims: ['scope', '/realm_access/roles'],
      clientIdClaims: ['app.id', 'azp'],
      requiredClaims: { 'realm_access.env': ['prod'], '/realm_access/roles': ['staff', 'admin'] },
      claims: {
        tenant: '/realm_access/tenant',
        email: 'profile.email',
        groups: '/realm_access/groups',
        level: 'profile.level',
        profile: 'profile',
      },
    },
  },
  upstreams: {
    superset: {
      identity: {
        headers: {
          subject: 'x-forwarded-user',
          tenant: 'x-forwarded-tenant',
          email: 'x-forwarded-email',
          groups: 'x-forwarded-groups',
          level: 'x-level',
          profile: 'x-profile',
        },
        assertion: {
          audience: 'superset',
          username: { corp: '${claims.tenant}/${claims.email}', default: '${subject}' },
          claims: { org: 'tenant' },
        },
      },
    },
  },
  routes: {
    '/open/*': undefined,
    '/mcp': {
      authenticate: 'corp',
      mcp: {
        rules: [
          {
            allow: { tools: ['list_dashboards'], claims: { tenant: ['acme'] } },
            require: { scopes: ['dashboards:read', 'staff'] },
          },
        ],
      },
    },
  },
});

const realm = { env: 'prod', roles: ['staff'], tenant: 'acme', groups: ['sales', 'a,b', 'é'] };
const good = {
  scope: 'dashboards:read',
  client_id: undefined,
  azp: 'other',
  app: { id: 'ai_agent_prod' },
  realm_access: realm,
  profile: { email: 'anna@example.com', level: 7 },
};

async function send(claims: object, headers: Readonly<Record<string, string>> = {}) {
  const before = scenario.upstream.requests.length;
  const { status, id } = await (await scenario.as({ claims: { ...good, ...claims }, headers })).call('list_dashboards');
  const [forwarded, ...more] = scenario.upstream.requests.slice(before);
  t.same(more, []);
  return { status, forwarded, record: await scenario.recordOf({ id }) };
}

t.test(
  'nested claims (realm_access.roles): scopes, client, tenant, required claims, rules, templates and assertions',
  async (t) => {
    const { status, forwarded, record } = await send({});
    t.equal(status, 200);
    t.match(record, {
      principal: { clientId: 'ai_agent_prod', tenant: 'acme' },
      scopes: { granted: ['dashboards:read', 'staff'] },
    });
    const [, payload = ''] = forwarded!.header('authorization')[0]!.split('.');
    t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { sub: 'acme/anna@example.com', org: 'acme' });

    const refused = async (name: string, claims: object, expected: object) => {
      const result = await send(claims);
      t.equal(result.forwarded, undefined, name);
      t.match(result.record, { decision: 'deny', ...expected }, name);
    };
    const missing = { detail: { credential: { problem: 'claims' } } };
    await refused('another environment', { realm_access: { ...realm, env: 'test' } }, missing);
    await refused('none of the roles', { realm_access: { ...realm, roles: ['guest'] } }, missing);
    await refused('another tenant', { realm_access: { ...realm, tenant: 'other' } }, { reason: 'denied' });
    await refused('a role that is no scope', { realm_access: { ...realm, roles: ['staff', 'a b'] } }, missing);
    await refused('no email for the username', { profile: {} }, { detail: { identity: { missing: 'claims.email' } } });
    const literal = await send({ 'realm_access.env': 'prod', realm_access: { ...realm, env: 'test' } });
    t.equal(literal.status, 200, 'a claim of that literal name comes first');
  },
);

t.test('claims as identity headers: text, numbers and lists, nothing of what a client sent', async (t) => {
  const forged = {
    'x-forwarded-email': 'root@example.com',
    'x-level': '9',
    X_Profile: 'admin',
    'x-forwarded-groups': 'admin',
  };
  const { forwarded } = await send({}, forged);
  t.same(forwarded!.header('x-forwarded-email'), ['anna@example.com']);
  t.same(forwarded!.header('x-forwarded-groups'), ['sales,a%2Cb,%C3%A9']);
  t.same(forwarded!.header('x-level'), ['7']);
  t.same(forwarded!.header('x-profile'), [], 'an object has no text, and what the client sent is gone');
  t.notOk(forwarded!.rawHeaders.some((text) => /root|admin|X_Profile/.test(text)));

  const email = (value: unknown) => ({ profile: { email: 'anna@example.com', level: value } });
  const values: [name: string, value: unknown, header: string[]][] = [
    ['line breaks', 'a\r\nx-forwarded-user: root', ['a%0D%0Ax-forwarded-user: root']],
    ['a percent sign', '%0A', ['%250A']],
    ['true', true, ['true']],
    ['null', null, []],
    ['a number that is not exact', 2 ** 53, []],
    ['an empty list', [], []],
    ['a list with an object', ['a', {}], []],
    ['a list with a list', ['a', ['b']], []],
    ['a list with line breaks', ['a\nb', 'c'], ['a%0Ab,c']],
  ];
  for (const [name, value, header] of values)
    t.same((await send(email(value))).forwarded?.header('x-level'), header, name);

  for (const [name, value, detail] of [
    ['half a character', '\ud800', undefined],
    ['a claim that no header can hold', 'x'.repeat(7000), { identity: { tooLarge: 'claims.level' } }],
  ] as const) {
    const { forwarded: none, record } = await send(email(value));
    t.equal(none, undefined, name);
    t.match(record, { decision: 'deny', reason: 'denied', outcome: 'refused', detail }, name);
  }
});
