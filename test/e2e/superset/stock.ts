// Superset 6.1.0 as it comes: it verifies the assertion and then acts as one user for everybody. What is left is the gateway's.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { toolCall } from '../../support/client.ts';
import { sendDirectly, type World } from './world.ts';

export function stockTests(world: World): void {
  const { keycloak, ports, superset } = world.servers;

  test('a stock server acts as its one user, whoever calls; scopes and records are still those of the caller', async () => {
    const [port] = ports.spare;
    const env = { SUPERSET_STOCK: '1', SUPERSET_STOCK_AUTH: '1', MCP_DEV_USERNAME: 'bob' };
    const daemon = await superset.startMcp(port, { env });
    await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${port}`));
    try {
      const token = await keycloak.personToken('alice', 'dashboards:read');
      const before = await superset.countActions();
      const called = await world.call(token, 'get_instance_info');
      assert.match(called.text, /"username":\s*"bob"/);
      const [logged] = await superset.actionsSince(before, 1, ({ action }) => action === 'mcp_tool_call');
      assert.equal(logged!.username, undefined, "6.1.0's own log names nobody");
      const record = await world.gateway.record(({ id }) => id === called.answer.id);
      assert.equal(record.principal?.clientId, 'ai_agent_prod');
      const refused = await world.call(token, 'execute_sql', { request: { database_id: 1, sql: 'SELECT 1' } });
      assert.equal(refused.error?.data?.code, 'insufficient_scope');
      assert.equal((await sendDirectly(port, undefined, toolCall('health_check'))).answer.status, 401);
    } finally {
      await world.gateway.reload(world.yaml);
      await daemon.stop();
    }
  });
}
