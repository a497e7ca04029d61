// A collector that is away, hangs and comes back: requests do not wait, what is lost is counted, and each outage has two lines in the log.
import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { openTestTracing, startCollector, takeAll } from '../support/otlp-collector.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import type { Reply } from '../support/upstream.ts';

t.test('a collector that refuses twice and takes what comes then', async (t) => {
  let reply: Reply = (_request, response) => void response.writeHead(400).end();
  const collector = await startCollector((request, response) => reply(request, response));
  t.teardown(collector.close);
  const { counts, end, lines, tracing } = await openTestTracing(collector.url);
  for (const spans of [1, 2]) {
    end();
    await until(() => counts.export_failed === spans, 'a failed export');
  }
  reply = takeAll;
  end();
  await until(() => counts.exported === 1, 'an export');
  t.match(lines, [/^traces are not exported to .* answered 400; requests/, /^traces are exported to .* again$/]);
  t.equal(lines.length, 2);
  await tracing.close();
});

t.test('a collector that is overloaded at first: the batch is sent again', async (t) => {
  const collector = await startCollector((request, response) =>
    collector.requests.length < 3 ? void response.writeHead(503).end() : takeAll(request, response),
  );
  t.teardown(collector.close);
  const { counts, end, lines, tracing } = await openTestTracing(collector.url);
  end();
  await until(() => counts.exported === 1, 'an export');
  t.same([counts, lines, collector.requests.length], [{ exported: 1 }, [], 3]);
  await tracing.close();
});

t.test('a full queue: what has no room is counted, and the rest is exported', async (t) => {
  const collector = await startCollector();
  t.teardown(collector.close);
  const { counts, end, tracing } = await openTestTracing(collector.url);
  for (let span = 0; span < 10_000; span += 1) end();
  await tracing.close();
  t.ok(counts.queue_full! > 0);
  t.equal(counts.queue_full! + counts.exported!, 10_000);
  t.equal(collector.spans().length, counts.exported);
});

t.test('a collector that never answers: requests are answered, and the stop is bounded', async (t) => {
  const sockets = new Set<{ destroy(): void }>();
  const silent = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  const tracing = { otlp: { endpoint: `http://127.0.0.1:${port}` }, sampleRatio: 1 };
  const { agent, gateway, record } = await startScenario(t, { tracing });
  for (let call = 0; call < 50; call += 1) t.equal((await agent.call('list_dashboards')).status, 200);
  await until(() => sockets.size > 0, 'an export');
  await gateway.close();
  t.ok(await record(({ stage }) => stage === 'completed'));
});
