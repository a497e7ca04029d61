// Names of scopes: a vocabulary that holds all of them, those that are nearly another, and caps below what rules demand.
import t, { type Test } from 'tap';
import { fileOf, lineAt, linesOf } from './support.ts';

const hash = 'sha256:9a0364b9e99bb480dd25e1f0284c8555fa1d2c7e1b3c4d5e6f708192a3b4c5d6';

interface Parts {
  readonly demanded?: string;
  readonly more?: string;
  readonly key?: string;
  readonly cap?: string;
  readonly top?: string;
  readonly admin?: string;
}

/** A path route whose rules demand `dashboards:read` and `queries:execute`, and a key with both. */
function file({
  demanded = 'dashboards:read',
  more = '',
  key = 'dashboards:read',
  cap,
  top = '',
  admin,
}: Parts): string {
  const maxScopes = cap === undefined ? '' : `, maxScopes: [${cap}]`;
  return fileOf({
    authenticators: `{corp: {type: jwt, issuer: https://idp.example.com/${maxScopes}}, keys: {type: apiKey, keys: [{id: k, hash: "${hash}", clientId: c, scopes: [${key}, queries:execute], expires: 2027-01-01}]}}`,
    routes: `[{path: /api, upstream: superset, authenticate: corp, rules: [{allow: {methods: [GET]}, require: {scopes: [${demanded}]}}, {allow: {methods: [POST]}, require: {anyScope: [queries:execute]}}${more}]}, {path: /old, upstream: superset, authenticate: keys, scopes: [dashboards:read]}]`,
    more: top,
    ...(admin !== undefined && { admin }),
  });
}

/** A file; then the place and the text of each line. */
async function hold(t: Test, rows: readonly (readonly [string, ...(readonly [string, string])[]])[]): Promise<void> {
  for (const [yaml, ...lines] of rows) {
    const expected = lines.map(([mark, rest]) => lineAt(yaml, mark, rest));
    t.same(await linesOf(t.testdir(), yaml), expected, lines.map(([mark]) => mark).join() || yaml);
  }
}

const key = 'authenticators.keys.keys[0].scopes[0]';
const near = (scope: string, meant = 'dashboards:read') =>
  `"${scope}" is nearly another scope (did you mean "${meant}"?)`;

t.test('scopes that are nearly another, in rules, keys, certificates and maxScopes', (t) =>
  hold(t, [
    [file({ key: 'dashboard:read' }), ['‸dashboard:read', `warning: ${key}: ${near('dashboard:read')}`]],
    [file({ key: 'dashboards.read' }), ['‸dashboards.read', `warning: ${key}: ${near('dashboards.read')}`]],
    [file({ key: 'Dashboards:Read' }), ['‸Dashboards:Read', `warning: ${key}: ${near('Dashboards:Read')}`]],
    [file({ key: 'dashboards:raed' }), ['‸dashboards:raed', `warning: ${key}: ${near('dashboards:raed')}`]],
    [
      file({ demanded: 'dashbords:read' }),
      ['‸dashbords:read', `warning: routes[0].rules[0].require.scopes[0]: ${near('dashbords:read')}`],
    ],
    [
      file({ cap: 'dashboards:read, querys:execute, queries:execute, dashboard:read' }),
      ['‸dashboard:read', `warning: authenticators.corp.maxScopes[3]: ${near('dashboard:read')}`],
    ],
    [
      file({ top: 'scopeImplies: {dashboards_read: [queries:execute]}' }),
      ['dashboards_read: ‸', `warning: scopeImplies.dashboards_read: ${near('dashboards_read')}`],
    ],
    [
      file({ more: `, {deny: {when: "'dashboard:read' in principal.scopes"}}` }),
      ['when: ‸', `warning: routes[0].rules[2].deny.when: ${near('dashboard:read')}`],
    ],
  ]),
);

t.test('scopes that are others', (t) =>
  hold(t, [
    [file({})],
    [file({ key: 'dashboards:write' })],
    [file({ key: `dashboard:read, ${Array.from({ length: 300 }, (_, index) => `team${index}:see`).join(', ')}` })],
    [file({ key: 'dashboards:read, tenant-a:read, tenant-b:read, team1:see, team2:see, view, edit' })],
    [file({ demanded: 'dashboards:read, exports:create', key: 'dashboards:read, reports:create' })],
  ]),
);

t.test('a vocabulary, and every other scope in the file', async (t) => {
  const top = 'scopes: {dashboards:read: See dashboards, queries:execute: Run SQL}';
  const not = (scope: string, meant = 'dashboards:read') => `"${scope}" is not in scopes (did you mean "${meant}"?)`;
  await hold(t, [
    [file({ top })],
    [
      file({ top, admin: '{authenticate: corp, allow: {scopes: [dashboards:reads]}}' }),
      ['‸dashboards:reads', `admin.allow.scopes[0]: ${not('dashboards:reads')}`],
    ],
    [
      file({
        ...{
          top: `${top}\nscopeImplies: {queries:execut: [dashboards:reed]}`,
          key: 'dashboard:read',
          cap: 'dashbords:read',
        },
        demanded: 'dashboards:rad',
        more: `, {deny: {when: "'Dashboards:read' in principal.scopes"}}`,
      }),
      ['‸dashbords:read', `authenticators.corp.maxScopes[0]: ${not('dashbords:read')}`],
      ['‸dashboard:read', `${key}: ${not('dashboard:read')}`],
      ['‸dashboards:rad', `routes[0].rules[0].require.scopes[0]: ${not('dashboards:rad')}`],
      ['when: ‸', `routes[0].rules[2].deny.when: ${not('Dashboards:read')}`],
      ['queries:execut: ‸', `scopeImplies["queries:execut"]: ${not('queries:execut', 'queries:execute')}`],
      ['[‸dashboards:reed', `scopeImplies["queries:execut"][0]: ${not('dashboards:reed')}`],
    ],
    [
      file({ top: 'scopes: {dashboards:read: "", queries:execute: 3}' }),
      ['‸""', 'scopes["dashboards:read"]: must not be empty'],
      ['‸3}', 'scopes["queries:execute"]: expected a string'],
    ],
  ]);
  const mcp = (challenge: string, scopes: string) =>
    fileOf({
      routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset, challengeScopes: [${challenge}]}}]`,
      more: `scopes: {${scopes}}`,
    });
  const five = 'dashboards:read: a, dashboards:write: b, queries:read: c, queries:execute: d, exports:create: e';
  await hold(t, [
    [mcp('dashboards:read', five)],
    [
      mcp('dashboards:read', five.replace(', exports:create: e', '')),
      ['scopes: ‸{', 'warning: scopes: lacks exports:create, which rules of a preset demand'],
    ],
    [mcp('dashboard:read', five), ['‸dashboard:read', `routes[0].mcp.challengeScopes[0]: ${not('dashboard:read')}`]],
  ]);
  const keysFile = fileOf({
    authenticators: '{corp: {type: apiKey, keysFile: keys.yaml}}',
    more: top,
  });
  const keys = `- {id: k, hash: "${hash}", clientId: c, scopes: [dashboard:read], expires: 2027-01-01}\n`;
  t.same(await linesOf(t.testdir(), keysFile, { files: { 'keys.yaml': keys } }), [
    lineAt(keys, '[‸dashboard:read', `[0].scopes[0]: ${not('dashboard:read')}`, 'keys.yaml'),
  ]);
});

t.test('maxScopes without a scope that rules demand', (t) => {
  const demands = 'routes[0].rules[0].require.scopes';
  const never = (scope: string) => `no caller can ever have "${scope}": maxScopes of "corp" does not hold it`;
  return hold(t, [
    [
      file({ cap: 'queries:execute', demanded: 'dashboards:read' }),
      ['require: {scopes: [‸', `warning: ${demands}[0]: ${never('dashboards:read')}`],
    ],
    [
      file({ cap: 'dashboards:read' }),
      [
        'anyScope: ‸',
        'warning: routes[0].rules[1].require.anyScope: no caller can ever have one of them: maxScopes of "corp" holds none',
      ],
    ],
    [file({ cap: 'queries:execute', top: 'scopeImplies: {queries:execute: [dashboards:read]}' })],
    [file({ cap: 'queries:execute' }).replace('authenticate: corp,', 'authenticate: {anyOf: [corp, keys]},')],
    [
      file({ cap: 'queries:execute' })
        .replace('authenticate: corp,', 'authenticate: {anyOf: [corp, keys]},')
        .replace('{methods: [GET]}', '{methods: [GET], clients: [corp/c]}'),
      ['require: {scopes: [‸', `warning: ${demands}[0]: ${never('dashboards:read')}`],
    ],
  ]);
});
