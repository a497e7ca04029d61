// GHSA-2q7r-29rg-6m5h (reply-from) and its siblings in http-proxy: `%2E%2E` after a proxied prefix escapes the base path of the upstream once
// the upstream, or the proxy itself, decodes and resolves it.
import t from 'tap';
import { host, request } from '../support/attack.ts';
import { talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('nothing leaves the base path of an upstream', async (t) => {
  const upstream = await startUpstream();
  t.teardown(upstream.close);
  const { port } = await startScenario(t, {
    upstreams: { based: { url: `${upstream.url}/public/v1` } },
    routes: [{ path: '/a/*', upstream: 'based', authenticate: 'none' }],
  });
  const escapes = [
    '/a/%2E%2E/admin',
    '/a/%2e./admin',
    '/a/.%2e/admin',
    '/a/../admin',
    '/a/..%2fadmin',
    '/a/%2e%2e%5cadmin',
  ];
  const more = [
    '/a/..\\admin',
    '/a/..;/admin',
    '/a/%252e%252e/admin',
    '/%61/../admin',
    '//a/x',
    '/a//..//admin',
    '/a/x/%2E',
  ];
  for (const path of [...escapes, ...more]) {
    const { answers } = await talk(port, request(`GET ${path}`, [host]));
    t.match(answers, [{ status: 400, json: { code: 'bad_path' } }], path);
  }
  t.equal(upstream.connections(), 0);
  await talk(port, request('GET /a/...', [host]));
  t.same(
    upstream.requests.map(({ url }) => url),
    ['/public/v1/a/...'],
  );
});
