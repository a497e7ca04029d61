// Host and request targets of load balancers, proxies and resolvers (row D9), and origins of extensions and desktop applications (row D10).
import t from 'tap';
import { assertRefused, attack, host, request, withKey } from '../support/attack.ts';
import { rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

const origins = [
  'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
  'moz-extension://0f5b5e3a-5f0e-4a27-9d3a-0d7a3f2f9a11',
  'vscode-file://vscode-app',
  'tauri://localhost',
  'app://obsidian.md',
  'http://tauri.localhost',
  'file://',
];
const scenario = await startScenario(t, {
  server: { allowedHosts: ['[2001:DB8:0:0::5]', 'Alias.example.com.:8443'], allowedOrigins: origins },
});
const { port, upstream } = scenario;

t.test(
  'a respond route answers HTTP/1.0 without Host and an empty Host, as probes of load balancers send',
  async (t) => {
    const probes = [
      rawRequest(['GET /health HTTP/1.0']),
      rawRequest(['GET /health HTTP/1.0', 'Host:']),
      rawRequest(['GET /health HTTP/1.1', 'Host:', 'Connection: close']),
      rawRequest(['HEAD /health HTTP/1.0']),
      rawRequest(['GET /.well-known/oauth-protected-resource/mcp HTTP/1.0']),
    ];
    for (const bytes of probes) t.match((await talk(port, bytes)).text, /^HTTP\/1.1 200 OK\r\n/, bytes);
    const refused = { status: 400, code: 'bad_request', closes: true };
    const without = rawRequest(['GET /health HTTP/1.1']);
    assertRefused(t, 'HTTP/1.1 demands Host', await attack(scenario, without), {
      ...refused,
      http: { method: 'GET', path: '/health' },
    });
    for (const lines of [
      ['GET /open/x HTTP/1.0'],
      ['GET /open/x HTTP/1.0', 'Host:'],
      ['GET /open/x HTTP/1.1', 'Host:'],
    ]) {
      const http = { method: 'GET', path: '/open/x' };
      assertRefused(t, `other routes: ${lines}`, await attack(scenario, rawRequest(lines)), { ...refused, http });
    }
  },
);

t.test('a Host with a final dot, and an IPv6 Host in long form', async (t) => {
  const ours = [
    'mcp.example.com.',
    'MCP.example.com.:443',
    'localhost.',
    '[0:0:0:0:0:0:0:1]',
    '[0000:0000::0001]:8443',
    '[2001:db8::5]',
    '[2001:0db8:0000:0000:0000:0000:0000:0005]:1',
    'alias.example.com:8443',
    'alias.example.com.:8443',
  ];
  for (const each of ours) {
    const { answer, forwarded } = await attack(scenario, request('GET /open/x', [`Host: ${each}`]));
    t.equal(answer.status, 200, each);
    t.same(forwarded[0]?.header('host'), [`127.0.0.1:${upstream.port}`]);
  }
  const refused = { status: 421, code: 'bad_host', closes: true, http: { method: 'GET', path: '/open/x' } };
  const others = [
    'mcp.example.com..',
    '.',
    'alias.example.com',
    'alias.example.com:8444',
    '[::2]',
    '[0:0:0:0:0:0:0:0:1]',
    '[:::1]',
    '[2001:db8::5.]',
    '[::1].',
  ];
  for (const each of others) {
    assertRefused(t, each, await attack(scenario, request('GET /open/x', [`Host: ${each}`])), refused);
  }
});

t.test('an absolute-form target of our own host is forwarded in origin form', async (t) => {
  const targets = {
    'http://mcp.example.com/open/x?y=1': '/open/x?y=1',
    'https://mcp.example.com/open/x': '/open/x',
    'HTTPS://MCP.Example.COM.:443/open/x': '/open/x',
    'http://[0:0::1]:8080/open/x': '/open/x',
  };
  for (const [target, url] of Object.entries(targets)) {
    const { answer, forwarded, record } = await attack(scenario, request(`GET ${target}`, [host]));
    t.equal(answer.status, 200, target);
    t.strictSame(
      forwarded.map((each) => each.url),
      [url],
    );
    t.match(record.http, { path: '/open/x' });
  }
  t.match((await talk(port, request('GET http://mcp.example.com', [host]))).answers, [{ status: 404 }], 'the root');
  t.match((await talk(port, request('GET http://mcp.example.com?x', [host]))).answers, [{ status: 404 }]);
  const bad = { status: 400, code: 'bad_path', closes: true, http: { method: 'GET', path: '' } };
  const others = [
    'http://other.example/open/x',
    'http://mcp.example.com.other.example/open/x',
    'http://mcp.example.com@other.example/open/x',
    'http://mcp.example.com:99999/open/x',
    'http:///open/x',
    'ftp://mcp.example.com/open/x',
    'http://mcp.example.com//open/x',
    'http://mcp.example.com/open/../mcp',
    'http://mcp.example.com/http://mcp.example.com/open/x#',
  ];
  for (const target of others) {
    assertRefused(t, target, await attack(scenario, request(`GET ${target}`, [host])), bad);
  }
  const elsewhere = request('GET http://mcp.example.com/open/x', ['Host: other.example']);
  const misdirected = { status: 421, code: 'bad_host', closes: true, http: { method: 'GET', path: '/open/x' } };
  assertRefused(t, 'with the Host of another', await attack(scenario, elsewhere), misdirected);
});

t.test(
  'origins such as chrome-extension://…, vscode-file://… and tauri://… may call where they are allowed',
  async (t) => {
    for (const origin of [...origins, 'https://mcp.example.com']) {
      const { answer, forwarded } = await attack(scenario, request('GET /api/x', [host, withKey, `Origin: ${origin}`]));
      t.match(answer, { status: 200, headers: { 'access-control-allow-origin': origin } }, origin);
      t.equal(forwarded.length, 1);
    }
    const refused = { status: 403, code: 'origin_denied', http: { method: 'GET', path: '/api/x' } };
    const others = [
      'null',
      'chrome-extension://abcdefghijklmnopabcdefghijklmnoq',
      'chrome-extension://',
      'moz-extension://abcdefghijklmnopabcdefghijklmnop',
      'CHROME-EXTENSION://abcdefghijklmnopabcdefghijklmnop',
      'tauri://localhost/',
      'tauri://localhost:80',
      'https://localhost',
      'app://obsidian.md.evil.example',
      'file:///etc/passwd',
    ];
    for (const origin of others) {
      const bytes = request('GET /api/x', [host, withKey, `Origin: ${origin}`]);
      assertRefused(t, origin, await attack(scenario, bytes), refused);
    }
  },
);

t.test('an origin that is not written out in full is a configuration error', async (t) => {
  for (const origin of [
    'null',
    '*',
    'chrome-extension://*',
    'chrome-extension:',
    'tauri://localhost/',
    'tauri://localhost/index.html',
    'Tauri://localhost',
    'https://*.example.com/x',
    'app.example.com',
    'javascript:alert(1)',
    'tauri://a b',
    'tauri://user@localhost',
  ]) {
    const started = startScenario(t, { server: { allowedOrigins: [origin] } }, { inject: true });
    await t.rejects(started, { message: /allowedOrigins\[0\]: expected an origin written out in full/ }, origin);
  }
});
