// Requests that can be read in two ways: rows H4, H6 to H8 and P1 to P6 of the threat table, byte by byte.
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { assertRefused, attack, host, post, type Refusal, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { rawConnection, rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const scenario = await startScenario(t, {
  server: { allowedHosts: ['alias.example.com'], allowedOrigins: ['https://app.example.com'] },
});
const { port, upstream } = scenario;
const api = { method: 'GET', path: '/api/x' };
const posted = { method: 'POST', path: '/api/x' };

async function refuses(t: Test, name: string, bytes: string | Buffer, expected: Refusal): Promise<void> {
  assertRefused(t, name, await attack(scenario, bytes), expected);
}

/** Forwarded once, and as `url`; the answer is the upstream's. */
async function forwards(t: Test, name: string, bytes: string, url: string) {
  const { answer, forwarded, record } = await attack(scenario, bytes);
  t.equal(answer.status, 200, name);
  t.strictSame(
    forwarded.map((each) => each.url),
    [url],
    `${name}: forwarded`,
  );
  t.match(record, { decision: 'allow', outcome: 'completed', status: 200, http: { path: url.split('?')[0] } }, name);
  return forwarded[0]!;
}

t.test('a header that may stand once is refused twice, equal or not (H4)', async (t) => {
  const first: Readonly<Record<string, string>> = { Host: 'mcp.example.com', Authorization: withKey.slice(15) };
  const values = {
    Host: ['mcp.example.com', 'other.example'],
    Authorization: [first.Authorization, 'Bearer other', 'Basic eA=='],
    'Content-Type': ['application/json', 'text/plain'],
    'Content-Encoding': ['identity', 'gzip'],
    Origin: ['https://app.example.com', 'https://evil.example'],
    'Last-Event-ID': ['1', '2'],
    'Mcp-Method': ['tools/call', 'tools/list'],
    'Mcp-Name': ['list_dashboards', 'execute_sql'],
    'Mcp-Session-Id': ['a', 'b'],
    'MCP-Protocol-Version': ['2025-06-18', '2025-03-26'],
    'Mcp-Anything': ['a', 'b'],
    'X-Api-Key': ['sk_a', 'sk_b'],
  };
  for (const [name, others] of Object.entries(values)) {
    for (const other of others) {
      const lines = [
        'POST /api/x HTTP/1.1',
        host,
        ...(name === 'X-Api-Key' ? [] : [withKey]),
        ...(name in first ? [] : [`${name}: ${others[0]}`]),
        'Content-Length: 2',
        `${name.toLowerCase()}: ${other}`,
      ];
      const expected = { status: 400, code: 'duplicate_header', closes: true, http: posted };
      await refuses(t, `${name} and ${other}`, rawRequest(lines, '{}'), expected);
    }
  }
  for (const lengths of [
    ['2', '2'],
    ['2', '3'],
  ]) {
    const bytes = request(
      'POST /api/x',
      lengths.map((each) => `Content-Length: ${each}`),
      '{}',
    );
    await refuses(t, `Content-Length ${lengths}`, bytes, { status: 400, code: 'bad_request', closes: true });
  }
});

t.test('a Host that is not ours is misdirected, whatever it is made of (H6, CVE-2026-48710)', async (t) => {
  const hosts = [
    'a/x?',
    'mcp.example.com/x',
    'mcp.example.com?x',
    'mcp.example.com#x',
    'mcp.example.com\\x',
    'x@mcp.example.com',
    'mcp.example.com:',
    'mcp.example.com:99999',
    'mcp.example.com:80:80',
    'mcp.example.com:8o',
    'mcp.example.com:-1',
    'mcp example.com',
    'mcp.example.com\tx',
    'mcp.example.com,other',
    'mcp.example.com..',
    '.mcp.example.com',
    'mcp.example.com.:',
    'mcp.example.com.evil.example',
    'evil.example',
    '%6dcp.example.com',
    'http://mcp.example.com',
    '\xfc.example.com',
    '::1',
    '127.1',
    '0.0.0.0',
    '[::ffff:127.0.0.1]',
    'admin',
  ];
  for (const each of hosts) {
    const bytes = request('GET /api/x', [`Host: ${each}`, withKey]);
    await refuses(t, `Host ${JSON.stringify(each)}`, bytes, { status: 421, code: 'bad_host', http: api });
  }
  for (const each of ['', ' ']) {
    const bytes = request('GET /api/x', [`Host:${each}`, withKey]);
    await refuses(t, 'an empty Host', bytes, { status: 400, code: 'bad_request', closes: true, http: api });
  }
  const none = rawRequest(['GET /api/x HTTP/1.1', withKey]);
  await refuses(t, 'no Host', none, { status: 400, code: 'bad_request', closes: true, http: api });
  const nul = request('GET /api/x', ['Host: mcp.example.com\0', withKey]);
  await refuses(t, 'a NUL', nul, { status: 400, code: 'bad_request', closes: true });
});

t.test('whatever Host got in, the upstream is told its own and the configured public one (H6)', async (t) => {
  for (const each of ['mcp.example.com', 'MCP.Example.com:8443', 'alias.example.com', 'localhost:1', '[::1]:80']) {
    const forwarded = await forwards(t, each, request('GET /api/x', [`Host: ${each}`, withKey]), '/api/x');
    t.same(forwarded.header('host'), [`127.0.0.1:${upstream.port}`]);
    t.same(forwarded.header('x-forwarded-host'), ['mcp.example.com']);
  }
});

t.test('what the gateway answers by itself answers under any name, for probes', async (t) => {
  const { answer, forwarded } = await attack(scenario, request('GET /health', ['Host: 10.0.0.7:8443']));
  t.match({ status: answer.status, json: answer.json }, { status: 200, json: { status: 'healthy' } });
  t.equal(forwarded.length, 0);
});

t.test('Expect: the credentials come before 100 Continue, and no other expectation is met (H7)', async (t) => {
  const body = JSON.stringify(toolCall('list_dashboards', { text: 'x'.repeat(900_000) }));
  const head = (...more: string[]) =>
    rawRequest([
      'POST /mcp HTTP/1.1',
      host,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      ...more,
    ]);
  const refused = { closes: true, http: { method: 'POST', path: '/mcp' } };
  const unknown = await attack(scenario, head('Expect: 100-continue'));
  assertRefused(t, 'no credentials', unknown, { status: 401, code: 'credentials_required', ...refused });
  for (const value of ['200-ok', '100-continue, 200-ok', '"100-continue"', '100-continue;q=1', '']) {
    const bytes = head(withKey, `Expect: ${value}`);
    await refuses(t, `Expect: ${value}`, bytes, { status: 417, code: 'expectation_failed', ...refused });
  }
  const connection = await rawConnection(port);
  connection.write(head(withKey, 'Expect: 100-Continue'));
  const seen = upstream.requests.length;
  await new Promise<void>((resolve) => connection.socket.once('data', () => resolve()));
  connection.write(body);
  const { answers } = await connection.answers();
  connection.end();
  t.same(
    answers.map(({ status }) => status),
    [100, 200],
  );
  const [received, ...rest] = upstream.requests.slice(seen);
  t.equal(rest.length, 0);
  t.equal(String(received!.body), body);
  t.same(received!.header('expect'), []);

  const old = rawRequest(['POST /api/x HTTP/1.0', host, withKey, 'Expect: 100-continue', 'Content-Length: 2'], '{}');
  const { answers: toOld } = await talk(port, old);
  t.same(
    toOld.map(({ status }) => status),
    [200],
    'an HTTP/1.0 client would take 100 for the answer',
  );
});

t.test('heads and targets that are too large are refused, and the connection ends (H8)', async (t) => {
  const large = { status: 431, code: 'headers_too_large', closes: true };
  await refuses(t, '40 KB in one header', request('GET /api/x', [host, withKey, `X: ${'a'.repeat(40_000)}`]), large);
  await refuses(t, '40 KB in a name', request('GET /api/x', [host, withKey, `${'a'.repeat(40_000)}: x`]), large);
  const many = Array.from({ length: 2000 }, (_, index) => `h${index}: 1`);
  await refuses(t, '2000 headers', request('GET /api/x', [host, withKey, ...many]), { ...large, http: api });
  const long = request(`GET /api/${'a'.repeat(8200)}`);
  const tooLong = { status: 414, code: 'url_too_long', closes: true, http: { method: 'GET', path: '' } };
  await refuses(t, 'a path of 8 KB', long, tooLong);
  await refuses(t, 'a query of 8 KB', request(`GET /api/x?${'a'.repeat(8200)}`), tooLong);
  const { answer, forwarded } = await attack(scenario, request(`GET /api/${'a'.repeat(8000)}`));
  t.match({ status: answer.status, url: forwarded[0]?.url.length }, { status: 200, url: 8005 });
});

t.test('a path that two parsers read differently is refused (P1)', async (t) => {
  const bad = { status: 400, code: 'bad_path', closes: true, http: { method: 'GET', path: '' } };
  const paths = [
    '/api/../mcp',
    '/api/..',
    '/api/.',
    '/api/./x',
    '/api/%2e%2e/mcp',
    '/api/%2E%2e/mcp',
    '/api/.%2e/mcp',
    '/api/%252e%252e/mcp',
    '/api/..;/mcp',
    '/api/x;y=z',
    '/api/..%00/x',
    '/api/x%00',
    '/api/x%0d%0aSet-Cookie:a',
    '/api/x%0a',
    '/api/%7f',
    '/api\\x',
    '/api/..\\mcp',
    '/api%5cx',
    '/api/%5c..%5cmcp',
    '/api%2fx',
    '/api/%2f..%2fmcp',
    '/api/x%2Fy',
    '//api/x',
    '/api//x',
    '/api/x//',
    '//evil.example/api/x',
    '/api/x#fragment',
    '/api#/x',
    '/api/x?y#z',
    '/api/%c0%ae%c0%ae/mcp',
    '/api/%c0%af',
    '/api/%e0%80%af',
    '/api/%ff',
    '/api/%',
    '/api/%4',
    '/api/%zz',
    '/api/%u002e',
    '/%61pi/x',
    '/api/%41',
    '/api/<x>',
    '/api/"x"',
    '/api/{x}',
    '/api/x|y',
    '/api/x^y',
    '/api/`x`',
    '/api/[x]',
  ];
  for (const path of paths) await refuses(t, path, request(`GET ${path}`), bad);
  for (const path of ['/api/\xe9', '/api/x\x01', '/api/x?y=\xe9', '/api/x?\x7f']) {
    const { answer, forwarded } = await attack(scenario, request(`GET ${path}`));
    t.equal(answer.status, 400, JSON.stringify(path));
    t.equal(forwarded.length, 0, JSON.stringify(path));
  }
});

t.test('any path at all is refused, or forwarded as the very bytes that were matched (P1)', async (t) => {
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '.',
      '..',
      '/./',
      '/../',
      '%2e',
      '%2F',
      '%25',
      '%5c',
      '%20',
      '%C3%A9',
      '%00',
      ';',
      '?',
      '#',
    ),
    fc.constantFrom('open', 'api', 'mcp', '\\', ':', '@', '&', '=', '+', '~', '*', '$', '!', "'", '(', ')', ','),
    fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 4 }),
  );
  const targets = fc.array(piece, { maxLength: 8 }).map((pieces) => `/open/${pieces.join('')}`);
  const connection = await rawConnection(port);
  t.teardown(() => connection.end());
  let open = connection;
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(targets, async (target) => {
      const seen = upstream.requests.length;
      open.write(rawRequest([`GET ${target} HTTP/1.1`, host]));
      answered += 1;
      const { answers } = await open.answers(answered);
      const answer = answers.at(-1)!;
      const forwarded = upstream.requests.slice(seen).map(({ url }) => url);
      if (answer.headers.connection === 'close') {
        open = await rawConnection(port);
        answered = 0;
      }
      if (answer.status === 200) return forwarded.length === 1 && forwarded[0] === target;
      return answer.status === 400 && answer.json?.code === 'bad_path' && forwarded.length === 0;
    }),
    { numRuns: 400 },
  );
  open.end();
});

t.test('a path is one route’s or nobody’s: case, siblings and children (P2)', async (t) => {
  for (const path of [
    '/MCP',
    '/Mcp',
    '/mcpx',
    '/mcp/x',
    '/mcp/servers/1/mcp',
    '/mcp.json',
    '/apix',
    '/API/x',
    '/',
    '/x/mcp',
  ]) {
    // Without any credential: 404 tells nothing about who may come in.
    const expected = { status: 404, code: 'not_found', http: { method: 'GET', path } };
    const result = await attack(scenario, request(`GET ${path}`, [host]));
    assertRefused(t, path, result, expected);
    t.equal(result.answer.headers['www-authenticate'], undefined, path);
    t.equal(result.record.route, undefined, path);
  }
  for (const path of ['/mcp', '/mcp/', '/api', '/api/', '/api/x', '/api/x/']) {
    const { answer, forwarded, record } = await attack(scenario, request(`GET ${path}`, [host]));
    t.equal(answer.status, 401, path);
    t.match(answer.headers['www-authenticate'], /^Bearer .*resource_metadata=/, path);
    t.equal(forwarded.length, 0, path);
    t.match(record.route, path.startsWith('/mcp') ? '/mcp' : '/api/*', path);
  }
  await forwards(t, 'a trailing slash', request('GET /api/x/?a=1&a=2'), '/api/x/?a=1&a=2');
});

t.test('targets and methods that are not for an origin server (P3)', async (t) => {
  const bad = { status: 400, code: 'bad_path', closes: true };
  for (const target of ['http://other.example/api/x', 'https://a@b/api/x', 'https://mcp.example.com@b/api/x', '*']) {
    for (const method of ['GET', 'OPTIONS', 'POST']) {
      const expected = { ...bad, http: { method, path: '' } };
      await refuses(t, `${method} ${target}`, request(`${method} ${target}`), expected);
    }
  }
  const malformed = { status: 400, code: 'bad_request', closes: true };
  await refuses(t, 'authority-form', request('GET mcp.example.com:443'), malformed);
  await refuses(t, 'an empty target', request('GET '), malformed);
  await refuses(t, 'PRI', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', malformed);
  for (const method of ['get', 'Post', 'FOO', 'GETT', 'G\0T', '']) {
    await refuses(t, `method ${JSON.stringify(method)}`, request(`${method} /api/x`), malformed);
  }
  for (const method of ['TRACE', 'PROPFIND', 'QUERY', 'SEARCH', 'M-SEARCH', 'PURGE', 'LOCK', 'SOURCE', 'REPORT']) {
    for (const path of ['/api/x', '/mcp', '/open/x', '/health']) {
      const expected = { status: 405, code: 'method_not_allowed', http: { method, path } };
      const result = await attack(scenario, request(`${method} ${path}`));
      assertRefused(t, `${method} ${path}`, result, expected);
      t.match(result.answer.headers.allow, /GET/);
      t.notMatch(result.answer.headers.allow, method);
    }
    const expected = { status: 404, code: 'not_found', http: { method, path: '/nowhere' } };
    await refuses(t, `${method} /nowhere`, request(`${method} /nowhere`), expected);
  }
  const tunnel = { status: 405, code: 'method_not_allowed', closes: true, http: { method: 'CONNECT', path: '' } };
  await refuses(t, 'CONNECT', request('CONNECT 127.0.0.1:22'), tunnel);
  const connection = await rawConnection(port);
  connection.write(`${request('CONNECT 127.0.0.1:22')}SSH-2.0-x\r\n`);
  t.equal((await connection.closed()).closed, true, 'CONNECT ends the connection');
  const metrics = await scenario.metrics();
  t.notMatch(metrics, /PROPFIND|TRACE|QUERY/, 'a method is no label');
});

t.test('OPTIONS is answered for allowed pages, and is otherwise a request like any other (P4)', async (t) => {
  const preflight = (path: string, origin: string, method = 'POST') =>
    request(`OPTIONS ${path}`, [host, `Origin: ${origin}`, `Access-Control-Request-Method: ${method}`]);
  for (const path of ['/mcp', '/api/x']) {
    const { answer, forwarded, record } = await attack(scenario, preflight(path, 'https://app.example.com'));
    t.equal(answer.status, 204);
    t.match(answer.headers, {
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-allow-methods': /\bPOST\b/,
      'access-control-allow-headers': /Authorization, Content-Type.*x-api-key/,
    });
    t.equal(answer.headers['access-control-allow-credentials'], undefined);
    t.equal(forwarded.length, 0);
    t.match(record, { stage: 'completed', status: 204, route: path === '/mcp' ? '/mcp' : '/api/*' });
  }
  const denied = { status: 403, code: 'origin_denied', http: { method: 'OPTIONS', path: '/mcp' } };
  await refuses(t, 'a page from elsewhere', preflight('/mcp', 'https://evil.example'), denied);
  await refuses(t, 'null', preflight('/mcp', 'null'), denied);
  const patch = preflight('/mcp', 'https://app.example.com', 'PATCH');
  await refuses(t, 'PATCH', patch, { ...denied, status: 405, code: 'method_not_allowed' });
  const plain = await attack(scenario, request('OPTIONS /api/x', [host]));
  const unauthenticated = { status: 401, code: 'credentials_required', http: { method: 'OPTIONS', path: '/api/x' } };
  assertRefused(t, 'OPTIONS without a page', plain, unauthenticated);
});

t.test('an offer to switch protocols is ignored where no route takes it (P4, D8)', async (t) => {
  const websocket = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: eA==',
    'Sec-WebSocket-Version: 13',
  ];
  const h2c = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'];
  for (const headers of [websocket, h2c, ['Upgrade: h2c'], ['Connection: upgrade', 'Upgrade: TLS/1.0']]) {
    const { answer, forwarded, record } = await attack(scenario, request('GET /api/x', [host, withKey, ...headers]));
    t.match(answer, { status: 200 }, headers.join());
    t.strictSame(
      forwarded.map((each) => [...each.header('upgrade'), ...each.header('http2-settings')]),
      [[]],
    );
    t.match(record, { decision: 'allow', outcome: 'completed', status: 200 });
    const call = post(toolCall('list_dashboards'), [host, withKey, ...headers]);
    t.match((await attack(scenario, call)).answer, { status: 200 }, `on an MCP route: ${headers.join()}`);
  }
});

t.test('a page of another origin is denied, and so is a page that rebound its name (P5)', async (t) => {
  const origins = [
    'null',
    'https://evil.example',
    'http://app.example.com',
    'https://app.example.com:443',
    'https://app.example.com:8443',
    'https://app.example.com.evil.example',
    'https://app.example.com/',
    'https://app.example.com https://evil.example',
    'HTTPS://APP.EXAMPLE.COM',
    'https://evil.example#https://app.example.com',
    'http://127.0.0.1',
    'file://',
    '',
  ];
  for (const path of ['/api/x', '/health', '/open/x']) {
    for (const origin of origins) {
      const result = await attack(scenario, request(`GET ${path}`, [host, withKey, `Origin: ${origin}`]));
      assertRefused(t, `${origin} at ${path}`, result, {
        status: 403,
        code: 'origin_denied',
        http: { method: 'GET', path },
      });
      t.equal(result.answer.headers['access-control-allow-origin'], undefined);
    }
  }
  const rebound = request('GET /api/x', ['Host: rebound.evil.example', withKey, 'Origin: http://rebound.evil.example']);
  await refuses(t, 'DNS rebinding', rebound, { status: 421, code: 'bad_host', http: api });
  for (const origin of ['https://app.example.com', 'https://mcp.example.com']) {
    const { answer } = await attack(scenario, request('GET /api/x', [host, withKey, `Origin: ${origin}`]));
    t.equal(answer.status, 200);
    t.equal(answer.headers['access-control-allow-origin'], origin);
  }
});

t.test('framing that two parsers cut differently is refused and the connection ends (P6)', async (t) => {
  const smuggled = `GET /api/smuggled HTTP/1.1\r\n${host}\r\n${withKey}\r\n\r\n`;
  const chunks = '2\r\n{}\r\n0\r\n\r\n';
  const unreadable: Record<string, string> = {
    'length and chunks': request('POST /api/x', ['Content-Length: 4', 'Transfer-Encoding: chunked'], chunks + smuggled),
    'chunks and length': request('POST /api/x', ['Transfer-Encoding: chunked', 'Content-Length: 4'], chunks + smuggled),
    'chunked twice': request('POST /api/x', ['Transfer-Encoding: chunked, chunked'], chunks),
    'chunked in two headers': request(
      'POST /api/x',
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
      chunks,
    ),
    'chunked, then gzip': request('POST /api/x', ['Transfer-Encoding: chunked, gzip'], chunks),
    'an empty coding': request('POST /api/x', ['Transfer-Encoding: '], chunks),
    'a coding behind a vertical tab': request('POST /api/x', ['Transfer-Encoding: \x0bchunked'], chunks),
    'identity beside a length': request('POST /api/x', ['Transfer-Encoding: identity', 'Content-Length: 2'], '{}'),
    'a space before the colon': request('POST /api/x', ['Transfer-Encoding : chunked'], chunks),
    'a length with a space before the colon': request('POST /api/x', ['Content-Length : 2'], '{}'),
    'bare line feeds': `GET /api/x HTTP/1.1\n${host}\n${withKey}\n\n`,
    'a bare line feed in a value': request('GET /api/x', [host, withKey, 'X: a\nTransfer-Encoding: chunked']),
    'a bare carriage return': request('GET /api/x', [host, withKey, 'X: a\rY: b']),
    'a head that ends in two carriage returns': `GET /api/x HTTP/1.1\r\n${host}\r\n${withKey}\r\n\r\rX: y\r\n\r\n`,
    'a folded header': request('GET /api/x', [host, 'X: a\r\n b', withKey]),
    'a folded first header': request('GET /api/x', [' X: a', host, withKey]),
    'a line without a colon': request('GET /api/x', [host, withKey, 'Xabc']),
    'a header without a name': request('GET /api/x', [host, withKey, ': x']),
    'a NUL in a value': request('GET /api/x', [host, withKey, 'X: a\0b']),
    'a NUL in a name': request('GET /api/x', [host, withKey, 'X-Forwarded-User\0: admin']),
    'a leading space': ` ${request('GET /api/x')}`,
    'tabs in the request line': `GET\t/api/x\tHTTP/1.1\r\n${host}\r\n\r\n`,
    'four words in the request line': request('GET /api/x y'),
    'HTTP/1.2': rawRequest(['GET /api/x HTTP/1.2', host, withKey]),
    'http/1.1': rawRequest(['GET /api/x http/1.1', host, withKey]),
    'HTTP/11': rawRequest(['GET /api/x HTTP/11', host, withKey]),
    'a TLS handshake': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'another protocol': 'SSH-2.0-OpenSSH_9.6\r\n',
  };
  for (const value of [
    '+2',
    '-2',
    '0x2',
    '2 2',
    '2, 2',
    '2,2',
    '',
    '9'.repeat(30),
    '\x0b2',
    '2\x00',
    '"2"',
    '2;',
    '2.0',
    '1e1',
  ]) {
    unreadable[`Content-Length: ${JSON.stringify(value)}`] = request('POST /api/x', [`Content-Length: ${value}`], '{}');
  }
  for (const [name, bytes] of Object.entries(unreadable)) {
    await refuses(t, name, bytes, { status: 400, code: 'bad_request', closes: true });
  }

  const chunked = (body: string) => request('POST /api/x', ['Transfer-Encoding: chunked'], body);
  const afterTheHead: Record<string, string> = {
    'a line feed in a chunk extension': chunked('2;a\nb\r\n{}\r\n0\r\n\r\n'),
    'a carriage return in a chunk extension': chunked('2;a\rb\r\n{}\r\n0\r\n\r\n'),
    'a chunk extension of 20 KB': chunked(`2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`),
    'a chunk size with a sign': chunked('+2\r\n{}\r\n0\r\n\r\n'),
    'a negative chunk size': chunked('-2\r\n{}\r\n0\r\n\r\n'),
    'a chunk size of 0x2': chunked('0x2\r\n{}\r\n0\r\n\r\n'),
    'a chunk size beyond 64 bits': chunked('ffffffffffffffff2\r\n{}\r\n0\r\n\r\n'),
    'chunks with bare line feeds': chunked('2\n{}\n0\n\n'),
    'more than a chunk announced': chunked('2\r\n{}xx\r\n0\r\n\r\n'),
    'an unknown coding': request('POST /api/x', ['Transfer-Encoding: xchunked'], chunks),
    'a quoted coding': request('POST /api/x', ['Transfer-Encoding: "chunked"'], chunks),
    'HTTP/1.0 with chunks': rawRequest(['POST /api/x HTTP/1.0', host, withKey, 'Transfer-Encoding: chunked'], chunks),
  };
  for (const [name, bytes] of Object.entries(afterTheHead)) {
    await refuses(t, name, bytes, { status: 400, code: 'bad_request', closes: true, http: posted });
  }

  const bad = { status: 400, code: 'bad_request', closes: true, http: api };
  await refuses(t, 'HTTP/0.9', 'GET /api/x\r\n\r\n', bad);
  await refuses(t, 'HTTP/2.0 in HTTP/1 form', rawRequest(['GET /api/x HTTP/2.0', host, withKey]), bad);
  await refuses(t, 'HTTP/1.0 without Host', rawRequest(['GET /api/x HTTP/1.0', withKey]), bad);
  await refuses(t, 'a GET with a body', request('GET /api/x', ['Content-Length: 2'], '{}'), bad);
  await refuses(t, 'a GET with chunks', request('GET /api/x', ['Transfer-Encoding: chunked'], chunks), bad);
  const gzip = request('POST /api/x', ['Transfer-Encoding: gzip, chunked'], chunks);
  await refuses(t, 'gzip, chunked', gzip, { status: 501, code: 'not_implemented', closes: true, http: posted });
});

t.test('what is well framed arrives as one request with one length', async (t) => {
  const chunked = [
    ['chunks', 'Transfer-Encoding: chunked', '2\r\n{}\r\n0\r\n\r\n'],
    ['upper case', 'Transfer-Encoding: CHUNKED', '1\r\n{\r\n1\r\n}\r\n0\r\n\r\n'],
    ['an extension', 'Transfer-Encoding: chunked', '2;a=b\r\n{}\r\n0\r\n\r\n'],
    ['a trailer', 'Transfer-Encoding: chunked', '2\r\n{}\r\n0\r\nX-Forwarded-User: admin\r\n\r\n'],
  ] as const;
  for (const [name, coding, body] of chunked) {
    const forwarded = await forwards(t, name, request('POST /api/x', [coding], body), '/api/x');
    t.equal(String(forwarded.body), '{}', name);
    t.same(forwarded.header('content-length'), ['2'], name);
    t.same(forwarded.header('transfer-encoding'), [], name);
    t.same(forwarded.header('x-forwarded-user'), ['reporting_tool'], name);
  }
  const folded = await forwards(
    t,
    'a folded name',
    request('POST /api/x', ['Transfer_Encoding: chunked', 'Content-Length: 2'], '{}'),
    '/api/x',
  );
  t.same(folded.header('transfer_encoding'), []);
});

t.test(
  'rubbish behind a request takes the request down with it, and nothing is carried out behind its record',
  async (t) => {
    for (const rubbish of ['{}', 'GARBAGE\r\n\r\n', `GET /api/x HTTP/1.1\r\n: x\r\n\r\n`]) {
      const seen = upstream.requests.length;
      const result = await attack(scenario, request('POST /api/x', ['Content-Length: 0'], rubbish));
      t.match({ status: result.answer.status, code: result.code }, { status: 400, code: 'bad_request' }, rubbish);
      t.equal(result.answer.headers.connection, 'close');
      const records = (await scenario.records()).filter(({ id }) => id === result.record.id);
      t.strictSame(
        records.map(({ stage, outcome }) => [stage, outcome]),
        [['completed', 'refused']],
      );
      t.equal(upstream.requests.length, seen);
    }
  },
);

t.test('requests sent in one go are answered in their order, each with its records', async (t) => {
  const bytes = request('GET /api/1') + request('GET /nowhere') + request('GET /api/3');
  const { answers } = await talk(port, bytes, 3);
  t.same(
    answers.map(({ status }) => status),
    [200, 404, 200],
  );
  for (const { headers, status } of answers) {
    const record = await scenario.record((each) => each.id === headers['x-request-id'] && each.stage === 'completed');
    t.equal(record.status, status);
  }
});

t.test('a client that leaves in the middle of its body is recorded and leaves nothing open', async (t) => {
  const openRequests = async () => (await scenario.status()).openRequests;
  for (const leave of ['end', 'resetAndDestroy'] as const) {
    const before = (await scenario.records()).length;
    const connection = await rawConnection(port);
    connection.write(request('POST /api/left', ['Content-Length: 5'], '{}'));
    await until(async () => (await openRequests()) === 1);
    connection.socket[leave]();
    await scenario.record(({ seq, http }) => seq > before && http?.path === '/api/left');
    await until(async () => (await openRequests()) === 0);
    connection.end();
  }
  t.equal(upstream.requests.filter(({ url }) => url === '/api/left').length, 0);
});

t.test('after all of this the gateway serves on', async (t) => {
  const { answer, forwarded } = await attack(scenario, post(toolCall('list_dashboards')));
  t.equal(answer.status, 200);
  t.equal(forwarded.length, 1);
  const statuses = (await scenario.records()).map(({ status }) => status);
  t.notOk(statuses.includes(500), 'not one internal error');
});
