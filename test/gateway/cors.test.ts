// Clients in a browser (mcp.md T60, B10): preflights, readable headers, and pages that are refused.
import t from 'tap';
import { assertRefused, attack, host, post, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

const page = 'https://app.example.com';
const scenario = await startScenario(t, {
  server: { allowedOrigins: [page] },
  routes: { '/mcp': { mcp: { forwardHeaders: ['x-dashboard-tab'] } } },
});
const call = toolCall('list_dashboards');

const preflight = (asked: string, origin = page, method = 'POST') =>
  request('OPTIONS /mcp', [
    host,
    `Origin: ${origin}`,
    `Access-Control-Request-Method: ${method}`,
    ...(asked === '' ? [] : [`Access-Control-Request-Headers: ${asked}`]),
  ]);

const listOf = (value: string | undefined) => (value ?? '').split(', ');
const parametersOf = (value: string | undefined) => listOf(value).filter((name) => /^mcp-param/i.test(name));

t.test('a preflight needs no credential and allows what MCP clients send', async (t) => {
  const { answer, forwarded, record } = await attack(scenario, preflight(''));
  t.equal(answer.status, 204);
  t.equal(answer.headers['access-control-allow-origin'], page);
  t.equal(answer.headers['access-control-allow-credentials'], undefined);
  t.equal(answer.headers.vary, 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');
  t.strictSame(listOf(answer.headers['access-control-allow-methods']).sort(), ['DELETE', 'GET', 'POST']);
  t.strictSame(listOf(answer.headers['access-control-allow-headers']).sort(), [
    'Accept',
    'Authorization',
    'Content-Type',
    'DPoP',
    'Last-Event-ID',
    'MCP-Protocol-Version',
    'Mcp-Method',
    'Mcp-Name',
    'Mcp-Session-Id',
    'x-api-key',
    'x-dashboard-tab',
  ]);
  t.equal(forwarded.length, 0);
  t.match(record, { stage: 'completed', status: 204, decision: 'allow', route: '/mcp' });
});

t.test('headers of parameters are allowed by the names that the page asks for, and no others are', async (t) => {
  const asked = [
    'mcp-param-region, Mcp-Param-Row_Limit,mcp-param-region',
    'mcp-param-',
    'mcp-param',
    'mcp-param-a b',
    'mcp-param-a\u00e9',
    'mcp-param-(x)',
    `mcp-param-${'x'.repeat(129)}`,
    'x-mcp-param-region',
    'x-forwarded-user',
    'cookie',
    '*',
  ].join(',');
  const { answer } = await attack(scenario, preflight(asked));
  t.equal(answer.status, 204);
  t.strictSame(parametersOf(answer.headers['access-control-allow-headers']), [
    'mcp-param-region',
    'Mcp-Param-Row_Limit',
  ]);
  t.notMatch(answer.headers['access-control-allow-headers'], /cookie|forwarded|\*/);
  const many = Array.from({ length: 1000 }, (_, index) => `mcp-param-${index}`).join(',');
  const bounded = await attack(scenario, preflight(many));
  t.equal(parametersOf(bounded.answer.headers['access-control-allow-headers']).length, 64);
});

t.test('a page may read challenges, session ids and refusals, and the answers of the upstream', async (t) => {
  const bodies: [string, string, number][] = [
    ['no credential', post(call, [host, `Origin: ${page}`]), 401],
    ['a bad one', post(call, [host, `${withKey}x`, `Origin: ${page}`]), 401],
    ['no credential for the stream', request('GET /mcp', [host, `Origin: ${page}`]), 401],
    ['a scope that is missing', post(toolCall('execute_sql'), [host, withKey, `Origin: ${page}`]), 200],
    ['no JSON', post('{', [host, withKey, `Origin: ${page}`]), 400],
    ['the answer', post(call, [host, withKey, `Origin: ${page}`]), 200],
    ['the answer to our own page', post(call, [host, withKey, 'Origin: https://mcp.example.com']), 200],
  ];
  for (const [label, bytes, status] of bodies) {
    const { answer } = await attack(scenario, bytes);
    t.equal(answer.status, status, label);
    t.match(answer.headers['access-control-allow-origin'], /^https:\/\/(app|mcp)\.example\.com$/, label);
    t.strictSame(
      listOf(answer.headers['access-control-expose-headers']),
      [
        'WWW-Authenticate',
        'DPoP-Nonce',
        'Mcp-Session-Id',
        'MCP-Protocol-Version',
        'Retry-After',
        'RateLimit',
        'RateLimit-Policy',
        'X-Request-Id',
      ],
      label,
    );
    t.match(answer.headers.vary, /\bOrigin\b/, label);
    if (status === 401) t.match(answer.headers['www-authenticate'], /^Bearer .*resource_metadata="/, label);
  }
});

t.test('a page that is not allowed gets 403 and can read nothing, with a credential or without', async (t) => {
  const refusal = { status: 403, code: 'origin_denied' };
  for (const origin of [
    'null',
    'https://evil.example',
    'https://app.example.com.evil.example',
    'http://app.example.com',
  ]) {
    const requests: [string, string][] = [
      ['OPTIONS', preflight('authorization', origin)],
      ['POST', post(call, [host, withKey, `Origin: ${origin}`])],
      ['POST', post(call, [host, `Origin: ${origin}`])],
      ['GET', request('GET /mcp', [host, withKey, `Origin: ${origin}`])],
      ['DELETE', request('DELETE /mcp', [host, withKey, `Origin: ${origin}`])],
    ];
    for (const [method, bytes] of requests) {
      const result = await attack(scenario, bytes);
      assertRefused(t, `${method} from ${origin}`, result, { ...refusal, http: { method, path: '/mcp' } });
      t.equal(result.answer.headers['access-control-allow-origin'], undefined);
      t.equal(result.answer.headers['www-authenticate'], undefined);
    }
  }
  const { answer } = await attack(scenario, post(call, [host, withKey]));
  t.equal(answer.status, 200, 'a client that is no page has no Origin');
  t.equal(answer.headers['access-control-allow-origin'], undefined);
});
