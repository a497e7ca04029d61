// Checks of `limits`, and of the routes and rules that name them.
import t from 'tap';
import { fileOf, lineAt, linesOf } from './support.ts';

const corp = 'corp: {type: jwt, issuer: https://a.example/, claims: {tenant: org_id}}';
const partner = 'partner: {type: jwt, issuer: https://b.example/}';

function file(limits: string, routes: string): string {
  const authenticators = routes.includes('partner') ? `{${corp}, ${partner}}` : `{${corp}}`;
  return fileOf({ authenticators, routes: `[${routes}]`, more: `limits: ${limits}` });
}

const used = (names: string) => `{path: /api, upstream: superset, authenticate: corp, limits: [${names}]}`;

async function hold(name: string, yaml: string, ...expected: (readonly [mark: string, rest: string])[]) {
  await t.test(name, async (t) => {
    const lines = expected.map(([mark, rest]) =>
      rest.startsWith('warning: ') ? `warning: ${lineAt(yaml, mark, rest.slice(9))}` : lineAt(yaml, mark, rest),
    );
    t.same(await linesOf(t.testdir(), yaml), lines);
  });
}

await hold(
  'rates and quotas by everything that a call has, on routes and rules',
  file(
    '{all: {rate: 200/s}, sql: {rate: 30/m, burst: 10, per: [client, subject, credential, tool]}, exports: {quota: 500/d, per: [tenant, address, route]}}',
    '{path: /mcp, upstream: superset, authenticate: corp, limits: [all], mcp: {rules: [{allow: {tools: [a]}, limits: [sql, exports]}]}}',
  ),
);
await hold(
  'a limit has one size',
  file(
    '{none: {per: [subject]}, both: {rate: 1/s, quota: 1/d}, burst: {quota: 1/d, burst: 2}}',
    used('none, both, burst'),
  ),
  ['‸{per: [subject]}', 'limits.none: needs either rate or quota'],
  ['‸{rate: 1/s, quota', 'limits.both: needs either rate or quota'],
  ['‸2}}', 'limits.burst.burst: belongs to a rate'],
);
await hold(
  'a rate and a quota are above zero, and a quota is of a minute, hour or day',
  file('{zero: {rate: 0/s}, second: {quota: 1/s}}', used('zero, second')),
  ['‸0/s', 'limits.zero.rate: expected a rate above zero, such as 20/s or 30/m'],
  ['‸1/s', 'limits.second.quota: expected a quota above zero in a minute, hour or day, such as 500/d'],
);
await hold(
  'a name in `per` is a value that calls have',
  file('{sql: {rate: 1/s, per: [subjekt, tenat, subject, subject]}}', used('sql')),
  ['‸subjekt', 'limits.sql.per[0]: no authenticator has the claim "subjekt" in its claims (did you mean "subject"?)'],
  ['‸tenat,', 'limits.sql.per[1]: no authenticator has the claim "tenat" in its claims (did you mean "tenant"?)'],
  ['‸subject]', 'limits.sql.per[3]: "subject" is there twice'],
);
await hold(
  'routes and rules name limits that exist, once, and where they are taken from',
  file(
    '{sql: {rate: 1/s}, exports: {rate: 1/s}}',
    '{path: /api, upstream: superset, authenticate: corp, limits: [sqll, sql, sql], rules: [{allow: {methods: [GET]}, limits: [export]}, {deny: {methods: [PUT]}, limits: [sql]}]}',
  ),
  ['‸sqll', 'routes[0].limits[0]: unknown limit "sqll" (did you mean "sql"?)'],
  ['‸sql], rules', 'routes[0].limits[2]: "sql" is there twice'],
  ['‸export]}', 'routes[0].rules[0].limits[0]: unknown limit "export" (did you mean "exports"?)'],
  ['‸[sql]}', 'routes[0].rules[1].limits: belong to allow; what is denied takes nothing from a limit'],
);
await hold(
  'a limit that nobody is under, or whose values no call of the route has, is a warning',
  file(
    '{idle: {rate: 1/s}, people: {rate: 1/s, per: [subject, address]}, tenants: {rate: 1/s, per: [tenant, tool]}}',
    '{path: /open, upstream: superset, authenticate: none, limits: [people]}, {path: /api, upstream: superset, authenticate: partner, limits: [tenants]}, {path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: [{allow: {tools: [a]}, limits: [tenants], mode: report}, {allow: {tools: [b]}}]}}',
  ),
  ['‸people]', 'warning: routes[0].limits[0]: no call of this route has "subject": in "people" they share one bucket'],
  [
    '‸tenants]}, {path: /mcp',
    'warning: routes[1].limits[0]: no call of this route has "tenant" and "tool": in "tenants" they share one bucket',
  ],
  ['‸[tenants], mode', 'warning: routes[2].mcp.rules[0].limits: are not asked while the rule is only reported'],
  ['‸{rate: 1/s}, people', 'warning: limits.idle: is not used by any route or rule'],
);
await hold(
  'names of limits stand in headers',
  file('{"a,b": {rate: 1/s}}', '{path: /api, upstream: superset, authenticate: corp}'),
  ['‸"a,b"', 'limits["a,b"]: expected a name of letters, digits and _ . -'],
);
