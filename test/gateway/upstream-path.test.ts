// Paths at the upstream: `upstreamPath` and base paths on the way there, references of answers on the way back.
import t from 'tap';
import { host } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { listDashboards } from '../support/configuration.ts';
import { rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const mcp = { rules: [listDashboards] };
/** The headers that the next answers have. */
let answered: { status: number; headers: Record<string, string | string[]> } = { status: 200, headers: {} };
const upstream = await startUpstream({
  reply: (_request, response) => void response.writeHead(answered.status, answered.headers).end(),
});
const other = await startUpstream();
t.teardown(() => Promise.all([upstream.close(), other.close()]));
const { url } = upstream;
const inner = new URL(url).host;
const gateway = 'https://mcp.example.com';
const scenario = await startScenario(
  t,
  {
    upstreams: { superset: { url }, other: { url: other.url }, based: { url: `${url}/base` } },
    routes: [
      { path: '/finance/mcp', upstreamPath: '/mcp', mcp },
      { path: '/sales/mcp', upstreamPath: '/mcp', upstream: 'other', mcp },
      { path: '/slash/mcp', upstreamPath: '/mcp/', mcp },
      { path: '/mcp', mcp },
      { path: '/written/', authenticate: 'none' },
      { path: '/api/*', upstreamPath: '/v1', authenticate: 'none', websocket: true },
      { path: '/star/*', upstreamPath: '/v2/*', authenticate: 'none' },
      { path: '/root/*', upstreamPath: '/', authenticate: 'none' },
      { path: '/based/*', upstream: 'based', authenticate: 'none' },
      { path: '/inner/*', upstreamPath: '/deep/er', upstream: 'based', authenticate: 'none' },
      { path: '/open/*', authenticate: 'none' },
    ],
  },
  { upstream },
);
const { agent, port } = scenario;

/** The answer to a GET, byte for byte, and the target that the upstream got. */
async function get(path: string, ...headers: string[]) {
  const { answers } = await talk(port, rawRequest([`GET ${path} HTTP/1.1`, host, ...headers]));
  return { ...answers[0]!, target: upstream.requests.at(-1)?.url };
}

/** An answer of the upstream with this Location, as the client gets it. */
async function locationOf(path: string, location: string, status = 302): Promise<string | undefined> {
  answered = { status, headers: { location } };
  const answer = await get(path);
  t.equal(answer.status, status);
  return answer.headers.location;
}

t.beforeEach(() => {
  answered = { status: 200, headers: {} };
});

t.test('two MCP servers that both live at /mcp stand behind one gateway', async (t) => {
  const [before, otherBefore] = [upstream.requests.length, other.requests.length];
  for (const path of ['/finance/mcp', '/sales/mcp', '/finance/mcp?a=b%20c']) {
    const answer = await agent.post(toolCall('list_dashboards'), { path });
    t.equal(answer.status, 200);
    t.match(await scenario.recordOf(answer), { http: { path: path.split('?')[0] }, outcome: 'completed' });
  }
  t.same(
    upstream.requests.slice(before).map(({ url }) => url),
    ['/mcp', '/mcp?a=b%20c'],
  );
  t.same(
    other.requests.slice(otherBefore).map(({ url }) => url),
    ['/mcp'],
  );
});

t.test(
  'https://…/mcp/ typed for route /mcp, and the other way round: an exact route forwards its own path',
  async (t) => {
    for (const path of ['/mcp', '/mcp/']) {
      t.equal((await agent.post(toolCall('list_dashboards'), { path })).status, 200);
      t.equal(upstream.requests.at(-1)!.url, '/mcp');
      await agent.post(toolCall('list_dashboards'), { path: `/slash${path}` });
      t.equal(upstream.requests.at(-1)!.url, '/mcp/');
    }
    for (const path of ['/written', '/written/']) t.equal((await get(path)).target, '/written/');
    t.equal((await get('/written?')).target, '/written/?', 'and the query as it came');
  },
);

t.test(
  'upstreamPath of a path with /* stands in place of its prefix, and all below it passes byte for byte',
  async (t) => {
    const expected = {
      '/api': '/v1',
      '/api/': '/v1/',
      '/api/dash%C3%A9/7?q=%2F..%2f&q=a+b?c': '/v1/dash%C3%A9/7?q=%2F..%2f&q=a+b?c',
      '/api?x': '/v1?x',
      '/star/a': '/v2/a',
      '/root': '/',
      '/root/': '/',
      '/root/a/b/': '/a/b/',
      '/based/a': '/base/based/a',
      '/inner': '/base/deep/er',
      '/inner/x': '/base/deep/er/x',
      'https://mcp.example.com/api/x?y': '/v1/x?y',
    };
    for (const [path, target] of Object.entries(expected)) t.equal((await get(path)).target, target, path);
  },
);

t.test('a WebSocket is offered at the path of the upstream', async (t) => {
  const { target } = await get(
    '/api/live?x=1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
  );
  t.equal(target, '/v1/live?x=1');
  t.same(upstream.requests.at(-1)!.header('upgrade'), ['websocket']);
});

t.test('a Location at the upstream’s own authority names the gateway, in any 3xx, 201 and 202', async (t) => {
  for (const status of [201, 202, 300, 301, 302, 303, 307, 308]) {
    t.equal(await locationOf('/open/a', `${url}/open/b?c#d`, status), `${gateway}/open/b?c#d`, String(status));
  }
  const cases: [string, string, string][] = [
    ['/open/a', `//${inner}/open/b`, `${gateway}/open/b`],
    ['/open/a', `HTTPS://${inner}/open/b`, `${gateway}/open/b`],
    ['/open/a', `http://user:secret@${inner}/open/b`, `${gateway}/open/b`],
    ['/open/a', `http:\\\\${inner}\\open\\b`, `${gateway}/open/b`],
    ['/open/a', url, `${gateway}/root/`],
    ['/api/a', `${url}/v1/b/?q=%20`, `${gateway}/api/b/?q=%20`],
    ['/api/a', `${url}/v1`, `${gateway}/api`],
    ['/root/a', `${url}/b`, `${gateway}/root/b`],
    ['/inner/a', `${url}/base/deep/er/b`, `${gateway}/inner/b`],
    ['/based/a', `${url}/base/based/b`, `${gateway}/based/b`],
    ['/api/a', `${url}/v2/b`, `${gateway}/star/b`],
    ['/based/a', `${url}/base/elsewhere`, `${gateway}/root/base/elsewhere`],
    ['/api/a', `${gateway}/v1/b`, `${gateway}/api/b`],
    ['/api/a', `${gateway}/api/b`, `${gateway}/api/b`],
  ];
  for (const [path, location, expected] of cases) t.equal(await locationOf(path, location), expected, location);
});

t.test('relative ones are named as the client resolves them, and pass where that is the same', async (t) => {
  const cases: [string, string, string][] = [
    ['/open/a', '/open/b', '/open/b'],
    ['/open/a', 'b?c', 'b?c'],
    ['/open/a', '../open/b', '../open/b'],
    ['/api/a', '/v1/b', '/api/b'],
    ['/api/a', 'b', 'b'],
    ['/api/a', '../v2/b', '/star/b'],
    ['/api/a', '?page=2', '?page=2'],
    ['/based/a', '/base/based/b', '/based/b'],
    ['/written', 'b', '/root/written/b'],
    ['/written', '', '/written/'],
    ['/root', 'b', '/root/b'],
  ];
  for (const [path, location, expected] of cases) {
    t.equal(await locationOf(path, location), expected, `${path} to ${location}`);
  }
});

t.test('a Location elsewhere is left alone', async (t) => {
  const elsewhere = [
    `${other.url}/v1/b`,
    'https://idp.example.com/login?next=/v1/b',
    `https://example.com/?next=${url}`,
    '//cdn.example.com/v1/a',
    'myapp:callback',
    `http://localhost:${upstream.port}/v1/b`,
    `https://example.com:${upstream.port}/v1/b`,
  ];
  for (const location of elsewhere) t.equal(await locationOf('/api/a', location), location);
});

t.test('Content-Location, Refresh and Link name the gateway too, and a Location that is none is 502', async (t) => {
  answered = {
    status: 200,
    headers: {
      'content-location': `${url}/v1/b`,
      refresh: `5; url=${url}/v1/c`,
      link: [
        `<${url}/v1?page=2>; rel="next", </v1/x>; rel=prev`,
        '<https://example.com/v1>; rel=help',
        '<http://{host}/x>; rel=a',
      ],
    },
  };
  const { headers } = await agent.send({ path: '/api/a' });
  t.equal(headers['content-location'], `${gateway}/api/b`);
  t.equal(headers.refresh, `5; url=${gateway}/api/c`);
  t.equal(
    headers.link,
    `<${gateway}/api?page=2>; rel="next", </api/x>; rel=prev, <https://example.com/v1>; rel=help, <http://{host}/x>; rel=a`,
  );
  for (const [sent, shown] of [
    [`0 ${url}/v1/c`, `0 ${gateway}/api/c`],
    [`0,${url}/v1/c`, `0,${gateway}/api/c`],
    [`0 , URL = '${url}/v1/c'`, `0 , URL = '${gateway}/api/c'`],
    [`1.5\t"${url}/v1/c"`, `1.5\t"${gateway}/api/c"`],
    [`0  url=https://example.com/v1`, `0  url=https://example.com/v1`],
    ['5', '5'],
  ] as const) {
    answered = { status: 200, headers: { refresh: sent } };
    t.equal((await agent.send({ path: '/api/a' })).headers.refresh, shown, sent);
  }
  for (const [sent, shown] of [
    [`</v1/x>; rel=a; anchor="${url}/v1/c;d"`, `</api/x>; rel=a; anchor="${gateway}/api/c;d"`],
    [`<#a>; ANCHOR = ${url}/v1/c; rel=b`, `<#a>; ANCHOR = "${gateway}/api/c"; rel=b`],
    [`<#a>;anchor="${url.replaceAll('/', '\\/')}\\/v1"`, `<#a>;anchor="${gateway}/api"`],
    ['<#a>; anchor="https://example.com/v1"; rel=c', '<#a>; anchor="https://example.com/v1"; rel=c'],
    ['<#a>; anchor="#b"; rel=d', '<#a>; anchor="#b"; rel=d'],
  ] as const) {
    answered = { status: 200, headers: { link: sent } };
    t.equal((await agent.send({ path: '/api/a' })).headers.link, shown, sent);
  }
  answered = { status: 302, headers: { location: 'http://[' } };
  t.match(await get('/api/a'), { status: 502, json: { code: 'bad_upstream' } });
});

t.test(
  'on an MCP route a redirect of the upstream names the gateway, and its session id is sealed as ever',
  async (t) => {
    answered = { status: 307, headers: { location: `${url}/mcp/`, 'mcp-session-id': 'inner' } };
    const answer = await agent.post(toolCall('list_dashboards'), { path: '/finance/mcp' });
    t.match(answer, { status: 307, headers: { location: `${gateway}/finance/mcp/` } });
    const id = answer.headers['mcp-session-id'];
    t.ok(typeof id === 'string' && id !== 'inner', 'it is not the upstream’s own');
  },
);
