// Heartbeat of a worker: one that takes connections lives, also while its answer to a ping waits behind them.
import t from 'tap';
import { createHeartbeat } from '../../src/workers/heartbeat.ts';

function start() {
  const seen = { pings: 0, hung: 0 };
  const heartbeat = createHeartbeat({
    maxMissed: 10,
    ping: () => {
      seen.pings += 1;
    },
    hung: () => {
      seen.hung += 1;
    },
  });
  const beat = (times: number) => {
    for (let count = 0; count < times; count += 1) heartbeat.beat();
  };
  return { ...heartbeat, beat, seen };
}

t.test('a worker that says nothing is asked once, and hangs after the tenth beat', async (t) => {
  const { beat, seen } = start();
  beat(10);
  t.same(seen, { pings: 1, hung: 0 });
  beat(1);
  t.same(seen, { pings: 1, hung: 1 });
});

t.test(
  'SIGSTOP for eight beats, then 9,500 connections before the answer to the ping: each one taken is a sign of life',
  async (t) => {
    const { beat, heard, seen } = start();
    beat(8);
    for (let taken = 0; taken < 100; taken += 1) {
      heard();
      beat(1);
    }
    t.equal(seen.hung, 0);
    beat(10);
    t.equal(seen.hung, 1, 'and it hangs when they end');
  },
);
