// CVE-2026-41059 (oauth2-proxy): `/admin#/public` is compared with the public path by its whole text and forwarded as `/admin`, because a URL
// parser on the way takes `#` for the beginning of a fragment and drops what follows.
import t from 'tap';
import { assertRefused, attack, host, request } from '../support/attack.ts';
import { startScenario } from '../support/scenario.ts';

t.test('a number sign in a target is refused before any route is looked for', async (t) => {
  const scenario = await startScenario(t);
  for (const target of [
    '/api/secret#/open/x',
    '/open/x#',
    '/open/#/../api',
    '/open/x?a#b',
    '/#',
    '#/open/x',
    '/open/x%23y?#',
  ]) {
    const { answer, code, forwarded } = await attack(scenario, request(`GET ${target}`, [host]));
    t.equal(answer.status, 400, target);
    t.ok(code === 'bad_path' || code === 'bad_request', target);
    t.equal(forwarded.length, 0, target);
  }
  const encoded = await attack(scenario, request('GET /open/x%23y', [host]));
  t.same(
    encoded.forwarded.map(({ url }) => url),
    ['/open/x%23y'],
    'encoded it is part of a name and stays so',
  );
  const none = { status: 401, code: 'credentials_required', http: { method: 'GET', path: '/api/x%23' } };
  assertRefused(t, 'encoded', await attack(scenario, request('GET /api/x%23', [host])), none);
});
