// Superset's side without what it needs: no token, a wrong one, nobody by that name, no keys, no configuration. Nothing is ever done as somebody else.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { toolCall } from '../../support/client.ts';
import { createSigningKey, signToken } from '../../support/issuer.ts';
import { until } from '../../support/until.ts';
import { closedPort } from '../../support/upstream.ts';
import { publicUrl } from './install.ts';
import { sendDirectly, type World } from './world.ts';

const who = toolCall('get_instance_info');

export function failClosedTests(world: World): void {
  const { ports, superset } = world.servers;
  const directly = (assertion: string | undefined) => sendDirectly(ports.mcp, assertion, who);

  test("past the gateway Superset's MCP server takes the gateway's assertion and nothing else", async () => {
    assert.match((await directly(await world.assertionFor('alice'))).text, /"username":\s*"alice"/);
    const foreign = createSigningKey('ES256');
    const claims = { aud: 'superset-mcp', sub: 'alice', preferred_username: 'alice' };
    const now = Math.floor(Date.now() / 1000);
    const refused: Record<string, string | undefined> = {
      'no token': undefined,
      'no JWT': 'sk_something',
      'another audience': await world.assertionFor('alice', { aud: 'superset-api' }),
      'another issuer': await world.assertionFor('alice', { iss: 'https://elsewhere.example.com' }),
      'an expired one': await world.assertionFor('alice', { exp: now - 60 }),
      'a key that the gateway does not publish': await signToken(publicUrl, claims, { key: foreign }),
      "a caller's own token": await world.servers.keycloak.personToken('alice', 'dashboards:read'),
    };
    for (const [what, token] of Object.entries(refused)) {
      const { answer } = await directly(token);
      assert.equal(answer.status, 401, `${what}: ${answer.text}`);
    }
  });

  test('an assertion that names nobody, or somebody who was switched off, does nothing', async () => {
    for (const [what, claims] of [
      ['unknown', { preferred_username: 'nobody' }],
      ['switched off', { preferred_username: 'gone' }],
      ['not named', { preferred_username: undefined }],
      ['no text', { preferred_username: ['alice'] }],
      ['empty', { preferred_username: '' }],
    ] as const) {
      const { text, answer } = await directly(await world.assertionFor('alice', claims));
      assert.match(text, /^Error/, `${what}: ${answer.text}`);
      assert.doesNotMatch(text, /"username"/, what);
    }
  });

  test('without its configuration the MCP server does not start, and it says why', async () => {
    const [first, second] = ports.spare;
    const [asSomebody, withoutKeys] = await Promise.all([
      superset.startMcp(first, { env: { MCP_DEV_USERNAME: 'admin' }, mayEnd: true }),
      superset.startMcp(second, { env: { PORTCULLIS_KEY_SET: '' }, mayEnd: true }),
    ]);
    for (const [daemon, reason] of [
      [asSomebody, 'MCP_DEV_USERNAME makes everybody one user; remove it'],
      [withoutKeys, 'key_set, issuer and audience are all needed'],
    ] as const) {
      assert.equal(daemon.exited, true, reason);
      assert.notEqual(daemon.exitCode, 0);
      await until(() => daemon.log().includes(`portcullis_superset: ${reason}`), reason);
    }
  });

  test('where the keys cannot be fetched nobody gets in; a stock server without authentication is found out by the probe', async () => {
    const [first, second, third] = ports.spare;
    const env = { PORTCULLIS_KEY_SET: await closedPort() };
    const [withoutKeys, web, open] = await Promise.all([
      superset.startMcp(first, { env }),
      superset.startWeb(third, { env }),
      superset.startMcp(second, { env: { SUPERSET_STOCK: '1', MCP_DEV_USERNAME: 'admin' } }),
    ]);
    try {
      const { answer } = await sendDirectly(first, await world.assertionFor('alice'), who);
      assert.equal(answer.status, 401);
      const authorization = `Bearer ${await world.assertionFor('alice', { aud: 'superset-api' })}`;
      const refused = await fetch(`http://127.0.0.1:${third}/api/v1/me/`, { headers: { authorization } });
      assert.equal(refused.status, 401);
      assert.equal((await world.ready()).status, 200);
      await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${second}`));
      await until(
        async () => /superset-mcp: answers callers without a credential/.test((await world.ready()).text),
        'the open server was found out',
      );
      assert.equal((await world.ready()).status, 503);
    } finally {
      await world.gateway.reload(world.yaml);
      await Promise.all([withoutKeys.stop(), web.stop(), open.stop()]);
    }
    await until(async () => (await world.ready()).status === 200, 'the gateway was ready again');
  });
}
