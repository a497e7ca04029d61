// The preset of Superset held against its documented catalogue, alone and behind an operator's own rules, called directly and through call_tool.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import type { Caller } from '../../src/authn/caller/principal.ts';
import { catalogLists, parseCatalog } from '../../src/mcp/catalog/catalog.ts';
import { compileMetaTools, lookThrough } from '../../src/mcp/meta-tools.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { createConditionCompiler } from '../../src/policy/condition/condition.ts';
import { conditionWarnings, unguardedFields } from '../../src/policy/condition/condition-lint.ts';
import { knownNamesOf } from '../../src/policy/lint/known-names.ts';
import { unreachableRules } from '../../src/policy/lint/unreachable-rules.ts';
import { metaToolsOf, presetOf, rulesOf } from '../../src/policy/presets.ts';
import { type McpRuleConfig, type Policy, scopesOf } from '../../src/policy/rule.ts';
import { mcpSelectorTypes } from '../../src/policy/selectors/selector-types.ts';
import {
  agent,
  assertTable,
  call,
  callerOf,
  compile,
  frontend,
  type Request,
  reporting,
  rpc,
  verdict,
} from './scene.ts';

const compileCondition = createConditionCompiler();

const authenticators = ['corp-oauth', 'legacy-keys', 'workloads'];
const preset = { name: 'superset', rules: true } as const;
const policyOf = (rules = '[]'): Policy =>
  compile({ mcp: { preset, rules: parse(rules) as McpRuleConfig[] } }, authenticators);
const policy = policyOf();
const metaTools = compileMetaTools(metaToolsOf({ preset, metaTools: {} }));

const json = { request: { identifier: 1, format: 'json' } };

/** The documented catalogue of 6.1.0: the scope of each tool, or none. */
const catalogue: Readonly<Record<string, string | undefined>> = {
  health_check: undefined,
  get_instance_info: 'dashboards:read',
  get_schema: 'dashboards:read',
  list_dashboards: 'dashboards:read',
  get_dashboard_info: 'dashboards:read',
  generate_dashboard: 'dashboards:write',
  add_chart_to_existing_dashboard: 'dashboards:write',
  list_charts: 'dashboards:read',
  get_chart_info: 'dashboards:read',
  get_chart_type_schema: 'dashboards:read',
  get_chart_data: 'dashboards:read',
  get_chart_preview: 'dashboards:read',
  generate_chart: 'dashboards:write',
  update_chart: 'dashboards:write',
  update_chart_preview: 'dashboards:write',
  generate_explore_link: 'dashboards:read',
  list_datasets: 'queries:read',
  get_dataset_info: 'queries:read',
  create_virtual_dataset: 'queries:execute',
  list_databases: 'queries:read',
  get_database_info: 'queries:read',
  execute_sql: 'queries:execute',
  save_sql_query: 'queries:execute',
  open_sql_lab_with_context: 'queries:read',
};
const tools = Object.keys(catalogue);
const scopes = ['dashboards:read', 'dashboards:write', 'queries:read', 'queries:execute', 'exports:create'];
const holding = (...granted: string[]): Caller => callerOf({ clientId: 'c' }, granted);

function through(tool: string, args?: unknown): Request {
  const { message } = call('call_tool', { name: tool, ...(args === undefined ? {} : { arguments: args }) });
  return { message: lookThrough(message!, metaTools) };
}

t.test('each tool of the catalogue takes its scope and no other, directly and through call_tool', (t) => {
  t.equal(tools.length, 24);
  for (const [tool, needed] of Object.entries(catalogue)) {
    for (const request of [call(tool, json), through(tool, json)]) {
      if (needed === undefined) {
        t.equal(verdict(policy, holding(), request), 'allow superset:open');
        continue;
      }
      t.match(verdict(policy, holding(needed), request), /^allow superset:[a-z-]+$/, `${tool} with ${needed}`);
      const others = scopes.filter((scope) => scope !== needed);
      t.match(
        verdict(policy, holding(...others), request),
        new RegExp(`^insufficient_scope superset:[a-z-]+: ${needed}$`),
        `${tool} without ${needed}`,
      );
    }
  }
  t.equal(verdict(policy, holding(), call('search_tools', { query: 'sql' })), 'allow superset:open');
  t.end();
});

t.test('what is not in the catalogue is denied, whatever scopes there are', (t) => {
  const unknown = [
    'delete_dashboard',
    'query_dataset',
    'get_chart_sql',
    'extensions.acme.reports.run',
    'call_tool',
    'Execute_SQL',
    'execute_sql ',
    '',
    '*',
    'toString',
  ];
  for (const tool of unknown) {
    t.equal(verdict(policy, holding(...scopes), call(tool, json)), 'denied no rule', tool);
    if (tool !== 'call_tool') t.equal(verdict(policy, holding(...scopes), through(tool, json)), 'denied no rule', tool);
  }
  t.end();
});

t.test('chart data is an export unless it says json', (t) => {
  const data = (request?: unknown) => call('get_chart_data', request === undefined ? {} : { request });
  const exported = 'insufficient_scope superset:chart-export: exports:create';
  assertTable(t, policy, [
    ['json', frontend, data({ identifier: 1, format: 'json' }), 'allow superset:chart-rows'],
    ['csv', frontend, data({ identifier: 1, format: 'csv' }), exported],
    ['excel', frontend, data({ identifier: 1, format: 'excel' }), exported],
    ['another case', frontend, data({ identifier: 1, format: 'JSON' }), exported],
    ['a space', frontend, data({ identifier: 1, format: 'json ' }), exported],
    ['a format to come', frontend, data({ identifier: 1, format: 'parquet' }), exported],
    ['no format', frontend, data({ identifier: 1 }), exported],
    ['no request', frontend, data(), exported],
    ['no arguments', frontend, call('get_chart_data'), exported],
    ['a flat format', frontend, call('get_chart_data', { identifier: 1, format: 'json' }), exported],
    ['csv with the scope', reporting, data({ identifier: 1, format: 'csv' }), 'allow superset:chart-export'],
    ['through call_tool', frontend, through('get_chart_data', { request: { format: 'csv' } }), exported],
  ]);
  for (const format of [null, 1, true, ['json'], { json: 1 }]) {
    t.match(
      verdict(policy, frontend, data({ format })),
      /^(insufficient_scope|condition_error) /,
      JSON.stringify(format),
    );
  }
  for (const request of ['{"format":"json"}', 'json', 1, null, ['json'], [{ format: 'json' }]]) {
    t.match(
      verdict(policy, frontend, data(request)),
      /^(insufficient_scope|condition_error) /,
      JSON.stringify(request),
    );
  }
  t.end();
});

t.test('resources take dashboards:read, prompts nothing', (t) => {
  assertTable(t, policy, [
    ['metadata', frontend, rpc('resources/read', { uri: 'instance://metadata' }), 'allow superset:resources'],
    ['configurations', frontend, rpc('resources/subscribe', { uri: 'chart://configs' }), 'allow superset:resources'],
    [
      'without the scope',
      holding('queries:read'),
      rpc('resources/read', { uri: 'chart://configs' }),
      'insufficient_scope superset:resources: dashboards:read',
    ],
    ['another one', agent, rpc('resources/read', { uri: 'instance://secrets' }), 'denied no rule'],
    ['a prompt', holding(), rpc('prompts/get', { name: 'quickstart' }), 'allow superset:prompts'],
    ['a guide', holding(), rpc('prompts/get', { name: 'create_chart_guided' }), 'allow superset:prompts'],
    ['another prompt', agent, rpc('prompts/get', { name: 'other' }), 'denied no rule'],
  ]);
  t.end();
});

t.test('the scenario of the three clients holds', (t) => {
  const sql = { request: { database_id: 1, sql: 'SELECT 1', limit: 10 } };
  assertTable(t, policy, [
    ['the agent sees dashboards', agent, call('list_dashboards', {}), 'allow superset:view'],
    ['the agent runs SQL', agent, through('execute_sql', sql), 'allow superset:sql'],
    [
      'the frontend does not',
      frontend,
      through('execute_sql', sql),
      'insufficient_scope superset:sql: queries:execute',
    ],
    ['the reporting tool reads datasets', reporting, call('list_datasets', {}), 'allow superset:queries'],
    ['and edits nothing', reporting, call('update_chart', {}), 'insufficient_scope superset:edit: dashboards:write'],
  ]);
  t.same(scopesOf(policy), [
    'dashboards:read',
    'exports:create',
    'dashboards:write',
    'queries:read',
    'queries:execute',
  ]);
  t.end();
});

t.test('rules of the operator come first: they tighten, open and replace', (t) => {
  const own = policyOf(`
- {name: no-sql-at-night, deny: {tools: [execute_sql], networks: [203.0.113.0/24]}}
- name: rows
  allow: {tools: [execute_sql]}
  require: {scopes: [queries:execute], when: "has(args.request) && has(args.request.limit) && args.request.limit <= 1000"}
- {name: extensions, allow: {tools: ["extensions.acme.*"]}, require: {scopes: [dashboards:read]}}
- {name: no-meta, deny: {tools: [call_tool], clients: [reporting_tool]}}
- {name: no-drafts, deny: {tools: [generate_*]}}
`);
  const sql = (limit?: unknown) => ({ request: { sql: 'SELECT 1', ...(limit === undefined ? {} : { limit }) } });
  assertTable(t, own, [
    ['within the limit', agent, call('execute_sql', sql(1000)), 'allow rows'],
    ['beyond it', agent, call('execute_sql', sql(1001)), 'denied rows'],
    ['beyond it through call_tool', agent, through('execute_sql', sql(1001)), 'denied rows'],
    ['a decimal beyond it', agent, through('execute_sql', sql(1000.5)), 'denied rows'],
    ['no limit', agent, through('execute_sql', sql()), 'denied rows'],
    ['a limit that is none', agent, through('execute_sql', sql('1')), 'condition_error rows'],
    ['null', agent, through('execute_sql', sql(null)), 'condition_error rows'],
    ['a request as text', agent, through('execute_sql', { request: '{"limit":1}' }), 'denied rows'],
    ['the limit at the wrong place', agent, through('execute_sql', { limit: 1 }), 'denied rows'],
    ['no arguments', agent, through('execute_sql'), 'denied rows'],
    ['an extension', agent, through('extensions.acme.x', {}), 'allow extensions'],
    ['the rest is the preset', agent, call('list_dashboards', {}), 'allow superset:view'],
    ['a deny of the meta-tool', reporting, through('list_dashboards', {}), 'denied no-meta'],
    ['which is no deny of the tool', reporting, call('list_dashboards', {}), 'allow superset:view'],
    ['a deny of the inner tool', holding('dashboards:write'), through('generate_chart', {}), 'denied no-drafts'],
  ]);
  t.end();
});

t.test('statements can be told apart', (t) => {
  const reading = policyOf(`
- name: reads-only
  allow: {tools: [execute_sql], when: "has(args.request) && has(args.request.sql) && args.request.sql.lowerAscii().trim().startsWith('select ') && !args.request.sql.contains(';')"}
  require: {scopes: [queries:execute]}
- {name: no-other, deny: {tools: [execute_sql, save_sql_query, create_virtual_dataset]}}
`);
  const sql = (text: unknown) => through('execute_sql', { request: { sql: text } });
  assertTable(t, reading, [
    ['a select', agent, sql(' SELECT 1'), 'allow reads-only'],
    ['a drop', agent, sql('DROP TABLE x'), 'denied no-other'],
    ['two statements', agent, sql('SELECT 1; DROP TABLE x'), 'denied no-other'],
    ['no text', agent, sql(1), 'condition_error reads-only'],
    ['none', agent, through('execute_sql', { request: {} }), 'denied no-other'],
  ]);
  t.end();
});

t.test('a call through call_tool is decided as the same call made directly', (t) => {
  const own = policyOf(`
- {name: none-of-these, deny: {tools: ["list_d*"], when: "has(args.request) && has(args.request.page) && args.request.page > 3"}}
- {name: unguarded, allow: {tools: [update_chart], when: "args.request.identifier == 1"}, require: {scopes: [dashboards:write]}}
- {name: named, allow: {tools: ["*"], when: "tool == 'get_schema' && size(args) == 0"}}
- name: rows
  allow: {tools: [execute_sql]}
  require: {scopes: [queries:execute], when: "has(args.request) && has(args.request.limit) && args.request.limit <= 1000"}
`);
  const format = fc.constantFrom('json', 'csv', 'excel', '', null, 1);
  const request = fc.oneof(
    fc.record(
      { identifier: fc.constantFrom(1, 2), format, limit: fc.constantFrom(1, 1000, 1001, '1'), page: fc.nat(6) },
      { requiredKeys: [] },
    ),
    fc.jsonValue(),
  );
  const args = fc.oneof(
    fc.constant(undefined),
    fc.constant({}),
    fc.record({ request }),
    fc.dictionary(fc.string(), fc.jsonValue()),
  );
  const tool = fc.oneof(fc.constantFrom(...tools), fc.constantFrom('delete_chart', 'extensions.a.b', ''), fc.string());
  const seen = new Set<string>();
  fc.assert(
    fc.property(tool, args, fc.subarray(scopes), (name, given, granted) => {
      if (name === 'call_tool' || name === 'search_tools') return true;
      const direct = call(name, given);
      const behind = through(name, given);
      const expected = verdict(own, holding(...granted), direct);
      seen.add(expected.split(' ')[0]!);
      return (
        verdict(own, holding(...granted), behind) === expected &&
        String(behind.message?.argumentBytes) === String(direct.message?.argumentBytes)
      );
    }),
    { numRuns: 3000 },
  );
  t.same([...seen].sort(), ['allow', 'condition_error', 'denied', 'insufficient_scope'], 'all verdicts occur');
  t.end();
});

t.test('the preset stands the checks that an operator\u2019s rules stand', (t) => {
  const { rules } = presetOf({ preset });
  t.same(unreachableRules(rules, mcpSelectorTypes), []);
  for (const { name, allow, require, deny } of rules) {
    t.match(name, /^superset:[a-z-]+$/);
    t.equal(deny, undefined);
    for (const when of [allow?.when, require?.when].filter((source) => source !== undefined)) {
      const condition = compileCondition(when);
      t.same([...unguardedFields(condition), ...conditionWarnings(condition)], []);
    }
    const globs = [...(allow?.tools ?? []), ...(allow?.resources ?? []), ...(allow?.prompts ?? [])];
    t.notOk(
      globs.some((glob) => glob.includes('*')),
      `${name}: every name in full`,
    );
  }
  t.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
  t.end();
});

t.test('its rules can be left out, and its meta-tools replaced', (t) => {
  const rules: McpRuleConfig[] = [{ allow: { tools: ['a'] } }];
  t.same(rulesOf({ preset: { name: 'superset', rules: false }, rules }), rules);
  t.same(rulesOf({ preset: undefined, rules }), rules);
  t.same(metaToolsOf({ preset: undefined, metaTools: {} }), {});
  const proxy = { name: '/tool', arguments: '/args' };
  t.same(metaToolsOf({ preset, metaTools: { call_tool: proxy, proxy } }), {
    call_tool: proxy,
    search_tools: { results: '/result' },
    proxy,
  });
  t.end();
});

t.test('the known names are those of the documented catalogue and of the recorded one of deploy/superset', (t) => {
  const names = knownNamesOf({ mcp: { preset } }, createNamedFiles(new Map()));
  t.same(names?.tools, [...Object.keys(catalogue), 'call_tool', 'search_tools'].sort());
  const file = join(import.meta.dirname, '../../deploy/superset/superset-6.1.0.catalog.json');
  const recorded = parseCatalog(readFileSync(file));
  for (const { member } of catalogLists) t.same(names?.[member], [...recorded[member].keys()].sort(), member);
  t.equal(knownNamesOf({ mcp: {} }, createNamedFiles(new Map())), undefined, 'without a preset no name is known');
  t.end();
});
