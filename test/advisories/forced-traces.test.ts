// A caller sets `sampled` on every request, or a stranger floods a gateway that keeps every trace: the collector is filled with what one of them
// wants kept, and the traces of the others are lost.
import t from 'tap';
import { openTestTracing, startCollector } from '../support/otlp-collector.ts';
import { startScenario } from '../support/scenario.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${spanId}-01`;

t.test('a verified caller that sets `sampled` on every call: a hundred a second are kept', async (t) => {
  let now = 0;
  const { tracing } = await openTestTracing('http://127.0.0.1:1', { sampleRatio: 0, now: () => now });
  const parent = { traceId, spanId, sampled: true, state: undefined };
  const isKept = (trusted: boolean) => tracing.startRequest({ parent, linked: undefined, trusted, startMs: 0 }).sampled;
  const kept = () => Array.from({ length: 150 }, () => isKept(true)).filter(Boolean).length;
  t.equal(kept(), 100);
  t.equal(kept(), 0);
  now = 1000;
  t.equal(isKept(false), false, 'a stranger is not believed, and takes nothing from the others');
  t.equal(kept(), 100);
});

t.test('a stranger that sets `sampled`: recorded with its trace, and not exported', async (t) => {
  const collector = await startCollector();
  t.teardown(collector.close);
  const { anybody, gateway, recordOf, upstream } = await startScenario(
    t,
    { tracing: { otlp: { endpoint: collector.url }, sampleRatio: 0 } },
    { inject: true },
  );
  const refused = await anybody.call('list_dashboards', {}, { headers: { traceparent } });
  t.equal(refused.status, 401);
  t.match(await recordOf(refused), { reason: 'credentials_required', trace: { id: traceId } });
  t.equal(upstream.requests.length, 0);
  await gateway.close();
  t.same(collector.requests, []);
});

t.test(
  'strangers above the rate of their address, where every trace is kept: no spans beyond the records',
  async (t) => {
    const collector = await startCollector();
    t.teardown(collector.close);
    const { anybody, gateway, records } = await startScenario(
      t,
      {
        server: { limits: { refusalsPerAddress: '3/s' } },
        tracing: { otlp: { endpoint: collector.url }, sampleRatio: 1 },
      },
      { inject: true, now: () => 1_800_000_000_000 },
    );
    for (let call = 0; call < 20; call += 1) await anybody.call('list_dashboards', {}, { headers: { traceparent } });
    const recorded = (await records()).filter(({ trace }) => trace !== undefined);
    await gateway.close();
    t.equal(recorded.length, 3);
    t.equal(collector.spans().filter(({ kind }) => kind === 'server').length, 3);
  },
);
