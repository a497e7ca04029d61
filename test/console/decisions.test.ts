// Decisions page: the table with its filters and paging, and the stream of new requests.
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { maxEventStreams } from '../../src/console/events.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const hostile = `<img src=x onerror=alert(1)>\u202e`;

t.test('decisions of a gateway', async (t) => {
  const { admin, agent, anybody, frontend, gateway, recordOf, upstream } = await startScenario(t);
  const textOf = async (path: string) => (await admin(path)).text();
  const idsIn = (page: string) => [...page.matchAll(/href="\/decisions\/([0-9a-f-]{36})"/g)].map(([, id]) => id!);

  const allowed = await agent.call('list_dashboards');
  const denied = await frontend.call(hostile);
  const refused = await anybody.call('list_dashboards');
  for (const each of [allowed, denied, refused]) await recordOf(each);

  t.test('has each request once, the newest first, refused ones too, and its texts are text', async (t) => {
    const page = await textOf('/decisions');
    t.strictSame(idsIn(page), [refused.id, denied.id, allowed.id]);
    t.notMatch(page, '<img');
    t.match(page, '&#60;img src&#61;x onerror&#61;alert(1)&#62;\\u202e');
    t.match(page, '<tbody role="rowgroup"><tr role="row">');
    t.match(page, 'credentials_required');
    t.equal(upstream.requests.length, 1, 'the upstream saw the allowed one only');
  });

  t.test('passes a filter by client, tool, rule, reason, decision and outcome, which stands in the form', async (t) => {
    for (const [query, ids] of [
      ['client=analytics_frontend', [denied.id]],
      [`tool=${encodeURIComponent(hostile)}`, [denied.id]],
      ['tool=list_dashboards', [allowed.id]],
      ['reason=credentials_required', [refused.id]],
      ['decision=allow&outcome=completed', [allowed.id]],
      ['outcome=refused&client=ai_agent_prod', []],
      ['rule=none%22%3E', []],
      ['client=', [refused.id, denied.id, allowed.id]],
    ] as const)
      t.strictSame(idsIn(await textOf(`/decisions?${query}`)), ids, query);
    t.match(await textOf('/decisions?rule=none%22%3E'), 'value="none&#34;&#62;"');
    t.match(await textOf('/decisions?outcome=refused'), '<option selected>refused</option>');
  });

  t.test('cuts a tool name of 9 KB in its row, and not on the page of the request', async (t) => {
    const name = 'n'.repeat(9000);
    const long = await frontend.call(name);
    await recordOf(long);
    const page = await textOf('/decisions');
    t.match(page, 'n'.repeat(150));
    t.notMatch(page, 'n'.repeat(201));
    t.match(await textOf(`/decisions/${long.id}`), 'n'.repeat(201));
  });

  t.test('has pages of a hundred', async (t) => {
    for (let index = 0; index < 101; index += 1) gateway.parts.recent.add(...made(index));
    const first = await textOf('/decisions?client=many');
    t.equal(idsIn(first).length, 100);
    const [, older] = /id="older" href="([^"]+)"/.exec(first)!;
    const second = await textOf(older!.replace(/&(#38|amp|#x26);/g, '&').replaceAll('&#61;', '='));
    t.strictSame(idsIn(second), [idOf(0)]);
    t.notMatch(second, 'id="older"');
    t.notMatch(second, 'data-events=', 'an older page is not live');
    for (const before of ['0', '-1', '1e9', 'x', '99999999999999999999'])
      t.equal((await admin(`/decisions?before=${before}`)).status, 200);
  });

  t.test('has pages of fewer where texts are long, which lead to each request once', async (t) => {
    const call = `"mcp":{"method":"tools/call","tool":"${'\\"'.repeat(200)}"},"rule":"${'='.repeat(200)}"`;
    for (let index = 1000; index < 1101; index += 1) gateway.parts.recent.add(...made(index, 'long', `,${call}`));
    const seen: string[] = [];
    let next: string | undefined = '/decisions?client=long';
    while (next !== undefined && seen.length < 200) {
      const page = await textOf(next);
      t.ok(Buffer.byteLength(page) < 80_000, `${Buffer.byteLength(page)} bytes`);
      seen.push(...idsIn(page));
      next = /id="older" href="([^"]+)"/.exec(page)?.[1]?.replaceAll('&#38;', '&').replaceAll('&#61;', '=');
    }
    t.strictSame(
      seen,
      Array.from({ length: 101 }, (_, index) => idOf(1100 - index)),
    );
  });

  t.test('streams new requests behind a cursor, tells of a gap, and ends with the gateway', async (t) => {
    const { port } = gateway.adminAddress;
    const page = await textOf('/decisions?client=ai_agent_prod');
    const cursor = /data-cursor="([^"]+)"/.exec(page)![1]!;
    const live = await openStream(port, `/decisions/events?client=ai_agent_prod&cursor=${cursor}`);
    t.match(live.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const second = await agent.call('list_dashboards');
    await frontend.call('list_dashboards');
    const told = () => live.events().flatMap(({ data }) => data.rows);
    await until(() => told().some(({ id, outcome }) => id === second.id && outcome === 'completed'));
    t.ok(told().every(({ client }) => client === 'ai_agent_prod'));

    for (let index = 200; index < 400; index += 1) gateway.parts.recent.add(...made(index));
    const many = await openStream(port, `/decisions/events?client=many&cursor=${cursor}`);
    await until(() => many.events().length > 0);
    const { rows, leftOut } = many.events()[0]!.data;
    t.strictSame([rows.length, rows[0]!.id, rows[49]!.id], [50, idOf(399), idOf(350)]);
    t.ok(leftOut >= 150, `${leftOut} left out`);
    const { id } = many.events()[0]!;
    const resumed = await openStream(port, `/decisions/events?client=many&cursor=${cursor}`, { 'last-event-id': id });
    await until(() => resumed.events().length > 0);
    t.strictSame(resumed.events()[0]!.data, { rows: [], leftOut: 0 }, 'Last-Event-ID goes before the cursor');
    const other = await openStream(port, '/decisions/events?cursor=00000000-1');
    await until(() => other.events().length > 0);
    t.strictSame(other.events()[0]!.data, { rows: [], leftOut: 0 }, 'the cursor of another process begins now');

    const more = [];
    for (let open = 4; open < maxEventStreams; open += 1) more.push(await openStream(port, '/decisions/events'));
    t.equal((await admin('/decisions/events')).status, 503, 'more streams than the bound');
    t.equal((await admin('/readyz')).status, 200, 'probes have their connections');
    await gateway.close();
    await Promise.all([live, many, resumed, other, ...more].map(({ ended }) => ended));
  });
  t.end();
});

function idOf(index: number): string {
  return `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
}

/** A record and its text. */
function made(index: number, client = 'many', more = '') {
  const id = idOf(index);
  const body = `"id":"${id}","time":"2026-11-28T12:00:00.000Z","stage":"completed","principal":{"kind":"oauth","clientId":"${client}"}${more},"policy":"p"`;
  return [{ id, time: 0, stage: 'completed', policy: 'p' }, body] as const;
}

interface Told {
  readonly id: string;
  readonly data: {
    readonly leftOut: number;
    readonly rows: readonly Readonly<Record<'id' | 'client' | 'outcome', string>>[];
  };
}

/** Server-sent events of the admin listener, over a socket. */
async function openStream(port: AddressInfo['port'], path: string, headers: Record<string, string> = {}) {
  const request = get({ port, host: '127.0.0.1', path, headers });
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject);
  });
  let text = '';
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const ended = new Promise<void>((resolve) => response.on('error', () => {}).on('close', resolve));
  const events = (): Told[] =>
    [...text.matchAll(/id: (.*)\ndata: (.*)\n\n/g)].map(([, id, data]) => ({ id: id!, data: JSON.parse(data!) }));
  return { headers: response.headers, events, ended };
}
