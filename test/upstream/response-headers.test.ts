// Headers of relayed answers: what goes on, what is dropped, and what the gateway adds.
import t from 'tap';
import { relayResponseHeaders } from '../../src/upstream/response/headers.ts';

const targets = { path: '/mcp', publicTarget: '/mcp' };

function relay(headers: readonly string[], status = 200, extraHeaders?: Readonly<Record<string, string>>) {
  const raw = headers.map((text) => Buffer.from(text, 'latin1'));
  return relayResponseHeaders(raw, status, extraHeaders, targets);
}

t.test('what the answer says about itself is relayed as it was spelt', (t) => {
  const headers = [
    'Content-Type',
    'application/json',
    'Content-Length',
    '2',
    'ETag',
    '"a"',
    'Mcp-Session-Id',
    's',
    'Location',
    '/x',
    'X-Accel-Buffering',
    'no',
    'X-Latin',
    'é',
  ];
  t.match(relay(headers), { contentLength: 2, contentType: 'application/json', eventStream: false });
  t.same(relay(headers).headers, headers);
  t.end();
});

t.test('what belongs to the hop, to the gateway’s origin or to its credential is not', (t) => {
  const names = [
    'Connection',
    'Keep-Alive',
    'Transfer-Encoding',
    'Trailer',
    'Upgrade',
    'Proxy-Connection',
    'TE',
    'WWW-Authenticate',
    'Proxy-Authenticate',
    'Proxy-Authentication-Info',
    'Authentication-Info',
    'Set-Cookie',
    'Set-Cookie2',
    'Clear-Site-Data',
    'Server',
    'X-Powered-By',
    'Alt-Svc',
    'Strict-Transport-Security',
    'Access-Control-Allow-Origin',
    'access-control-expose-headers',
    'Client-Cert',
    'CLIENT-CERT-CHAIN',
  ];
  t.same(relay(names.flatMap((name) => [name, 'x'])).headers, []);
  t.end();
});

t.test('headers that Connection names go with it, but never the length', (t) => {
  const { headers } = relay([
    'X-A',
    '1',
    'Connection',
    'close, X-A',
    'Content-Length',
    '2',
    'connection',
    'content-length, x_b',
    'X-B',
    '2',
    'X-C',
    '3',
  ]);
  t.same(headers, ['Content-Length', '2', 'X-C', '3']);
  t.end();
});

t.test('the gateway’s own headers replace the upstream’s, but Vary is added to', (t) => {
  const { headers } = relay(['X-Request-ID', 'forged', 'Vary', 'a'], 200, {
    'x-request-id': 'ours',
    vary: 'Origin',
  });
  t.same(headers, ['Vary', 'a', 'x-request-id', 'ours', 'vary', 'Origin']);
  t.end();
});

t.test('a 204 has no length, and an event stream is known in any case and with parameters', (t) => {
  t.match(relay(['content-length', '0'], 204), { headers: [], contentLength: undefined, eventStream: false });
  t.throws(() => relay(['content-length', '5'], 204), { message: 'the upstream sent a 204 with content-length' });
  const twice = relay(['content-type', 'application/json', 'content-type', 'text/html', 'content-encoding', 'gzip']);
  t.match(twice, { contentType: 'application/json,text/html', contentEncoding: 'gzip' });
  t.ok(relay(['Content-Type', 'Text/Event-Stream; charset=utf-8']).eventStream);
  t.notOk(relay(['Content-Type', 'text/event']).eventStream);
  t.end();
});

t.test('a header to be rewritten comes as it is made from the upstream’s value, once, in whatever spelling', (t) => {
  const rewrite = { 'mcp-session-id': (value: string) => `sealed.${value}` };
  const relayed = (...headers: string[]) =>
    relayResponseHeaders(
      headers.map((text) => Buffer.from(text, 'latin1')),
      200,
      undefined,
      targets,
      rewrite,
    ).headers;
  t.same(relayed('MCP-SESSION-ID', 's', 'x', 'y'), ['MCP-SESSION-ID', 'sealed.s', 'x', 'y']);
  t.same(relayed('x', 'y'), ['x', 'y']);
  t.throws(() => relayed('Mcp-Session-Id', 's', 'mcp-session-id', 's'), /twice/);
  t.end();
});

t.test('an event stream asks proxies not to gather events, unless the upstream has said something about that', (t) => {
  const stream = ['content-type', 'text/event-stream'];
  t.same(relay(stream).headers, [...stream, 'x-accel-buffering', 'no']);
  t.same(relay([...stream, 'X-Accel-Buffering', 'yes']).headers, [...stream, 'X-Accel-Buffering', 'yes']);
  t.end();
});
