// Checks of `admin`: who may see the console, and what would go in clear or be asked of nobody.
import t from 'tap';
import { fileOf, linesOf } from './support.ts';

const authenticators =
  '{corp: {type: jwt, issuer: https://a.example/, claims: {groups: groups}}, partner: {type: jwt, issuer: https://b.example/}, staff: {type: mtls, allow: [{commonName: a, clientId: b}]}}';
const routes = '[{path: /api, upstream: superset, authenticate: {anyOf: [corp, partner]}}]';
const nobody = 'needs admin.authenticate';

t.test('each of these is told where it stands', async (t) => {
  const allow = 'allow: {claims: {groups: [platform]}}';
  const cases: readonly (readonly [admin: string, ...says: string[]])[] = [
    [`{authenticate: corp, ${allow}}`],
    [`{authenticate: corp, ${allow}, login: {clientId: console}, metrics: protected}`],
    [
      `{authenticate: {anyOf: [corp, partner]}, allow: {clients: [corp/ops]}, login: {authenticator: corp, clientId: c}}`,
    ],
    [`{publicUrl: "http://localhost:9090"}`],
    ['{allow: {scopes: [a]}}', `admin.allow: ${nobody}`],
    ['{login: {clientId: a}}', `admin.login: ${nobody}`],
    ['{metrics: protected}', `admin.metrics: ${nobody}`],
    ['{publicUrl: https://c.example}', 'admin.publicUrl: a proxy would bring others to the console'],
    ['{listen: "10.0.0.1:9090"}'],
    [`{listen: "10.0.0.1:9090", authenticate: corp, ${allow}}`, 'admin.authenticate: needs admin.tls'],
    [`{authenticate: corp, publicUrl: http://c.example, ${allow}}`, 'admin.publicUrl: must begin with https'],
    [`{authenticate: corp}`, 'warning: admin.authenticate: everybody whom it accepts may see the console'],
    [`{authenticate: crop, ${allow}}`, 'admin.authenticate: unknown authenticator "crop" (did you mean "corp"?)'],
    [`{authenticate: none}`, 'admin.authenticate: '],
    [`{authenticate: {anyOf: [corp, corp]}, ${allow}}`, 'admin.authenticate.anyOf[1]: is the same as anyOf[0]'],
    [
      `{authenticate: staff, allow: {clients: [b]}}`,
      'admin.authenticate: "staff" verifies client certificates, but there is no admin.tls',
    ],
    [`{authenticate: corp, allow: {claims: {gruops: [a]}}}`, 'admin.allow.claims.gruops: no authenticator'],
    [
      `{authenticate: {anyOf: [corp, partner]}, allow: {clients: [ops]}}`,
      'admin.allow.clients[0]: several authenticators',
    ],
    [`{listen: "unix:/run/a.sock", authenticate: corp, ${allow}}`, 'admin: needs publicUrl'],
    [`{authenticate: {anyOf: [corp, partner]}, ${allow}, login: {clientId: a}}`, 'admin.login: needs authenticator'],
    [
      `{authenticate: corp, ${allow}, login: {authenticator: partner, clientId: a}}`,
      'admin.login.authenticator: "partner" is no jwt',
    ],
    [
      `{authenticate: corp, ${allow}, login: {clientId: a, clientAuthentication: private_key_jwt}}`,
      'admin.login.clientAuthentication: needs clientKeyFile',
    ],
  ];
  for (const [admin, ...says] of cases) {
    const lines = await linesOf(t.testdir(), fileOf({ admin, authenticators, routes }));
    const told = lines.filter(
      (line) => !/staff|is not used by any route/.test(line) || says.some((each) => line.includes(each)),
    );
    t.equal(told.length, says.length, `${admin}: ${told.join(' | ')}`);
    for (const [index, each] of says.entries()) {
      const [, place = '', words = ''] = /^(?:warning: )?(\S+ )?(.*)$/.exec(each) ?? [];
      t.ok(told[index]?.includes((place + words).trim()), `${admin}: ${told[index]} has ${each}`);
    }
  }
});
