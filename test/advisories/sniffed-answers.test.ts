// A link to the gateway, opened in a browser, is answered with JSON or text that repeats a part of the request. An old browser that guesses the type
// takes it for HTML or a script, and runs it on the gateway's origin.
import t from 'tap';
import { host, post, withKey } from '../support/attack.ts';
import { publicUrl } from '../support/configuration.ts';
import { rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

const nosniff = { 'x-content-type-options': 'nosniff' };

t.test('every answer of the gateway’s own says nosniff; an upstream’s says what the upstream says', async (t) => {
  const scenario = await startScenario(t);
  const { admin, anybody, agent, port } = scenario;
  const own: [string, Parameters<typeof anybody.send>[0], number][] = [
    ['a challenge', { path: '/mcp' }, 401],
    ['an unknown path', { path: '/nothing' }, 404],
    ['a fixed response', { path: '/health' }, 200],
    ['protected resource metadata', { path: '/.well-known/oauth-protected-resource/mcp' }, 200],
    ['a method that is not served', { path: '/health', method: 'BREW' }, 405],
    [
      'a preflight',
      { method: 'OPTIONS', path: '/mcp', headers: { origin: publicUrl, 'access-control-request-method': 'POST' } },
      204,
    ],
  ];
  for (const [what, request, status] of own) {
    const answer = await anybody.send(request);
    t.match(answer, { headers: nosniff }, `${what}: ${answer.status} of ${status}`);
  }
  t.match(await agent.post('{'), { status: 400, headers: nosniff }, 'a JSON-RPC error');
  t.match(await agent.call('delete_dashboard'), { status: 200, headers: nosniff }, 'a denial with status 200');
  for (const bytes of [
    'no http\r\n\r\n',
    rawRequest(['CONNECT a:1 HTTP/1.1', host]),
    post('{}', [host, withKey, 'Expect: x']),
  ]) {
    const { answers } = await talk(port, bytes);
    t.match(answers, [{ headers: nosniff }], JSON.stringify(bytes.slice(0, 10)));
  }
  for (const path of ['/livez', '/readyz', '/status', '/metrics', '/.well-known/jwks.json', '/nothing']) {
    t.equal((await admin(path)).headers.get('x-content-type-options'), 'nosniff', `admin ${path}`);
  }
  t.notMatch(await anybody.send({ path: '/open/x' }), { headers: nosniff });
});
