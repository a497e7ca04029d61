// Two people through one agent client: each gets what Superset lets that person have, and Superset's own log names them.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { agent, reporting } from './keycloak.ts';
import type { Called, World } from './world.ts';

const viewing = 'dashboards:read';
const everything = 'dashboards:read queries:execute';
const countSales = { request: { database_id: 1, sql: 'SELECT count(*) AS n FROM sales' } };

export function identityTests(world: World): void {
  const { keycloak, superset } = world.servers;

  test('the same list of dashboards shows each person what that person may see', async () => {
    const titles = async (name: string): Promise<string[]> =>
      dashboardsIn(await world.call(await keycloak.personToken(name, viewing), 'list_dashboards', { request: {} }));
    assert.deepEqual(await titles('alice'), ['Payroll', 'Sales']);
    assert.deepEqual(await titles('bob'), ['Sales']);
  });

  test('the same query runs for who may run SQL', async () => {
    const { text } = await world.call(await keycloak.personToken('alice', everything), 'execute_sql', countSales);
    const answer = JSON.parse(text) as { success: boolean; rows: unknown[] };
    assert.equal(answer.success, true, text);
    assert.deepEqual(answer.rows, [{ n: 3000 }]);
  });

  test('without the scope the gateway refuses the query, and Superset hears nothing', async () => {
    const before = await superset.countActions();
    const called = await world.call(await keycloak.personToken('bob', viewing), 'execute_sql', countSales);
    assert.equal(called.error?.data?.code, 'insufficient_scope');
    const record = await world.gateway.record(({ id }) => id === called.answer.id);
    assert.deepEqual(record.scopes?.missing, ['queries:execute']);
    assert.equal(await superset.countActions(), before);
  });

  test('with the scope the gateway lets the same person through, and Superset refuses the role', async () => {
    const called = await world.call(await keycloak.personToken('bob', everything), 'execute_sql', countSales);
    // 6.1.0 does not set isError for it.
    assert.match(called.text, /Permission denied: can_execute_sql_query on SQLLab for user bob/);
  });

  test("Superset's own action log names the person of each call", async () => {
    const calls: [string, string][] = [
      [await keycloak.personToken('alice', viewing), 'alice'],
      [await keycloak.personToken('bob', viewing), 'bob'],
      [await keycloak.clientToken(agent, viewing), 'service-account-ai_agent_prod'],
      [await keycloak.clientToken(reporting, viewing), 'service-account-reporting_tool'],
      [world.keys.reporting, 'reporting_tool'],
    ];
    const before = await superset.countActions();
    for (const [credential, name] of calls) {
      const { text } = await world.call(credential, 'get_instance_info');
      assert.match(text, new RegExp(`"username":\\s*"${name}"`));
    }
    const logged = await superset.actionsSince(
      before,
      calls.length,
      ({ action, tool }) => action === 'mcp_tool_call' && tool === 'get_instance_info',
    );
    assert.deepEqual(
      logged.map(({ username }) => username),
      calls.map(([, name]) => name),
    );
  });

  test('calls of two people at the same time do not get mixed up', async () => {
    const [alice, bob] = await Promise.all([
      keycloak.personToken('alice', viewing),
      keycloak.personToken('bob', viewing),
    ]);
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        world.call(index % 2 === 0 ? alice : bob, 'list_dashboards', { request: {} }),
      ),
    );
    for (const [index, answer] of answers.entries()) {
      assert.deepEqual(dashboardsIn(answer), index % 2 === 0 ? ['Payroll', 'Sales'] : ['Sales']);
    }
  });
}

function dashboardsIn({ text }: Called): string[] {
  const { dashboards } = JSON.parse(text) as { dashboards: { dashboard_title: string }[] };
  return dashboards.map((dashboard) => dashboard.dashboard_title).sort();
}
