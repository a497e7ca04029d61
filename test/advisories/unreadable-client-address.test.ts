// Attack: a caller makes a trusted proxy forward an address that cannot be read, gets the address of the proxy itself instead, and with it what
// is allowed to the proxy's network. Row C8 of faults.md.
import t from 'tap';
import { compileClientAddress } from '../../src/http/client-address.ts';
import { host, request, withKey } from '../support/attack.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

const ofProxies = compileClientAddress(['10.0.0.0/8', '2001:db8:1::/48']);

t.test('X-Forwarded-For: unknown, and anything else unreadable, is no address and never that of the proxy', (t) => {
  const unreadable = [
    'unknown',
    '_hidden',
    '',
    ' ',
    ',',
    '192.0.2.9,',
    '192.0.2.9, unknown',
    '192.0.2.9, unknown, 10.0.0.3',
    'localhost',
    '10.0.0',
    '010.0.0.1',
    '10.0.0.256',
    '10.0.0.1/8',
    '10.0.0.1:http',
    '10.0.0.1:',
    '10.0.0.1:123456',
    '[10.0.0.1]',
    '[::1',
    '[2001:db8::5]x',
    'fe80::1%eth0',
    '"192.0.2.9"',
    'for=192.0.2.9',
    '192.0.2.9 192.0.2.10',
  ];
  for (const value of unreadable) t.equal(ofProxies('10.0.0.2', { 'x-forwarded-for': value }), 'unknown', value);
  const elements = [
    'for=unknown',
    'for=_x',
    'for="_gazonk:80"',
    'for=',
    'by=10.0.0.2',
    'for=192.0.2.9;for=192.0.2.10',
    'for="192.0.2.9',
    'for=192.0.2.9;by',
    'host="a;for=10.0.0.1";for=unknown',
    'for=192.0.2.9, for=_x',
    'for=192.0.2.9, nonsense',
    'for="192.0.2.9\\"',
  ];
  for (const forwarded of elements) t.equal(ofProxies('10.0.0.2', { forwarded }), 'unknown', forwarded);
  t.end();
});

t.test('addresses with ports, which may be obfuscated, are read, and those of further proxies are passed over', (t) => {
  const readable = {
    '192.0.2.9': '192.0.2.9',
    '192.0.2.9:4711': '192.0.2.9',
    '[2001:db8::5]:4711': '2001:db8::5',
    '[2001:db8::5]': '2001:db8::5',
    '2001:db8::5': '2001:db8::5',
    '::ffff:192.0.2.9': '192.0.2.9',
    'unknown, 192.0.2.9': '192.0.2.9',
    '192.0.2.9, 10.0.0.3, [2001:db8:1::1]:80': '192.0.2.9',
    '10.0.0.4, 10.0.0.3': '10.0.0.4',
  };
  for (const [value, address] of Object.entries(readable)) {
    t.equal(ofProxies('10.0.0.2', { 'x-forwarded-for': value }), address, value);
  }
  const elements = {
    'for=192.0.2.9': '192.0.2.9',
    'For="192.0.2.9:47011"': '192.0.2.9',
    'for="192.0.2.9:_gazonk"': '192.0.2.9',
    'for="[2001:db8::5]:4711";proto=https;by=10.0.0.2': '2001:db8::5',
    'by=10.0.0.2; for=192.0.2.9 ;host=mcp.example.com': '192.0.2.9',
    'host="a;for=10.0.0.1";for=192.0.2.9': '192.0.2.9',
    'for=_x, for=192.0.2.9': '192.0.2.9',
  };
  for (const [forwarded, address] of Object.entries(elements)) {
    t.equal(ofProxies('10.0.0.2', { forwarded }), address, forwarded);
  }
  t.equal(ofProxies('10.0.0.2', {}), '10.0.0.2', 'a proxy that forwards for nobody is the client');
  t.equal(ofProxies('192.0.2.1', { 'x-forwarded-for': '10.0.0.2' }), '192.0.2.1', 'and nobody else is believed');
  t.end();
});

t.test('networks of keys and rules do not hold such a client, and its record names no address', async (t) => {
  const networks = ['0.0.0.0/0', '::/0'];
  const scenario = await startScenario(t, {
    server: { trustedProxies: ['127.0.0.1'] },
    authenticators: { keys: { keys: [keyEntry('k1', apiKey, { networks })] } },
    routes: [
      { path: '/key', authenticate: 'keys' },
      { path: '/rule', authenticate: 'none', rules: [{ allow: { networks } }] },
    ],
  });
  for (const forwarding of ['X-Forwarded-For: unknown', 'X-Forwarded-For:', 'Forwarded: for=_x']) {
    for (const [path, headers, status] of [
      ['/key', [host, withKey], 401],
      ['/rule', [host], 403],
    ] as const) {
      const { answers } = await talk(scenario.port, request(`GET ${path}`, [...headers, forwarding]));
      t.match(answers, [{ status }], `${forwarding} at ${path}`);
      const id = answers[0]!.headers['x-request-id'];
      t.match((await scenario.record((each) => each.id === id)).client, { address: 'unknown' });
    }
  }
  t.equal(scenario.upstream.requests.length, 0);
  const known = request('GET /key', [host, withKey, 'X-Forwarded-For: 192.0.2.9:4711']);
  t.match((await talk(scenario.port, known)).answers, [{ status: 200 }]);
  t.same(scenario.upstream.requests[0]!.header('x-forwarded-for'), ['192.0.2.9']);
});
