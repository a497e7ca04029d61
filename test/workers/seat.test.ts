// Place of a worker: the wait before the next start, and counts that outlive a process.
import { Counter, Gauge, Registry } from 'prom-client';
import t from 'tap';
import { sumMetrics } from '../../src/metrics/sum.ts';
import { createSeat, delayAfterEnd, keepCounts } from '../../src/workers/seat.ts';

t.test(
  'five ends in a minute cost no wait, later ones a second and then twice as long each time, up to half a minute',
  (t) => {
    const seat = createSeat({ number: 1, of: 2 });
    const delays = Array.from({ length: 12 }, (_, index) => delayAfterEnd(seat, index * 1000));
    t.same(delays, [0, 0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    t.equal(delayAfterEnd(seat, 12_000 + 60_000), 0, 'a quiet minute is forgotten');
    t.end();
  },
);

t.test('counts of processes that are gone are added to those of the next one, and their gauges are not', async (t) => {
  const seat = createSeat({ number: 1, of: 2 });
  for (const requests of [3, 4]) {
    const registers = [new Registry()];
    new Counter({ name: 'requests_total', help: 'Requests', labelNames: ['route'], registers }).inc(
      { route: 'a' },
      requests,
    );
    new Gauge({ name: 'streams', help: 'Streams', registers }).set(7);
    seat.values = await registers[0]!.getMetricsAsJSON();
    await keepCounts(seat);
  }
  const text = await sumMetrics([seat.gone]).metrics();
  t.match(text, 'requests_total{route="a"} 7');
  t.notMatch(text, 'streams 7');
});
