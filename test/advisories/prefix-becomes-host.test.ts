// An upstream behind a prefix redirects to a path that a client has chosen: `Location: /base//evil.example/login`. That is a path of its own. A gateway
// that takes off the prefix makes it `//evil.example/login`, which is another host, and sends the client there.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('a path that begins with two slashes behind the prefix stays a path of the gateway', async (t) => {
  let location = '';
  const upstream = await startUpstream({
    reply: (_request, response) => void response.writeHead(302, { location }).end(),
  });
  t.teardown(upstream.close);
  const { anybody } = await startScenario(
    t,
    {
      upstreams: { superset: { url: `${upstream.url}/base` } },
      routes: [{ path: '/*', upstreamPath: '/v1', authenticate: 'none' }],
    },
    { upstream },
  );
  const paths = [
    '//evil.example/login',
    '/\\evil.example/login',
    '//evil.example:443',
    '/%2e//evil.example/',
    '///evil.example',
  ];
  for (const path of paths) {
    for (const prefix of ['/base/v1', '/base', `${upstream.url}/base/v1`, `${upstream.url}/base`]) {
      location = prefix + path;
      const { headers } = await anybody.send({ path: '/a' });
      const { host } = new URL(headers.location!, 'https://mcp.example.com/a');
      t.equal(host, 'mcp.example.com', `${location} became ${headers.location}`);
    }
  }
});
