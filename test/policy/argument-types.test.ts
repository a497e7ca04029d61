// Conditions on arguments, held against the input schemas of a recorded catalogue: members that no schema declares, and comparisons that no type allows.
import t, { type Test } from 'tap';
import { recordedOf } from '../../src/mcp/catalog/definition.ts';
import { fileOf, lineAt, linesOf } from '../config/support.ts';

const nullable = (type: string) => ({ anyOf: [{ type }, { type: 'null' }] });

/** As Superset 6.1.0 shows them: the outer object is closed, `request` is not. */
const executeSql = {
  type: 'object',
  additionalProperties: false,
  properties: {
    request: {
      type: 'object',
      properties: {
        sql: { type: 'string' },
        limit: nullable('integer'),
        timeout: { type: 'integer' },
        dry_run: { type: 'boolean' },
        template_params: { anyOf: [{ type: 'object', additionalProperties: true }, { type: 'null' }] },
      },
    },
  },
};
const chartData = {
  type: 'object',
  additionalProperties: false,
  properties: {
    request: {
      type: 'object',
      properties: { format: { type: 'string', enum: ['json', 'csv'] }, limit: { type: 'integer' } },
    },
  },
};
const member = (schema: unknown) => ({ type: 'object', additionalProperties: false, properties: { a: schema } });
const inputSchemas: Readonly<Record<string, object>> = {
  execute_sql: executeSql,
  get_chart_data: chartData,
  health_check: { type: 'object', additionalProperties: false, properties: {} },
  anything: { type: 'object' },
  open: { ...member({ type: 'string' }), additionalProperties: true },
  typed_rest: { ...member({ type: 'string' }), additionalProperties: { type: 'integer' } },
  patterned: { ...member({ type: 'string' }), patternProperties: { '^x-': {} } },
  referring: { $ref: '#/$defs/a', properties: { a: { $ref: '#/$defs/a' } } },
  branching: { type: 'object', properties: { a: {} }, anyOf: [{ properties: { b: {} } }] },
  half_known: member({ anyOf: [{ type: 'integer' }, { $ref: '#/$defs/a' }] }),
  untyped: member({ description: 'anything' }),
  either: member({ type: ['integer', 'string'] }),
  list: member({ type: 'array', items: { type: 'string' } }),
  constructed: member({ type: 'object', additionalProperties: false, properties: { b: { type: 'string' } } }),
  call_tool: member({ type: 'string' }),
};
const catalog = JSON.stringify({
  ...{ format: 'portcullis-catalog-1', protocolVersion: '2025-11-25', server: { name: 'demo', version: '1' } },
  tools: Object.entries(inputSchemas).map(([name, inputSchema]) => ({
    name,
    ...recordedOf('tools', { name, inputSchema }),
  })),
  ...{ resources: [], resourceTemplates: [], prompts: [] },
});

const yamlOf = (rule: string) =>
  fileOf({
    routes: `[{path: /mcp, upstream: superset, authenticate: corp, mcp: {catalog: {file: c.json}, metaTools: {call_tool: {name: /name, arguments: /arguments}}, rules: [${rule}]}}]`,
  });
const denying = (tools: string, when: string) => `{deny: {tools: [${tools}], when: ${JSON.stringify(when)}}}`;

/** All that `check` says of rules, but for advice on fields that may be absent. */
async function problems(t: Test, rule: string): Promise<readonly string[]> {
  const yaml = yamlOf(rule);
  const files = { 'c.json': catalog };
  const lines = await linesOf(t.testdir(), yaml, { files });
  return lines
    .filter((line) => !line.includes(' may be absent, '))
    .map((line) => line.replace(/gateway\.yaml:\d+:\d+ /, ''));
}

const at = 'routes[0].mcp.rules[0].deny.when: ';
const schemas = 'in the recorded input schemas';
const byThem = 'by the recorded input schemas';

t.test('args.request.limt for limit, with a recorded catalogue', async (t) => {
  const rows: [tools: string, when: string, ...messages: string[]][] = [
    ['execute_sql', 'args.request.limt > 1000', `args.request has no member "limt" ${schemas} (did you mean "limit"?)`],
    ['execute_sql', 'has(args.request.limt)', `args.request has no member "limt" ${schemas} (did you mean "limit"?)`],
    ['execute_sql', "'limt' in args.request", `args.request has no member "limt" ${schemas} (did you mean "limit"?)`],
    [
      'execute_sql',
      "args['request']['limt'] == 1",
      `args.request has no member "limt" ${schemas} (did you mean "limit"?)`,
    ],
    ['execute_sql', "args.requst.sql == ''", `args has no member "requst" ${schemas} (did you mean "request"?)`],
    ['execute_sql', "args.sql == ''", `args has no member "sql" ${schemas}`],
    ['health_check', 'has(args.x)', `args has no member "x" ${schemas}`],
    ['constructed', "args.a.c.d == ''", `args.a has no member "c" ${schemas} (did you mean "b"?)`],
    ['constructed', 'has(args.constructor)', `args has no member "constructor" ${schemas}`],
    [
      '"execute_sql", get_chart_data',
      "args.request.fromat == 'csv'",
      `args.request has no member "fromat" ${schemas} (did you mean "format"?)`,
    ],
    [
      'execute_sql, health_check',
      "args.request.sqll == ''",
      `args.request has no member "sqll" ${schemas} (did you mean "sql"?)`,
    ],
  ];
  for (const [tools, when, ...messages] of rows) {
    t.same(
      await problems(t, denying(tools, when)),
      messages.map((message) => at + message),
      `${tools}: ${when}`,
    );
  }
  const allowing = `{allow: {tools: [execute_sql]}, require: {when: "has(args.request.limt)"}}`;
  t.same(await problems(t, allowing), [
    `routes[0].mcp.rules[0].require.when: args.request has no member "limt" ${schemas} (did you mean "limit"?)`,
  ]);
  const yaml = yamlOf(denying('execute_sql', 'has(args.request.limt)'));
  t.same(await linesOf(t.testdir(), yaml, { files: { 'c.json': catalog } }), [
    lineAt(yaml, 'when: ‸"has', `${at}args.request has no member "limt" ${schemas} (did you mean "limit"?)`),
  ]);
});

t.test('an alias that is near to no declared name is a warning where the schema does not refuse it', async (t) => {
  t.same(await problems(t, denying('execute_sql', "has(args.request.query) && args.request.query.contains('DROP')")), [
    `warning: ${at}args.request has no member "query" ${schemas}`,
  ]);
});

t.test('args.request.limit <= "1000" where the schema says integer', async (t) => {
  const never = (path: string, type: string, op: string, other: string) =>
    `${path} is ${type} ${byThem}, and "${op}" ${op === '!=' ? 'always' : 'never'} holds between it and ${other}`;
  const rows: [tools: string, when: string, message: string][] = [
    [
      'get_chart_data',
      'args.request.limit == "1000"',
      `${never('args.request.limit', 'a number', '==', 'a text')}: write 1000`,
    ],
    ['execute_sql', '"many" == args.request.limit', never('args.request.limit', 'a number or null', '==', 'a text')],
    ['execute_sql', 'args.request.timeout != true', never('args.request.timeout', 'a number', '!=', 'a boolean')],
    ['execute_sql', 'args.request.sql == 3', never('args.request.sql', 'a text', '==', 'a number')],
    ['execute_sql', 'args.request.sql > -3', never('args.request.sql', 'a text', '>', 'a number')],
    ['execute_sql', "args.request.dry_run == 'true'", never('args.request.dry_run', 'a boolean', '==', 'a text')],
    ['execute_sql', 'args.request.sql == args.request.timeout', never('args.request.sql', 'a text', '==', 'a number')],
    ['execute_sql', "args.request == 'x'", never('args.request', 'an object', '==', 'a text')],
    ['list', "args.a == 'x'", never('args.a', 'a list', '==', 'a text')],
    [
      'execute_sql',
      "args.request.timeout in ['1', '2']",
      `args.request.timeout is a number ${byThem}, and "in" never holds between it and a list with a text`,
    ],
    [
      'execute_sql',
      "'DROP' in args.request.sql",
      `args.request.sql is a text ${byThem}, and nothing is "in" it: ask with contains()`,
    ],
    [
      'execute_sql, get_chart_data',
      "args.request.limit == 'x'",
      never('args.request.limit', 'a number or null', '==', 'a text'),
    ],
    [
      'execute_sql, get_chart_data',
      "tool == 'execute_sql' || args.request.format == 1",
      never('args.request.format', 'a text', '==', 'a number'),
    ],
  ];
  for (const [tools, when, message] of rows) t.same(await problems(t, denying(tools, when)), [at + message], when);
  const ordered = await problems(t, denying('execute_sql', 'args.request.limit <= "1000"'));
  t.ok(
    ordered.includes(`${at}${never('args.request.limit', 'a number or null', '<=', 'a text')}: write 1000`),
    ordered.join('\n'),
  );
});

t.test('what fits, and what schemas leave open', async (t) => {
  const rows: [tools: string, when: string][] = [
    ['execute_sql', "has(args.request.limit) && args.request.limit <= 1000 && args.request.sql != ''"],
    ['execute_sql', 'args.request.limit == null || args.request.timeout == null'],
    ['execute_sql', "args.request.template_params.x == 'y' && 'x' in args.request.template_params"],
    ['execute_sql', "args.request.sql.contains('DROP') && args.request.sql in ['a', 'b']"],
    ['execute_sql, get_chart_data', "tool == 'execute_sql' || args.request.format == 'csv'"],
    ['anything', "args.x == 1 && args.y == 'z'"],
    ['open', 'args.b == 1'],
    ['typed_rest', "args.b == 'x'"],
    ['patterned', 'args.b == 1'],
    ['referring', "args.b == 1 && args.a == 'x' && args.a.c == 1"],
    ['branching', "args.b == 1 && args.a == 'x'"],
    ['half_known', "args.a == 'x'"],
    ['untyped', "args.a == 'x' && args.a.b == 1 && 'x' in args.a"],
    ['either', "args.a == 'x' && args.a == 1"],
    ['list', "'x' in args.a && args.a.exists(each, each == 'x') && args.a[0] == 'x'"],
    ['"execute_sql", anything', 'has(args.request.limt)'],
    ['"exec*"', 'has(args.request.limt)'],
    ['"execute_sql", call_tool', 'has(args.request.limt)'],
    ['call_tool', 'args.b == 1'],
    ['execute_sql', "principal.claims.size() == 0 && request.path == '/mcp'"],
  ];
  for (const [tools, when] of rows) t.same(await problems(t, denying(tools, when)), [], `${tools}: ${when}`);
  t.same(
    await problems(t, '{deny: {tools: [execute_sql], prompts: ["*"], when: "has(args.limt)"}}'),
    [],
    'of prompts too',
  );
  t.same(await problems(t, '{deny: {when: "has(args.limt)"}}'), [], 'of everything');
});
