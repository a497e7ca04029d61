// Two eras of MCP on one endpoint: headers that must repeat the body, and answers by which clients tell the eras apart.
import t from 'tap';
import { assertRefused, attack, host, post, type Refusal, request, withKey } from '../support/attack.ts';
import { apiKey } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { type Reply, replyOk } from '../support/upstream.ts';

const revision = '2026-07-28';
const meta = {
  'io.modelcontextprotocol/protocolVersion': revision,
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

let reply: Reply = replyOk;
const scenario = await startScenario(
  t,
  { server: { allowedOrigins: ['https://app.example.com'] } },
  { reply: (...exchange) => reply(...exchange) },
);

const modern = (method: string, params: object = {}, id: unknown = 1) =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta: meta } });
const legacy = (method: string, params: object = {}, id: unknown = 1) =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
const notification = (method: string) => JSON.stringify({ jsonrpc: '2.0', method, params: { _meta: meta } });
const send = (body: string, headers: readonly string[]) => attack(scenario, post(body, [host, withKey, ...headers]));

const versionHeader = `MCP-Protocol-Version: ${revision}`;
const call = modern('tools/call', { name: 'list_dashboards', arguments: {} });
const callHeaders = [versionHeader, 'Mcp-Method: tools/call', 'Mcp-Name: list_dashboards'];
const refusal: Refusal = { status: 400, code: 'header_mismatch', http: { method: 'POST', path: '/mcp' } };

t.test('J8: a header that does not repeat the body is refused, with the id of the request', async (t) => {
  const base64 = Buffer.from('list_dashboards').toString('base64');
  const [version, method, name] = callHeaders as [string, string, string];
  const refused: [string, string, string[]][] = [
    ['no header at all', call, []],
    ['no revision', call, [method, name]],
    ['another revision', call, ['MCP-Protocol-Version: 2025-11-25', method, name]],
    ['no method', call, [version, name]],
    ['another method', call, [version, 'Mcp-Method: tools/list', name]],
    ['the method in capitals', call, [version, 'Mcp-Method: TOOLS/CALL', name]],
    ['no name', call, [version, method]],
    ['another name', call, [version, method, 'Mcp-Name: execute_sql']],
    ['another name in base64', call, [version, method, `Mcp-Name: =?base64?${Buffer.from('x').toString('base64')}?=`]],
    ['base64 of the URL alphabet', call, [version, method, 'Mcp-Name: =?base64?8J-YgA==?=']],
    ['base64 without its mark', call, [version, method, `Mcp-Name: ${base64}`]],
    ['another spelling of the mark', call, [version, method, `Mcp-Name: =?BASE64?${base64}?=`]],
    ['bytes beyond ASCII', modern('tools/call', { name: 'é' }), [version, method, 'Mcp-Name: \u00e9']],
    ['an older call with another name', legacy('tools/call', { name: 'list_dashboards' }), ['Mcp-Name: execute_sql']],
    ['an older call with another method', legacy('tools/call', { name: 'list_dashboards' }), ['Mcp-Method: ping']],
    ['a resource', modern('resources/read', { uri: 'a:b' }), [version, 'Mcp-Method: resources/read', 'Mcp-Name: a:c']],
  ];
  for (const [label, body, headers] of refused) {
    const result = await send(body, headers);
    assertRefused(t, label, result, refusal);
    t.match(result.answer.json, { jsonrpc: '2.0', id: 1, error: { code: -32020, data: { code: 'header_mismatch' } } });
    t.match(result.record.mcp, { method: JSON.parse(body).method }, `${label}: the record says what the body said`);
  }
  const twice = await send(call, [...callHeaders, 'mcp-name: list_dashboards']);
  assertRefused(t, 'twice the same', twice, { ...refusal, code: 'duplicate_header', closes: true });
});

t.test('J8: headers that repeat it are forwarded as they came, and unknown parameters with them', async (t) => {
  const base64 = `=?base64?${Buffer.from('list_dashboards').toString('base64')}?=`;
  const forwarded: [string, string, string[]][] = [
    ['a call', call, callHeaders],
    [
      'names of headers in any case',
      call,
      ['mcp-protocol-version: 2026-07-28', 'MCP-METHOD: tools/call', 'mcp-NAME: list_dashboards'],
    ],
    ['the name in base64', call, [...callHeaders.slice(0, 2), `Mcp-Name: ${base64}`]],
    [
      'parameters',
      call,
      [...callHeaders, 'Mcp-Param-Region: eu', 'Mcp-Param-X!y: =?base64?not base64?=', 'mcp-param-empty:'],
    ],
    ['a list', modern('tools/list'), [versionHeader, 'Mcp-Method: tools/list']],
    ['a notification without its method', notification('notifications/roots/list_changed'), [versionHeader]],
    ['an older call', legacy('tools/call', { name: 'list_dashboards' }), ['MCP-Protocol-Version: 2025-11-25']],
    ['an older call with the older default', legacy('tools/call', { name: 'list_dashboards' }), []],
    ['an older call of a revision that nobody knows', legacy('tools/list'), ['MCP-Protocol-Version: 2024-12-31']],
  ];
  for (const [label, body, headers] of forwarded) {
    const result = await send(body, headers);
    t.equal(result.answer.status, 200, label);
    t.equal(result.forwarded[0]?.body.toString(), body, `${label}: the same bytes`);
    const sent = headers.map((header) => [
      header.slice(0, header.indexOf(':')),
      header.slice(header.indexOf(':') + 1).trim(),
    ]);
    const raw = result.forwarded[0]?.rawHeaders ?? [];
    const seen = raw.flatMap((name, index) => (index % 2 === 0 && /^mcp-/i.test(name) ? [[name, raw[index + 1]]] : []));
    t.strictSame(seen, sent, `${label}: the same headers`);
  }
});

t.test('what the upstream says about an era reaches the client to the byte', async (t) => {
  const answers: [string, number, string][] = [
    [
      'a revision it does not speak',
      400,
      '{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported","data":{"supported":["2026-07-28"],"requested":"2027-01-01"}}}',
    ],
    [
      'a capability that is missing',
      400,
      '{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"Missing capability"}}',
    ],
    ['a member that is missing', 400, '{"jsonrpc":"2.0", "id":1,"error":{"code":-32602,"message":"Invalid _meta"}}\n'],
    [
      'a header of its own that differs',
      400,
      '{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"Mcp-Param-Region"}}',
    ],
    ['a method it does not know', 404, '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'],
    [
      'an older server',
      400,
      '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}',
    ],
    [
      'a session it does not know',
      404,
      '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}',
    ],
    [
      'a header it does not like',
      406,
      '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Not Acceptable"},"id":null}',
    ],
    ['no body', 405, ''],
    ['no JSON', 400, 'Bad Request'],
  ];
  t.teardown(() => {
    reply = replyOk;
  });
  const requests: [string, string[]][] = [
    [modern('server/discover'), [versionHeader, 'Mcp-Method: server/discover']],
    [legacy('initialize', { protocolVersion: '2025-11-25' }), []],
    [call, callHeaders],
    [legacy('tools/call', { name: 'list_dashboards' }), ['MCP-Protocol-Version: 2025-06-18']],
  ];
  for (const [label, status, body] of answers) {
    const type = body.startsWith('{') ? 'application/json' : 'text/plain; charset=utf-8';
    reply = (_request, response) => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    };
    for (const [message, headers] of requests) {
      const { answer, record } = await send(message, headers);
      t.strictSame(
        { status: answer.status, body: answer.body.toString(), type: answer.headers['content-type'] },
        { status, body, type },
        `${label}, to ${JSON.parse(message).method}`,
      );
      t.match(record, { status, outcome: 'completed', upstream: { status } });
    }
  }
});

t.test('who the caller is comes before anything about the body', async (t) => {
  const mcp = { method: 'POST', path: '/mcp' };
  const bodies = ['', '{', '[]', call, modern('tools/list'), legacy('tools/call', { name: 'x' })];
  for (const body of bodies) {
    for (const headers of [[], callHeaders, [versionHeader, 'Mcp-Method: wrong']]) {
      const anonymous = await attack(scenario, post(body, [host, ...headers]));
      assertRefused(t, `nobody sends ${body}`, anonymous, { status: 401, code: 'credentials_required', http: mcp });
      const foreign = await attack(scenario, post(body, [host, withKey, 'Origin: https://evil.example', ...headers]));
      assertRefused(t, `a foreign page sends ${body}`, foreign, { status: 403, code: 'origin_denied', http: mcp });
    }
  }
  const unknownKey = `Authorization: Bearer ${apiKey}x`;
  const wrong = await attack(scenario, post('{', [host, unknownKey]));
  assertRefused(t, 'a wrong key', wrong, { status: 401, code: 'invalid_api_key', http: mcp });
});

t.test("no refusal of the gateway's looks like an answer of an MCP server of either era", async (t) => {
  const refusals = [
    await send('{', []),
    await send('[]', []),
    await send('{"jsonrpc":"2.0","id":1,"method":"x"', []),
    await send(modern('tools/call', { name: 'execute_sql' }), [
      versionHeader,
      'Mcp-Method: tools/call',
      'Mcp-Name: execute_sql',
    ]),
    await send(legacy('x/unknown'), []),
    await send(modern('x/unknown'), [versionHeader, 'Mcp-Method: x/unknown']),
    await attack(scenario, post(call, [host])),
    await attack(scenario, post(call, [host, withKey, 'Origin: null'])),
    await attack(scenario, post(call, ['Host: evil.example', withKey])),
    await attack(scenario, post(`{"jsonrpc":"2.0","a":"${'x'.repeat(1 << 20)}"}`)),
  ];
  for (const { answer } of refusals) {
    const { code } = answer.json!.error as { code: number };
    t.ok(code >= 200 && code < 600, `${answer.status}: its code is the HTTP status it stands for`);
    t.not(answer.status, 404);
    t.not(answer.status, 405);
  }
  t.strictSame(
    refusals.map(({ answer }) => answer.status),
    [400, 400, 400, 200, 403, 403, 401, 403, 421, 413],
  );
  for (const [line, headers, status] of [
    ['GET /mcp', [host], 401],
    ['GET /mcp', [host, withKey, 'Origin: null'], 403],
    ['GET /mcp', ['Host: evil.example', withKey], 421],
    ['DELETE /mcp', [host], 401],
  ] as const) {
    const { answer, forwarded } = await attack(scenario, request(line, headers));
    t.equal(answer.status, status, line);
    t.equal(answer.headers['content-type'], 'application/problem+json', `${line} has no JSON-RPC body`);
    t.equal(forwarded.length, 0);
  }
});
