// CVE-2026-48710 "BadHost" (Starlette): a Host of `a/admin?` changes the path that the application behind sees, because it puts the URL together
// from Host and path and takes it apart again. Chained with CVE-2026-42271 it ran code.
import t from 'tap';
import { assertRefused, attack, host, request, withKey } from '../support/attack.ts';
import { startScenario } from '../support/scenario.ts';

t.test('an upstream never sees a Host that a client made up, from whatever header', async (t) => {
  const scenario = await startScenario(t);
  const expected = { status: 421, code: 'bad_host', http: { method: 'GET', path: '/api/x' } };
  for (const value of [
    'a/admin?',
    'mcp.example.com/admin?',
    'mcp.example.com/admin#',
    'x@mcp.example.com',
    'mcp.example.com\\admin',
    'mcp.example.com:80/admin?',
  ]) {
    assertRefused(t, value, await attack(scenario, request('GET /api/x', [`Host: ${value}`, withKey])), expected);
  }
  const others = [
    'X-Forwarded-Host: a/admin?',
    'X-Host: a',
    'Forwarded: host="a/admin?"',
    'X-Original-URL: /admin',
    'X-Rewrite-URL: /admin',
  ];
  const { answer, forwarded } = await attack(scenario, request('GET /api/x', [host, withKey, ...others]));
  t.equal(answer.status, 200);
  t.equal(forwarded[0]?.url, '/api/x');
  t.same(forwarded[0]?.header('host'), [`127.0.0.1:${scenario.upstream.port}`]);
  t.same(forwarded[0]?.header('x-forwarded-host'), ['mcp.example.com']);
  for (const name of ['forwarded', 'x-original-url', 'x-rewrite-url']) t.same(forwarded[0]?.header(name), [], name);
});
