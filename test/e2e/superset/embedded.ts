// Embedded analytics: the application's own token says which customer is looking, and no customer ever sees another's rows.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { toolCall } from '../../support/client.ts';
import { startRecorder } from './recorder.ts';
import { sendDirectly, type World } from './world.ts';

const rows = { request: { identifier: 1, format: 'json', limit: 50 } };

export function embeddedTests(world: World): void {
  const { application, ports, superset } = world.servers;
  /** As the application signs it for a page of one of its customers. */
  const tokenFor = (customer: unknown, claims: object = {}) =>
    application.token({
      client_id: 'analytics_frontend',
      sub: 'visitor',
      scope: 'dashboards:read',
      customer,
      ...claims,
    });

  test('each customer sees the rows of that customer in the same chart', async () => {
    for (const [customer, other] of [
      ['acme', 'globex'],
      ['globex', 'acme'],
    ] as const) {
      const before = await superset.countActions();
      const called = await world.call(await tokenFor(customer), 'get_chart_data', rows);
      assert.match(called.text, new RegExp(`of ${customer}`), called.answer.text.slice(-1500));
      assert.doesNotMatch(called.text, new RegExp(other));
      const record = await world.gateway.record(({ id }) => id === called.answer.id);
      assert.equal(record.principal?.tenant, customer);
      const [logged] = await superset.actionsSince(before, 1, ({ tool }) => tool === 'get_chart_data');
      assert.equal(logged!.username, `tenant-${customer}`);
    }
  });

  test('customers at the same time do not get mixed up, whatever either has just cached', async () => {
    const tokens = { acme: await tokenFor('acme'), globex: await tokenFor('globex') };
    const order = ['acme', 'globex', 'globex', 'acme'] as const;
    const answers = await Promise.all(order.map((customer) => world.call(tokens[customer], 'get_chart_data', rows)));
    for (const [index, { text }] of answers.entries()) {
      const other = order[index] === 'acme' ? 'globex' : 'acme';
      assert.match(text, new RegExp(`of ${order[index]}`));
      assert.doesNotMatch(text, new RegExp(other));
    }
  });

  test('Superset is told of the customer in a header and in the assertion', async () => {
    const recorder = await startRecorder(ports.mcp);
    await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${recorder.port}`));
    try {
      await world.call(await tokenFor('acme'), 'list_dashboards', { request: {} });
      const headers = recorder.headers.at(-1);
      assert.equal(headers?.['x-forwarded-tenant'], 'acme');
      const { tenant, sub, aud } = decodeJwt(headers?.authorization?.slice('Bearer '.length) ?? '');
      assert.deepEqual({ tenant, sub, aud }, { tenant: 'acme', sub: 'tenant-acme', aud: 'superset-mcp' });
    } finally {
      await world.gateway.reload(world.yaml);
      await recorder.close();
    }
  });

  test('no customer, another one, or one that is made up gets anything', async () => {
    const before = await superset.countActions();
    for (const customer of [undefined, '', 'initech', 'acme/../globex', ['acme', 'globex'], 'ACME']) {
      const called = await world.call(await tokenFor(customer), 'get_chart_data', rows);
      assert.equal(called.error?.data?.code, 'denied', `${JSON.stringify(customer)}: ${called.answer.text}`);
    }
    assert.equal(await superset.countActions(), before);
  });

  test('no header of the client makes it another customer', async () => {
    const answer = await world.client.post(toolCall('get_chart_data', rows), {
      headers: {
        authorization: `Bearer ${await tokenFor('acme')}`,
        'x-forwarded-tenant': 'globex',
        'x-forwarded-user': 'tenant-globex',
        'x-superset-dashboard-scope': 'anything',
        'x-guesttoken': 'anything',
      },
    });
    assert.match(answer.text, /of acme/);
    assert.doesNotMatch(answer.text, /globex/);
  });

  test('a customer only looks, whatever scopes the application claims: no SQL, no files, no changes, no REST API', async () => {
    const greedy = await tokenFor('acme', { scope: 'dashboards:read dashboards:write queries:execute exports:create' });
    const before = await superset.countActions();
    for (const [tool, args] of [
      ['execute_sql', { request: { database_id: 1, sql: 'SELECT * FROM sales' } }],
      ['get_chart_data', { request: { identifier: 1, format: 'csv' } }],
      ['generate_chart', { request: { dataset_id: 1, config: {} } }],
      ['call_tool', { name: 'execute_sql', arguments: { request: { database_id: 1, sql: 'SELECT 1' } } }],
      ['list_databases', { request: {} }],
    ] as const) {
      const called = await world.call(greedy, tool, args);
      assert.equal(called.error?.data?.code, 'denied', `${tool}: ${called.answer.text}`);
    }
    assert.equal((await world.rest(greedy, 'GET', '/api/v1/dashboard/')).status, 401);
    assert.equal(await superset.countActions(), before);
  });

  test('where the gateway would let a query through, row-level security still holds', async () => {
    const csv = toolCall('get_chart_data', { request: { identifier: 1, format: 'csv', limit: 100 } });
    const { text } = await sendDirectly(ports.mcp, await world.assertionFor('tenant-acme'), csv);
    assert.match(text, /acme/);
    assert.doesNotMatch(text, /globex/);
  });
}
