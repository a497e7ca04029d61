// The recorded catalogue of deploy/superset against the real server: recorded again it is the same file, and a route that pins it refuses what differs.
import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { catalogCommand } from '../../../src/cli/catalog.ts';
import { formatCatalog, parseCatalog } from '../../../src/mcp/catalog/catalog.ts';
import { recordedOf } from '../../../src/mcp/catalog/definition.ts';
import { capture } from '../../cli/capture.ts';
import { catalogFile, pinnedYaml, type World } from './world.ts';

export function pinTests(world: World): void {
  const { directory } = world.gateway;
  const person = '{subject: alice, authenticator: keycloak, claims: {username: alice}}';

  async function catalog(...args: readonly string[]) {
    const output = capture();
    const argv = ['-c', join(directory, 'gateway.yaml'), '--route', 'superset-mcp', ...args];
    await catalogCommand(output, {}).exitOverride().parseAsync(argv, { from: 'user' });
    assert.equal(output.errors(), '');
    return { text: output.text(), exitCode: output.exitCode };
  }

  test('recorded again, the catalogue of deploy/superset has the same bytes, whoever is named', async () => {
    const out = join(directory, 'recorded.json');
    for (const identity of [[], ['--as', person]]) {
      const { text } = await catalog('--out', out, ...identity);
      assert.match(text, /: 26 tools, 6 resources, 0 resourceTemplates, 2 prompts of Superset MCP Server /);
      assert.equal(await readFile(out, 'utf8'), await readFile(join(directory, catalogFile), 'utf8'));
    }
  });

  test('on a route that pins it, --check finds no difference, and a definition that differs is hidden and refused', async () => {
    const { superset } = world.servers;
    const { everything } = world.keys;
    const find = async () => (await world.call(everything, 'search_tools', { query: 'execute sql query' })).text;
    const content = await readFile(join(directory, catalogFile));
    await world.gateway.reload(pinnedYaml(world.yaml));
    try {
      assert.deepEqual(await catalog('--check'), { text: 'nothing has changed\n', exitCode: 0 });
      assert.match(await find(), /execute_sql/);
      await world.gateway.write(catalogFile, withDescription(content, 'execute_sql', 'Runs SQL.'));
      await world.gateway.reload(pinnedYaml(world.yaml));
      const { text, exitCode } = await catalog('--check');
      assert.equal(exitCode, 1);
      assert.match(text, /^tools execute_sql: changed in searches\n {2}\/description "Runs SQL\."/);
      assert.doesNotMatch(await find(), /execute_sql/);
      const before = await superset.countActions();
      const args = { request: { database_id: 1, sql: 'SELECT 1' } };
      for (const called of [
        await world.call(everything, 'execute_sql', args),
        await world.call(everything, 'call_tool', { name: 'execute_sql', arguments: args }),
      ]) {
        assert.equal(called.error?.data?.code, 'definition_changed', called.answer.text);
        const record = await world.gateway.record(({ id }) => id === called.answer.id);
        assert.equal(record.reason, 'definition_changed');
      }
      assert.equal(await superset.countActions(), before, 'Superset heard of none of them');
    } finally {
      await world.gateway.write(catalogFile, content.toString());
      await world.gateway.reload(world.yaml);
    }
  });
}

function withDescription(content: Buffer, name: string, description: string): string {
  const recorded = parseCatalog(content);
  const { definition } = recorded.tools.get(name)!.found!;
  const found = recordedOf('tools', { ...definition, description });
  return formatCatalog({ ...recorded, tools: new Map(recorded.tools).set(name, { found }) });
}
