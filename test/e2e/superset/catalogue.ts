// `preset: superset` against the tools that the real server has: none that it does not know, and each called by who may and refused to who may not.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { superset as preset } from '../../../src/policy/presets.ts';
import { type Called, pinnedYaml, sendDirectly, type World } from './world.ts';

const config = { chart_type: 'table', columns: [{ name: 'product' }] };
const meta = ['call_tool', 'search_tools'];

/** Real arguments of every tool, in an order in which later ones find what earlier ones made. */
const calls: readonly [string, (made: Made) => unknown][] = [
  ['health_check', () => ({})],
  ['get_instance_info', () => ({})],
  ['get_schema', () => ({ request: { model_type: 'chart' } })],
  ['list_dashboards', () => ({ request: {} })],
  ['get_dashboard_info', () => ({ request: { identifier: 'sales' } })],
  ['list_charts', () => ({ request: {} })],
  ['get_chart_info', () => ({ request: { identifier: 1 } })],
  ['get_chart_type_schema', () => ({ chart_type: 'table' })],
  ['get_chart_data', () => ({ request: { identifier: 1, format: 'json', limit: 5 } })],
  ['get_chart_preview', () => ({ request: { identifier: 1, format: 'ascii' } })],
  ['generate_explore_link', () => ({ request: { dataset_id: 1, config } })],
  ['list_datasets', () => ({ request: {} })],
  ['get_dataset_info', () => ({ request: { identifier: 1 } })],
  ['list_databases', () => ({ request: {} })],
  ['get_database_info', () => ({ request: { identifier: 1 } })],
  ['open_sql_lab_with_context', () => ({ request: { database_connection_id: 1, sql: 'SELECT 1' } })],
  ['execute_sql', () => ({ request: { database_id: 1, sql: 'SELECT 1 AS one' } })],
  ['save_sql_query', () => ({ request: { database_id: 1, label: 'one', sql: 'SELECT 1' } })],
  ['create_virtual_dataset', () => ({ request: { database_id: 1, dataset_name: 'one', sql: 'SELECT 1 AS one' } })],
  ['generate_chart', () => ({ request: { dataset_id: 1, config, save_chart: true, chart_name: 'made' } })],
  [
    'update_chart',
    ({ chart }) => ({ request: { identifier: chart, chart_name: 'made anew', config, generate_preview: false } }),
  ],
  ['update_chart_preview', ({ formData }) => ({ request: { form_data_key: formData, dataset_id: 1, config } })],
  ['generate_dashboard', ({ chart }) => ({ request: { chart_ids: [chart], dashboard_title: 'made' } })],
  ['add_chart_to_existing_dashboard', ({ dashboard }) => ({ request: { dashboard_id: dashboard, chart_id: 1 } })],
];

/** What the calls themselves have made in Superset. */
interface Made {
  chart?: number;
  formData?: string;
  dashboard?: number;
}

export function catalogueTests(world: World): void {
  const { ports, superset } = world.servers;
  const { everything, nothing } = world.keys;

  test('with tool search on, the list shows the meta-tools and what is always visible', async () => {
    const names = toolsIn(await world.send(everything, list));
    assert.deepEqual(names.sort(), ['call_tool', 'get_instance_info', 'health_check', 'search_tools']);
  });

  test('with tool search off, the preset knows every tool of the server, and the server has every tool of the preset', async () => {
    const [spare] = ports.spare;
    const daemon = await superset.startMcp(spare, { env: { TOOL_SEARCH: 'off' } });
    await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${spare}`));
    try {
      const answered = await world.send(everything, list);
      const shown = toolsIn(answered);
      const known = calls.map(([name]) => name);
      assert.deepEqual(shown.sort(), known.sort(), 'all of them are shown to who may call all of them');
      const whole = await sendDirectly(spare, await world.assertionFor('alice'), list);
      assert.equal(answered.answer.text, whole.answer.text, 'nothing hidden, nothing changed');
      const direct = toolsIn(whole);
      assert.deepEqual(direct.sort(), shown, 'the gateway has hidden none');
      const ruled = new Set(preset.rules.flatMap((rule) => ('allow' in rule && rule.allow?.tools) || []));
      for (const name of direct) assert.ok(ruled.has(name), `the preset has no rule for ${name}`);
      for (const name of ruled) assert.ok(meta.includes(name) || direct.includes(name), `Superset has no ${name}`);
      assert.deepEqual(toolsIn(await world.send(nothing, list)), ['health_check'], 'nothing else without scopes');
    } finally {
      await world.gateway.reload(world.yaml);
      await daemon.stop();
    }
  });

  test('every tool does its work for who may call it, by name and through call_tool, on a route that pins what was recorded', async () => {
    await world.gateway.reload(pinnedYaml(world.yaml));
    try {
      const made: Made = {};
      for (const [index, [name, argumentsOf]] of calls.entries()) {
        const args = argumentsOf(made);
        const called =
          index % 2 === 0
            ? await world.call(everything, name, args)
            : await world.call(everything, 'call_tool', { name, arguments: args });
        assert.ok(called.result, `${name}: ${called.answer.text.slice(-2000)}`);
        assert.doesNotMatch(
          called.text,
          /^Error|Permission denied|"error_type":"|"success":false/,
          `${name}: ${called.text}`,
        );
        remember(made, name, called);
        const record = await world.gateway.record(({ id }) => id === called.answer.id);
        assert.equal(record.mcp?.tool, name);
      }
      assert.equal(await world.gateway.metric('portcullis_tool_definition_changes_total'), 0);
    } finally {
      await world.gateway.reload(world.yaml);
    }
  });

  test('every tool that takes a scope is refused to who has none, by name and through call_tool', async () => {
    const before = await superset.countActions();
    for (const [name, argumentsOf] of calls.filter(([name]) => name !== 'health_check')) {
      const args = argumentsOf({ chart: 1, dashboard: 1, formData: 'none' });
      for (const called of [
        await world.call(nothing, name, args),
        await world.call(nothing, 'call_tool', { name, arguments: args }),
      ]) {
        assert.equal(called.error?.data?.code, 'insufficient_scope', `${name}: ${called.answer.text}`);
      }
    }
    assert.equal(await superset.countActions(), before, 'Superset heard of none of them');
  });

  test('a search shows what the caller may call', async () => {
    const find = async (credential: string) =>
      (await world.call(credential, 'search_tools', { query: 'execute sql query' })).text;
    assert.match(await find(everything), /execute_sql/);
    assert.doesNotMatch(await find(nothing), /execute_sql/);
  });

  test('chart rows as CSV or Excel are exports, and so is a format that is not said', async () => {
    const rows = (format: object) => ({ request: { identifier: 1, limit: 5, ...format } });
    for (const format of [{ format: 'csv' }, { format: 'excel' }, {}]) {
      const refused = await world.call(world.keys.viewing, 'get_chart_data', rows(format));
      assert.equal(refused.error?.data?.code, 'insufficient_scope', JSON.stringify(format));
      assert.match(refused.error?.message ?? '', /exports:create/);
    }
    assert.match((await world.call(world.keys.viewing, 'get_chart_data', rows({ format: 'json' }))).text, /kettle/);
    assert.match((await world.call(everything, 'get_chart_data', rows({ format: 'csv' }))).text, /day,tenant,product/);
  });

  test('resources and prompts are those that the preset knows', async () => {
    const resources = (await world.send(everything, { ...list, method: 'resources/list' })).result?.resources;
    assert.deepEqual((resources as { uri: string }[]).map(({ uri }) => uri).sort(), [
      'chart://configs',
      'instance://metadata',
    ]);
    const prompts = (await world.send(everything, { ...list, method: 'prompts/list' })).result?.prompts;
    assert.deepEqual((prompts as { name: string }[]).map(({ name }) => name).sort(), [
      'create_chart_guided',
      'quickstart',
    ]);
    const read = { jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: 'instance://metadata' } };
    // 6.1.0 answers with an error of its own for instance://metadata; that it is asked is what the scope is for.
    assert.match((await world.send(everything, read)).answer.text, /"contents":/);
    assert.equal((await world.send(nothing, read)).error?.data?.code, 'insufficient_scope');
  });
}

const list = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };

function toolsIn({ result, answer }: Called): string[] {
  assert.ok(result, answer.text);
  return (result.tools as { name: string }[]).map(({ name }) => name);
}

function remember(made: Made, name: string, { text }: Called): void {
  if (name === 'generate_chart') {
    const { chart, form_data_key } = JSON.parse(text) as { chart: { id: number }; form_data_key: string };
    made.chart = chart.id;
    made.formData = form_data_key;
  }
  if (name === 'generate_dashboard') made.dashboard = (JSON.parse(text) as { dashboard: { id: number } }).dashboard.id;
}
