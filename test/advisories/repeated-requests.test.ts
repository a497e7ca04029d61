// @fastify/reply-from: a GET that is answered 503 is sent eleven times though retries are set to 0, its cache of parsed addresses could give one
// upstream's requests to another (GHSA-v574-6498-x57v), and a refused connection becomes a 500 with the upstream's address in it.
import t from 'tap';
import { host, request } from '../support/attack.ts';
import { talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { closedPort, startUpstream } from '../support/upstream.ts';

t.test(
  'an answer is an answer, an upstream is that of its route, and a failure is told in our own words',
  async (t) => {
    const busy = await startUpstream({ reply: (_request, response) => void response.writeHead(503).end('busy') });
    const other = await startUpstream();
    t.teardown(() => Promise.all([busy.close(), other.close()]));
    const { port } = await startScenario(t, {
      upstreams: {
        busy: { url: busy.url },
        based: { url: `${other.url}/x` },
        bare: { url: other.url },
        down: { url: await closedPort() },
      },
      routes: [
        { path: '/busy', upstream: 'busy', authenticate: 'none' },
        { path: '/y/*', upstream: 'based', authenticate: 'none' },
        { path: '/x/y/*', upstream: 'bare', authenticate: 'none' },
        { path: '/down', upstream: 'down', authenticate: 'none' },
      ],
    });
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const before = busy.requests.length;
      const { answers } = await talk(port, request(`${method} /busy`, [host]));
      t.match(answers, [{ status: 503, body: 'busy' }], method);
      t.equal(busy.requests.length, before + 1, `${method} is sent once`);
    }
    for (const path of ['/y/z', '/x/y/z', '/y/z', '/x/y/z']) await talk(port, request(`GET ${path}`, [host]));
    t.same(
      other.requests.map(({ url }) => url),
      ['/x/y/z', '/x/y/z', '/x/y/z', '/x/y/z'],
    );
    const { answers, text } = await talk(port, request('GET /down', [host]));
    t.match(answers, [{ status: 502, json: { code: 'bad_upstream' } }]);
    t.notMatch(text, /ECONNREFUSED|127\.0\.0\.1/);
  },
);
