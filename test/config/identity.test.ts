// Checks of upstream identity: assertions, usernames and token exchange.
import { generateKeyPairSync } from 'node:crypto';
import t, { type Test } from 'tap';
import { fileOf, lineAt, linesOf, loadText } from './support.ts';

const pem = (curve: string) =>
  generateKeyPairSync('ec', { namedCurve: curve }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const files = { 'a.pem': pem('P-256'), 'wide.pem': pem('P-384'), 'name.txt': 'root' };
const authenticators =
  '{corp: {type: jwt, issuer: https://a.example/, claims: {email: mail}}, partner: {type: jwt, issuer: https://b.example/}, legacy: {type: apiKey, keys: []}}';
const at = 'upstreams.superset.identity.assertion';
const yamlOf = (assertion: string, routes = '[{path: /api, upstream: superset, authenticate: corp}]') =>
  fileOf({
    authenticators,
    upstreams: `{superset: {url: "http://127.0.0.1:1", identity: {assertion: {${assertion}}}}}`,
    routes,
  });
const all = '[{path: /api, upstream: superset, authenticate: {anyOf: [corp, partner, legacy]}}]';

async function hold(t: Test, yaml: string, ...expected: (readonly [mark: string, rest: string])[]): Promise<void> {
  const lines = await linesOf(t.testdir(), yaml, { files });
  t.same(
    lines.filter((line) => !line.includes('is not used by any route')),
    expected.map(([mark, rest]) => lineAt(yaml, mark, rest)),
  );
}

t.test('an assertion with nothing but its audience, and one with everything', async (t) => {
  const { config } = await loadText(t.testdir(), yamlOf('audience: superset-mcp', all), { files });
  t.same(config.upstreams.superset?.identity.assertion, {
    audience: 'superset-mcp',
    algorithm: 'ES256',
    username: { default: '${subject}' },
    scopes: [],
    claims: { email: 'email', tenant: 'tenant' },
    keyFiles: [],
    lifetime: 60_000,
  });
  const username = 'username: {corp: "${claims.email}", legacy: "svc-${clientId}", default: "${subject}"}';
  const folder = t.testdir();
  const loaded = await loadText(
    folder,
    yamlOf(`audience: a, ${username}, keyFiles: [a.pem], claims: {mail: email}`, all),
    {
      files,
    },
  );
  t.match(loaded.config.upstreams.superset?.identity.assertion?.username, { corp: '${claims.email}' });
  t.same([...loaded.files.keys()], [`${folder}/a.pem`], 'watched, and part of the hash');
});

t.test('usernames are templates: nothing is interpolated into them', async (t) => {
  const refused = 'is a template over the principal: nothing else is put in here';
  for (const text of ['${env:USER}', '${file:name.txt}']) {
    const yaml = yamlOf(`audience: a, username: {default: "${text}"}`);
    await hold(t, yaml, ['default: ‸"', `${at}.username.default: ${refused}`]);
  }
  const yaml = yamlOf('audience: "${env:AUDIENCE}", username: {default: "$${subject}"}');
  const lines = await linesOf(t.testdir(), yaml, { files, env: { AUDIENCE: 'b' } });
  t.match(lines.join('\n'), /username\.default: is a template already: one \$ before \{ is enough/);
});

t.test('every caller can have a name, or the file is refused', async (t) => {
  await hold(
    t,
    yamlOf('audience: a, username: {default: "${claims.email}"}', all),
    [
      'default: ‸"',
      `${at}.username.default: authenticator "partner" has no claim "email": each of its callers would be refused`,
    ],
    [
      'default: ‸"',
      `${at}.username.default: authenticator "legacy" has no claim "email": each of its callers would be refused`,
    ],
  );
  await hold(
    t,
    yamlOf('audience: a, username: {corp: "${claims.emial}", partner: "${claims.email}"}'),
    [
      'corp: ‸"${',
      `${at}.username.corp: authenticator "corp" has no claim "emial" (did you mean "email"?): each of its callers would be refused`,
    ],
    [
      'partner: ‸"${',
      `${at}.username.partner: authenticator "partner" has no claim "email": each of its callers would be refused`,
    ],
  );
  await hold(
    t,
    yamlOf('audience: a, username: {corp: "${subject}"}', all),
    ['username: ‸{', `${at}.username: has nothing for "partner", which route "/api" accepts; add it, or default`],
    ['username: ‸{', `${at}.username: has nothing for "legacy", which route "/api" accepts; add it, or default`],
  );
  await hold(
    t,
    yamlOf('audience: a, username: {corp: "${sub}", crop: "x"}'),
    [
      'corp: ‸"${sub}',
      `${at}.username.corp: has a \${…} that is none of subject, clientId, issuer, credentialId, authenticator and claims.name`,
    ],
    ['crop: ‸"x"', `${at}.username.crop: unknown authenticator "crop" (did you mean "corp"?)`],
  );
});

t.test('two issuers that share a template for names are warned about', async (t) => {
  const shared = `warning: ${at}.username.default: the issuers of "corp" and "partner" may have the same name for two people; write a template for each, or put \${authenticator} into it`;
  await hold(t, yamlOf('audience: a, username: {default: "${subject}"}', all), ['default: ‸"', shared]);
  await hold(t, yamlOf('audience: a, username: {default: "${authenticator}/${subject}"}', all));
  await hold(t, yamlOf('audience: a, username: {partner: "p-${subject}", default: "${subject}"}', all));
  await hold(t, yamlOf('audience: a, username: {default: "${subject}"}'));
});

t.test('nobody can be named where nobody is authenticated, and one Authorization is sent', async (t) => {
  const open =
    '[{path: /api, upstream: superset, authenticate: corp}, {path: /open, upstream: superset, authenticate: none}]';
  await hold(t, yamlOf('audience: a', open), [
    'authenticate: ‸none',
    'routes[1].authenticate: upstream "superset" has identity.assertion, and there is nobody to tell it of here; add an upstream without it for this route',
  ]);
  const both = yamlOf('audience: a').replace('identity: {', 'authorization: Bearer x, identity: {');
  await hold(t, both, [
    'authorization: ‸Bearer',
    'upstreams.superset.authorization: cannot stand beside identity.assertion: one Authorization is sent',
  ]);
});

t.test(
  'keys fit the algorithm, claims are others than those of the gateway, and the rest has its bounds',
  async (t) => {
    await hold(
      t,
      yamlOf('audience: a, keyFiles: [a.pem, wide.pem, name.txt, none.pem]'),
      [
        'a.pem, ‸wide',
        `${at}.keyFiles[1]: holds no key of the curve P-256, which algorithm ES256 needs; make one with \`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256\``,
      ],
      ['wide.pem, ‸name', `${at}.keyFiles[2]: the file holds no PEM private key`],
      ['name.txt, ‸none', `${at}.keyFiles[3]: cannot read the file: there is no such file`],
    );
    await hold(t, yamlOf('audience: a, keyFiles: [a.pem], algorithm: EdDSA'), [
      'keyFiles: [‸a',
      `${at}.keyFiles[0]: holds no Ed25519 key, which algorithm EdDSA needs; make one with \`openssl genpkey -algorithm ed25519\``,
    ]);
    const twice = yamlOf('audience: a, keyFiles: [a.pem, a.pem]');
    t.match(
      (await linesOf(t.testdir(), twice, { files })).join('\n'),
      /keyFiles\[1\]: holds the same key as keyFiles\[0\]/,
    );
    await hold(
      t,
      yamlOf('audience: a, claims: {sub: email, mail: emial}'),
      ['sub: ‸email', `${at}.claims.sub: is a claim of the gateway itself; take another name`],
      ['mail: ‸emial', `${at}.claims.mail: no authenticator has a claim "emial" (did you mean "email"?)`],
    );
    await hold(
      t,
      yamlOf('algorithm: HS256, lifetime: 1h'),
      ['assertion: ‸{', `${at}.audience: is required`],
      ['algorithm: ‸HS256', `${at}.algorithm: expected one of "RS256", "ES256", "EdDSA" (did you mean "RS256"?)`],
      ['lifetime: ‸1h', `${at}.lifetime: expected a duration from 5s to 10m`],
    );
  },
);

const exchangeOf = (exchange: string, routes?: string) =>
  yamlOf('audience: a', routes).replace('assertion: {audience: a}', `exchange: {${exchange}}`);
const client = 'endpoint: https://a.example/token, clientId: gateway, clientSecret: s, audience: superset';

t.test('an exchange has an issuer whose tokens it takes, a client and an aim', async (t) => {
  const here = 'upstreams.superset.identity.exchange';
  const { config } = await loadText(t.testdir(), exchangeOf(`authenticator: corp, ${client}`), { files });
  t.match(config.upstreams.superset?.identity.exchange, { authenticator: 'corp', insecure: false, scopes: [] });
  await hold(t, exchangeOf(`authenticator: crop, ${client}`), [
    'authenticator: ‸crop',
    `${here}.authenticator: unknown authenticator "crop" (did you mean "corp"?)`,
  ]);
  await hold(t, exchangeOf(`authenticator: legacy, ${client}`), [
    'authenticator: ‸legacy',
    `${here}.authenticator: "legacy" verifies no access tokens`,
  ]);
  await hold(
    t,
    exchangeOf('authenticator: corp, endpoint: http://a.example/token, clientId: gateway'),
    [
      'exchange: ‸{',
      `${here}: needs either clientSecret or clientKeyFile: the endpoint answers authenticated clients only`,
    ],
    ['exchange: ‸{', `${here}: needs audience or resource: a token for nobody in particular would be good anywhere`],
    ['endpoint: ‸http://a', `${here}.endpoint: plain http is accepted on loopback only; use https, or insecure: true`],
  );
  await hold(t, exchangeOf(`authenticator: corp, ${client}, clientAuthentication: private_key_jwt`), [
    'clientAuthentication: ‸',
    `${here}.clientAuthentication: needs clientKeyFile`,
  ]);
});

t.test('who has nothing to exchange is told of, and nobody is sent two credentials', async (t) => {
  const exchange = `authenticator: corp, ${client}`;
  await hold(t, exchangeOf(exchange, '[{path: /api, upstream: superset, authenticate: {anyOf: [partner, legacy]}}]'), [
    'authenticate: ‸{',
    'routes[0].authenticate: upstream "superset" takes tokens of "corp" only, so that every caller would be denied',
  ]);
  const some = await linesOf(t.testdir(), exchangeOf(exchange, all), { files });
  t.match(
    some.join('\n'),
    'upstream "superset" takes tokens of "corp" only: callers of "partner", "legacy" are denied',
  );
  await hold(t, exchangeOf(exchange, '[{path: /api, upstream: superset, authenticate: none}]'), [
    'authenticate: ‸none',
    'routes[0].authenticate: upstream "superset" has identity.exchange, and there is nobody to tell it of here; add an upstream without it for this route',
  ]);
  const both = exchangeOf(exchange).replace('exchange: {', 'assertion: {audience: a}, exchange: {');
  await hold(t, both, [
    'exchange: ‸{',
    'upstreams.superset.identity.exchange: cannot stand beside assertion: take one of them',
  ]);
});
