// Warnings on names that nobody has: tools, resources, prompts, methods and clients of rules, and tools of `audit.arguments`.
import t, { type Test } from 'tap';
import { fileOf, lineAt, linesOf } from './support.ts';

const hash = (digit: string) => `sha256:9a0364b9e99bb480dd25e1f0284c8555fa1d2c7e1b3c4d5e6f708192a3b4c5d${digit}`;
const authenticators = `{corp: {type: jwt, issuer: https://idp.example.com/}, legacy-keys: {type: apiKey, keys: [${[
  'reporting_tool',
  'batch',
].map(
  (clientId, index) =>
    `{id: k${index}, hash: "${hash(String(index))}", clientId: ${clientId}, scopes: [dashboards:read], expires: 2027-01-01}`,
)}]}}`;

const superset = (rules: string, more = '') =>
  fileOf({
    authenticators,
    routes: `[{path: /mcp, upstream: superset, authenticate: {anyOf: [corp, legacy-keys]}, mcp: {preset: superset, ${more}rules: [${rules}]}}]`,
  });

const at = 'routes[0].mcp.rules[0]';

/** A file, the place and the text of its one warning; without these it has none. */
async function hold(
  t: Test,
  rows: readonly (readonly [yaml: string, mark?: string, warning?: string])[],
): Promise<void> {
  for (const [yaml, mark, warning] of rows) {
    const expected = mark === undefined ? [] : [`warning: ${lineAt(yaml, mark, warning!)}`];
    t.same(await linesOf(t.testdir(), yaml), expected, mark ?? yaml.split('\n')[5]!);
  }
}

t.test('deny: {tools: [exec_sql]} with a preset whose tools are known', (t) =>
  hold(t, [
    [
      superset('{deny: {tools: [exec_sql]}}'),
      '[‸exec_sql',
      `${at}.deny.tools[0]: "exec_sql" is no known tool of this server (did you mean "execute_sql"?)`,
    ],
    [
      superset('{deny: {tools: [execute_sql, ExecuteSQL]}}'),
      '‸ExecuteSQL',
      `${at}.deny.tools[1]: "ExecuteSQL" is no known tool of this server (did you mean "execute_sql"?)`,
    ],
    [
      superset('{deny: {tools: [teleport]}}'),
      '‸teleport',
      `${at}.deny.tools[0]: "teleport" is no known tool of this server`,
    ],
    [
      superset('{deny: {tools: ["exec_sq*"]}}'),
      '‸"exec_sq*"',
      `${at}.deny.tools[0]: "exec_sq*" matches no known tool of this server (did you mean "execute_sql"?)`,
    ],
    [
      superset('{deny: {tools: ["*_squl"]}}'),
      '‸"*_squl"',
      `${at}.deny.tools[0]: "*_squl" matches no known tool of this server (did you mean "execute_sql"?)`,
    ],
    [
      superset('{allow: {tools: [list_dashbords]}, require: {scopes: [dashboards:read]}}'),
      '‸list_dashbords',
      `${at}.allow.tools[0]: "list_dashbords" is no known tool of this server (did you mean "list_dashboards"?)`,
    ],
    [
      superset('{deny: {prompts: [quickstrat], resources: [instance://metadata]}}'),
      '‸quickstrat',
      `${at}.deny.prompts[0]: "quickstrat" is no known prompt of this server (did you mean "quickstart"?)`,
    ],
    [
      superset('{deny: {resources: [instance://meta-data]}}'),
      '‸instance://meta-data',
      `${at}.deny.resources[0]: "instance://meta-data" is no known resource of this server (did you mean "instance://metadata"?)`,
    ],
    [
      superset('{deny: {methods: [tool/call]}}'),
      '‸tool/call',
      `${at}.deny.methods[0]: "tool/call" is no method of MCP (did you mean "tools/call"?)`,
    ],
    [
      superset('{deny: {tools: [execute_sql]}}', 'audit: {arguments: {exec_sql: [/request/sql]}}, '),
      'exec_sql: ‸',
      'routes[0].mcp.audit.arguments.exec_sql: "exec_sql" is no known tool of this server (did you mean "execute_sql"?)',
    ],
  ]),
);

t.test('what may be meant for later versions, extensions and other servers is left alone', (t) =>
  hold(t, [
    [superset('{deny: {tools: ["delete_*", "remove_*", "*sql*", call_tool], methods: ["tools/*"]}}')],
    [superset('{allow: {tools: ["extensions.acme.*"]}, require: {scopes: [dashboards:read]}}')],
    [superset('{deny: {tools: [my_search]}}', 'metaTools: {my_search: {results: ""}}, ')],
    [superset('{deny: {methods: [acme/report]}}')],
    [
      fileOf({
        routes: '[{path: /mcp, upstream: superset, authenticate: corp, mcp: {rules: [{deny: {tools: [exec_sql]}}]}}]',
      }),
    ],
  ]),
);

t.test('names of a recorded catalogue, which are all that there are', async (t) => {
  const catalog = {
    ...{ format: 'portcullis-catalog-1', protocolVersion: '2025-11-25', server: { name: 'demo', version: '1' } },
    ...{ tools: [{ name: 'read_ledger' }], resources: [], resourceTemplates: [], prompts: [] },
  };
  const yaml = (rule: string) =>
    fileOf({
      routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {catalog: {file: c.json}, rules: [${rule}]}}]`,
    });
  const lines = (text: string) => linesOf(t.testdir(), text, { files: { 'c.json': JSON.stringify(catalog) } });
  const typo = yaml('{deny: {tools: [read_leger, read_ledger]}}');
  t.same(await lines(typo), [
    `warning: ${lineAt(typo, '‸read_leger', `${at}.deny.tools[0]: "read_leger" is no known tool of this server (did you mean "read_ledger"?)`)}`,
  ]);
  const glob = yaml('{allow: {tools: ["audit_*", "read_*"]}}, {deny: {tools: ["delete_*"]}}');
  t.same(await lines(glob), [
    `warning: ${lineAt(glob, '‸"audit_*"', `${at}.allow.tools[0]: "audit_*" matches no known tool of this server`)}`,
  ]);
});

t.test('clients of a closed allowlist', (t) => {
  const file = (client: string, authenticate = '{anyOf: [corp, legacy-keys]}') =>
    fileOf({
      authenticators,
      routes: `[{path: /api, upstream: superset, authenticate: ${authenticate}, rules: [{allow: {clients: [${client}]}}]}, {path: /b, upstream: superset, authenticate: {anyOf: [corp, legacy-keys]}}]`,
    });
  const clients = 'routes[0].rules[0].allow.clients[0]';
  return hold(t, [
    [
      file('legacy-keys/reporting_tol'),
      '‸legacy-keys/reporting_tol',
      `${clients}: can never match: "legacy-keys" has no client "reporting_tol" (did you mean "reporting_tool"?)`,
    ],
    [
      file('reporting-tool', 'legacy-keys'),
      '‸reporting-tool',
      `${clients}: can never match: "legacy-keys" has no client "reporting-tool" (did you mean "reporting_tool"?)`,
    ],
    [file('legacy-keys/reporting_tool')],
    [file('corp/reporting_tol')],
    [file('reporting_tol', 'corp')],
  ]);
});

t.test('a client id with *, which is no glob', (t) => {
  const file = (clients: string, effect = 'allow') =>
    fileOf({
      authenticators: authenticators.replace('clientId: reporting_tool', 'clientId: "all*"'),
      routes: `[{path: /api, upstream: superset, authenticate: {anyOf: [corp, legacy-keys]}, rules: [{${effect}: {clients: [${clients}]}}]}]`,
    });
  const whole = 'is no glob: client ids are compared whole, so name each client';
  const clients = (effect: string) => `routes[0].rules[0].${effect}.clients[0]`;
  t.match(authenticators, 'clientId: reporting_tool');
  return hold(t, [
    [file('"corp/ai_*"'), '‸"corp/ai_*"', `${clients('allow')}: "ai_*" ${whole}`],
    [file('"corp/*", corp/ai', 'deny'), '‸"corp/*"', `${clients('deny')}: "*" ${whole}`],
    [file('"legacy-keys/report*"'), '‸"legacy-keys/report*"', `${clients('allow')}: "report*" ${whole}`],
    [file('"legacy-keys/all*"')],
  ]);
});

t.test('an allow on a preset’s tool without require says who can now call it', (t) => {
  const everyone = 'every token that "corp" accepts and every key of "legacy-keys"';
  const opens = (what: string, scopes: string) =>
    `${at}.allow: opens ${what} to ${everyone}, where the preset demands ${scopes}; write require: {scopes: […]}`;
  return hold(t, [
    [superset('{allow: {tools: [execute_sql]}}'), 'allow: ‸{tools', opens('execute_sql', 'queries:execute')],
    [
      superset('{allow: {tools: [execute_sql, health_check], when: "has(args.a)"}, require: {when: "has(args.b)"}}'),
      'allow: ‸{tools',
      opens('execute_sql', 'queries:execute'),
    ],
    [
      superset('{allow: {tools: ["execute_*"]}, require: {scopes: []}}'),
      'allow: ‸{tools',
      opens('execute_sql', 'queries:execute'),
    ],
    [
      superset('{allow: {methods: ["resources/*"]}}'),
      'allow: ‸{methods',
      opens('instance://metadata, chart://configs', 'dashboards:read'),
    ],
    [superset('{allow: {tools: [execute_sql]}, require: {anyScope: [queries:execute]}}')],
    [superset('{allow: {tools: [execute_sql], clients: [corp/ai_agent_prod]}}')],
    [superset(`{allow: {tools: [execute_sql], when: "'sql' in principal.scopes"}}`)],
    [superset('{allow: {tools: [health_check], prompts: ["*"], methods: ["tools/*", "prompts/*"]}}')],
    [superset('{deny: {tools: [execute_sql]}}, {allow: {tools: ["execute_*", health_check]}}')],
  ]);
});
