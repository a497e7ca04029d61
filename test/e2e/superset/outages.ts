// Keycloak under way: keys that change, tokens that end, and a restart, while calls go on.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { until } from '../../support/until.ts';
import { agent } from './keycloak.ts';
import type { World } from './world.ts';

const viewing = 'dashboards:read';

export function outageTests(world: World): void {
  const { keycloak } = world.servers;
  const instance = (token: string) => world.call(token, 'get_instance_info');

  test('a token ends when it says so', async () => {
    // On a busy machine Keycloak and Superset take seconds for an answer each, so the token lives longer than that.
    await keycloak.setTokenLifetime(20);
    const token = await keycloak.clientToken(agent, viewing).finally(() => keycloak.setTokenLifetime(300));
    const endsMs = decodeJwt(token).exp! * 1000;
    let accepted = 0;
    for (let last = await instance(token); last.answer.status !== 401; last = await instance(token)) {
      assert.ok(Date.now() < endsMs + 60_000, 'it ends');
      // The stream of an answer that is under way then is broken off.
      if (Date.now() > endsMs - 1000) continue;
      assert.match(last.text, /service-account-ai_agent_prod/, JSON.stringify(last.answer));
      accepted += 1;
    }
    assert.ok(accepted > 0, 'it was good before');
    assert.ok(Date.now() >= endsMs, 'it ends no earlier');
    const refused = await instance(token);
    assert.equal(refused.answer.status, 401);
    assert.equal(refused.error?.data?.code, 'invalid_token');
    assert.match(refused.answer.headers['www-authenticate'] ?? '', /error="invalid_token"/);
  });

  test('a rotation of the realm keys fails no call, with old tokens or new ones', async () => {
    const before = await keycloak.personToken('alice', viewing);
    const load = callAgainAndAgain(world, before);
    await load.callsMade(2);
    await keycloak.rotateKeys();
    const after = await keycloak.personToken('alice', viewing);
    assert.notEqual(decodeProtectedHeader(after).kid, decodeProtectedHeader(before).kid);
    assert.match((await instance(after)).text, /"username":\s*"alice"/);
    await load.callsMade(2);
    assert.deepEqual(await load.end(), []);
  });

  test('a restart of Keycloak fails no call with a valid token', async () => {
    const token = await keycloak.personToken('alice', viewing);
    const load = callAgainAndAgain(world, token);
    await load.callsMade(2);
    await keycloak.stop();
    await assert.rejects(keycloak.clientToken(agent, viewing), 'it is down');
    await load.callsMade(5);
    assert.equal((await world.ready()).status, 200);
    await keycloak.start();
    assert.match((await instance(await keycloak.personToken('alice', viewing))).text, /"username":\s*"alice"/);
    await load.callsMade(2);
    assert.deepEqual(await load.end(), []);
  });
}

/** One call after the other until `end`, which says what did not go well. */
function callAgainAndAgain(world: World, token: string) {
  const failures: string[] = [];
  let made = 0;
  let ended = false;
  const running = (async () => {
    while (!ended) {
      const { answer, text } = await world.call(token, 'get_instance_info');
      made += 1;
      if (!/"username":\s*"alice"/.test(text)) failures.push(answer.text);
    }
  })();
  return {
    async callsMade(more: number): Promise<void> {
      const goal = made + more;
      await until(async () => made >= goal, `${more} more calls were made`);
    },
    async end(): Promise<readonly string[]> {
      ended = true;
      await running;
      return failures;
    },
  };
}
