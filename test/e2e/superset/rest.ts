// Superset's REST API behind path routes: the same people, the same roles, the same assertion.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { publicUrl } from './install.ts';
import type { World } from './world.ts';

const sql = { database_id: 1, sql: 'SELECT count(*) AS n FROM sales', runAsync: false };
const exportOf = '/api/v1/dashboard/export/?q=!(1)';

export function restTests(world: World): void {
  const { keycloak, ports } = world.servers;
  const { everything, viewing, nothing, reporting } = world.keys;
  const json = async (...request: Parameters<World['rest']>) => {
    const answer = await world.rest(...request);
    assert.equal(answer.status, 200, `${request[1]} ${request[2]}: ${answer.status} ${answer.text.slice(0, 1000)}`);
    return JSON.parse(answer.text) as Record<string, unknown>;
  };

  test('the REST API knows who is calling', async () => {
    for (const name of ['alice', 'bob']) {
      const { result } = await json(await keycloak.personToken(name, 'dashboards:read'), 'GET', '/api/v1/me/');
      assert.equal((result as { username: string }).username, name);
    }
  });

  test('each person gets the dashboards of that person', async () => {
    const titles = async (name: string) => {
      const { result } = await json(await keycloak.personToken(name, 'dashboards:read'), 'GET', '/api/v1/dashboard/');
      return (result as { dashboard_title: string }[])
        .map((each) => each.dashboard_title)
        .filter((each) => !each.startsWith('made'));
    };
    assert.deepEqual((await titles('alice')).sort(), ['Payroll', 'Sales']);
    assert.deepEqual(await titles('bob'), ['Sales']);
  });

  test('writing needs no CSRF token where an assertion speaks for the caller, and is written for that person', async () => {
    const written = await world.rest(everything, 'POST', '/api/v1/dashboard/', { dashboard_title: 'made by REST' });
    assert.equal(written.status, 201, written.text);
    const { id } = JSON.parse(written.text) as { id: number };
    const { result } = await json(everything, 'GET', `/api/v1/dashboard/${id}`);
    assert.equal((result as { created_by_name?: string; changed_by_name: string }).changed_by_name, 'Admin Test');
  });

  test('SQL runs for who has the scope and the role', async () => {
    const execute = (credential: string) => world.rest(credential, 'POST', '/api/v1/sqllab/execute/', sql);
    const done = await execute(await keycloak.personToken('alice', 'queries:execute'));
    assert.equal(done.status, 200, done.text);
    assert.match(done.text, /3000/);
    const noScope = await execute(await keycloak.personToken('alice', 'dashboards:read'));
    assert.match(noScope.text, /insufficient_scope/);
    const noRole = await execute(await keycloak.personToken('bob', 'queries:execute'));
    assert.equal(noRole.status, 403, noRole.text);
    assert.doesNotMatch(noRole.text, /"code"/, "Superset's own refusal");
  });

  test('exports need their scope, although they are GET', async () => {
    for (const path of [exportOf, '/api/v1/chart/1/data/?format=csv', '/api/v1/chart/export/?q=!(1)']) {
      const refused = await world.rest(viewing, 'GET', path);
      assert.equal(refused.status, 403, path);
      assert.match(refused.text, /insufficient_scope/);
    }
    const file = await world.rest(everything, 'GET', exportOf);
    assert.equal(file.status, 200, file.text.slice(0, 500));
    assert.match(file.headers['content-type'] ?? '', /zip/);
    const rows = await world.rest(reporting, 'GET', '/api/v1/chart/1/data/?format=csv');
    assert.equal(rows.status, 200, rows.text.slice(0, 500));
  });

  test('what no rule names is denied to everybody, and never reaches Superset', async () => {
    for (const [method, path] of [
      ['POST', '/api/v1/security/login'],
      ['POST', '/api/v1/security/guest_token/'],
      ['GET', '/api/v1/security/users/'],
      ['GET', '/api/v1/rowlevelsecurity/'],
      ['GET', '/api/v1/log/'],
      ['POST', '/api/v1/database/'],
      ['DELETE', '/api/v1/dataset/1'],
    ] as const) {
      const answer = await world.rest(everything, method, path, method === 'POST' ? {} : undefined);
      assert.equal(answer.status, 403, `${method} ${path}`);
      assert.match(answer.text, /"denied"/);
    }
    assert.equal((await world.rest(nothing, 'GET', '/api/v1/dashboard/')).status, 403);
  });

  test('a redirect leads to the gateway, and names nothing behind it', async () => {
    const { status, headers } = await world.rest(everything, 'GET', '/api/v1/me');
    assert.equal(status, 308);
    assert.equal(headers.location, `${publicUrl}/api/v1/me/`);
  });

  test('past the gateway the REST API takes the assertion for it and nothing else', async () => {
    const ask = async (authorization: string | undefined, headers: Record<string, string> = {}) =>
      (
        await fetch(`http://127.0.0.1:${ports.web}/api/v1/me/`, {
          headers: { ...headers, ...(authorization !== undefined && { authorization }) },
        })
      ).status;
    const forApi = { aud: 'superset-api' };
    assert.equal(await ask(`Bearer ${await world.assertionFor('alice', forApi)}`), 200);
    assert.equal(await ask(undefined), 401);
    assert.equal(await ask('Basic YWRtaW46YWRtaW4tcGFzc3dvcmQ='), 401);
    assert.equal(await ask('Bearer x'), 401);
    assert.equal(await ask(`Bearer ${await world.assertionFor('alice')}`), 401, 'the MCP server is another audience');
    assert.equal(await ask(`Bearer ${await world.assertionFor('gone', forApi)}`), 401);
    assert.equal(await ask(`Bearer ${await world.assertionFor('nobody', forApi)}`), 401);
    assert.equal(await ask(`Bearer ${await world.assertionFor('alice', { ...forApi, exp: 1 })}`), 401);
    assert.equal(await ask(undefined, { 'x-forwarded-user': 'admin', remote_user: 'admin' }), 401);
  });

  test('a browser session is still held to its CSRF token', async () => {
    const post = (headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${ports.web}/api/v1/dashboard/`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: '{"dashboard_title":"forged"}',
      });
    const authorization = `Bearer ${await world.assertionFor('admin', { aud: 'superset-api' })}`;
    assert.equal((await post({ authorization, cookie: 'session=anything' })).status, 400);
    assert.equal((await post({ cookie: 'session=anything' })).status, 400);
    assert.equal((await post({})).status, 400);
  });
}
