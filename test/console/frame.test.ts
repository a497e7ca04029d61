// Frame of the console: mounted beside the admin paths, headers, static files, errors, escaping.
import fastify from 'fastify';
import t from 'tap';
import type { Config } from '../../src/config/schema/config.ts';
import { createEventStreams, maxEventStreams } from '../../src/console/events.ts';
import { html } from '../../src/console/html/html.ts';
import { chart, table, time } from '../../src/console/html/parts.ts';
import { createAdmin } from '../../src/gateway/admin/admin.ts';
import { createLog } from '../../src/log.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { textOf } from '../support/console.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

t.test('the table of a chart has the largest value of each span, so that no burst is missing', (t) => {
  const values = Array.from({ length: 300 }, (_, index) => (index < 30 ? null : index === 41 ? 987 : 1));
  const series = [{ name: 'requests', values }];
  const of = (length: number) =>
    textOf(
      chart({
        ...{ id: 'c', title: 'Rate', summary: '', unit: '/s', times: values.slice(0, length).map((_, index) => index) },
        series: series.map(({ name }) => ({ name, values: values.slice(0, length) })),
      }),
    );
  const rows = (text: string) => text.slice(text.indexOf('<table')).match(/<span>[^<]*<\/span>/g);
  const whole = rows(of(300))!;
  t.equal(whole.length, 12);
  t.equal(whole[0], '<span>–</span>', 'nothing was measured');
  t.equal(whole[1], '<span>987</span>');
  t.match(of(300), 'requests, largest');
  t.match(of(300), '>Until<');
  t.notMatch(of(12), 'largest', 'each value has a row');
  t.end();
});

t.test('a gateway with a console', async (t) => {
  const { admin, gateway } = await startScenario(t);

  t.test('a page says with which headers and from where it may load', async (t) => {
    const response = await admin('/');
    t.equal(response.status, 200);
    t.match(response.headers.get('content-type'), 'text/html');
    t.match(
      response.headers.get('content-security-policy'),
      /^default-src 'none'; script-src 'self'; style-src 'self'/,
    );
    t.match(response.headers.get('content-security-policy'), "frame-ancestors 'none'");
    t.equal(response.headers.get('cache-control'), 'no-store');
    t.equal(response.headers.get('referrer-policy'), 'same-origin');
    const text = await response.text();
    t.match(text, '<html lang="en"');
    t.match(text, '<h1>Overview</h1>');
    t.match(text, '<a href="/" aria-current="page">Overview</a>');
    t.notMatch(text, /<style|<script>|style="|\son\w+=/, 'nothing inline, which the policy would refuse');
  });

  t.test('static files have the hash of their content in their name, and are kept', async (t) => {
    const [path] = /\/assets\/console\.[0-9a-f]{16}\.css/.exec(await (await admin('/')).text())!;
    const response = await admin(path);
    t.equal(response.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    t.match(response.headers.get('content-type'), 'text/css');
    const etag = response.headers.get('etag')!;
    const again = await gateway.admin.inject({ url: path, headers: { 'if-none-match': etag } });
    t.equal(again.statusCode, 304);
    for (const other of ['/assets/console.css', '/assets/..%2fconsole.ts', `${path}x`])
      t.equal((await admin(other)).status, 404, other);
  });

  t.test('an unknown path is a page that leads on, and admin paths stay as they are', async (t) => {
    const missing = { url: '/<script>alert(1)</script>', headers: { accept: 'text/html,*/*' } };
    t.match(await gateway.admin.inject(missing), { statusCode: 404, body: 'Go to the overview' });
    t.match(await gateway.admin.inject('/healthz'), { statusCode: 404, body: /^nothing here\n$/ });
    t.equal(await (await admin('/livez')).text(), 'ok\n');
    const worker = await admin('/?worker=7');
    t.equal(worker.status, 404);
    t.match(await worker.text(), 'There is no worker 7.');
  });

  t.test('an address that cannot be read, and one with a parameter of 600 characters', async (t) => {
    const bad = await gateway.admin.inject('/%zz');
    t.match(bad, { statusCode: 400, body: /^this address cannot be read\n$/ });
    t.match(bad.headers, { 'content-type': /^text\/plain/, 'x-content-type-options': 'nosniff' });
    const long = await gateway.admin.inject(`/decisions/${'x'.repeat(600)}`);
    t.match(long, { statusCode: 414, body: /^this address cannot be read\n$/ });
    t.match(long.headers, { 'content-security-policy': "default-src 'none'", 'cache-control': 'no-store' });
  });

  t.test('only event streams keep their connection, of which there are few', async (t) => {
    t.equal((await admin('/')).headers.get('connection'), 'close');
    t.not((await admin('/metrics')).headers.get('connection'), 'close');
  });
  t.end();
});

t.test('the console is made for its first request, again after a failure, and not beyond loopback', async (t) => {
  let opened = 0;
  const open = async (listen: string) => {
    const source = {} as Parameters<typeof createAdmin>[0]['source'];
    const log = createLog({ level: 'silent' });
    const config = { admin: { listen, metrics: 'open' } } as unknown as Config;
    const admin = createAdmin({
      source: { ...source, isServedHost: () => true, settings: () => config.admin },
      loaded: { config, files: createNamedFiles(new Map()) },
      log,
      async openConsole() {
        opened += 1;
        throw new Error('no memory');
      },
    });
    t.teardown(() => admin.close());
    return admin;
  };
  const local = await open('127.0.0.1:0');
  await local.inject('/livez');
  t.equal(opened, 0);
  t.equal((await local.inject('/')).statusCode, 503);
  t.equal((await local.inject('/')).statusCode, 503);
  t.equal(opened, 2);
  const public_ = await open('0.0.0.0:0');
  const refused = await public_.inject('/');
  t.equal(refused.statusCode, 403);
  t.match(refused.body, /admin\.authenticate/);
  t.equal(opened, 2);
});

t.test('a value from outside is text, also in a table, an attribute and a list', (t) => {
  const hostile = `"><img src=x onerror='alert(1)'>`;
  const made = textOf(html`<p title="${hostile}">${[hostile, html`<b>${hostile}</b>`]}</p>`);
  t.notMatch(made, '<img');
  t.match(made, '<b>&#34;&#62;&#60;img');
  const rows = textOf(table({ caption: hostile, columns: [hostile, 'b'], rows: [[hostile, hostile]] }));
  t.notMatch(rows, '<img');
  t.match(textOf(html`${JSON.parse('{"html":"<img>"}').html}`), '&#60;img');
  t.end();
});

t.test('a time says how far away it is, and when it is', (t) => {
  const now = Date.UTC(2026, 10, 28, 12);
  const text = (instant: number) => textOf(time(instant, now));
  t.match(text(now - 90_000), '>1 minute ago<');
  t.match(text(now + 13 * 86_400_000), '>in 13 days<');
  t.match(text(now), 'title="2026-11-28 12:00:00 UTC"');
  t.end();
});

t.test('more event streams than the bound are answered 503, and a place is free again when one ends', async (t) => {
  const app = fastify({ forceCloseConnections: true });
  t.teardown(() => app.close());
  const open = createEventStreams();
  let encodings = 0;
  const toJSON = () => {
    encodings += 1;
    return 'line\n\ndata: no';
  };
  const data = { toJSON };
  app.get('/', (request, reply) => open(request, reply, { next: async () => [{ id: 7, data }], intervalMs: 60_000 }));
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const leave = new AbortController();
  const first = await fetch(url, { signal: leave.signal });
  t.match(first.headers.get('content-type'), 'text/event-stream');
  for (let count = 1; count < maxEventStreams; count++) await fetch(url);
  const above = await fetch(url);
  t.match(above, { status: 503 });
  t.equal(above.headers.get('retry-after'), '10');
  const reader = first.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('data:')) text += (await reader.read()).value;
  t.match(text, 'id: 7\ndata: "line\\n\\ndata: no"\n\n', 'data is one line, whatever is in it');
  t.equal(encodings, 1, 'for all streams');
  leave.abort();
  await until(async () => (await fetch(url)).status === 200, 'a free place');
});
