// Concurrency limits of an upstream: slots of requests and streams, by client and in all.
import fc from 'fast-check';
import t from 'tap';
import {
  acquireSlot,
  becomeStream,
  clientOf,
  createConcurrency,
  releaseSlot,
  type Slot,
} from '../../src/upstream/concurrency.ts';
import { agentCaller } from '../support/forwarder.ts';

const limits = { concurrency: 3, concurrencyPerClient: 2, streamsPerClient: 1, responseBytes: 1 };

t.test('each limit refuses with its reason and a time to wait, and a place that is given back is free again', (t) => {
  const load = createConcurrency();
  const refused = (client: string, kind: 'request' | 'stream', reason: string) =>
    t.throws(() => acquireSlot(load, client, kind, limits), {
      code: 'overloaded',
      status: 503,
      reason,
      headers: { 'retry-after': '1' },
    });
  const first = acquireSlot(load, 'a', 'request', limits);
  acquireSlot(load, 'a', 'request', limits);
  refused('a', 'request', 'concurrency_per_client');
  acquireSlot(load, 'b', 'request', limits);
  refused('b', 'request', 'concurrency');
  acquireSlot(load, 'a', 'stream', limits);
  refused('a', 'stream', 'streams_per_client');
  releaseSlot(first);
  releaseSlot(first);
  acquireSlot(load, 'b', 'request', limits);
  refused('c', 'request', 'concurrency');
  t.end();
});

t.test('a request that becomes a stream frees its place, unless the client has no stream left', (t) => {
  const load = createConcurrency();
  const places = [acquireSlot(load, 'a', 'request', limits), acquireSlot(load, 'a', 'request', limits)];
  for (const place of places) becomeStream(place, limits);
  t.same([load.requests, load.clients.get('a')], [1, { requests: 1, streams: 1 }]);
  for (const place of places) releaseSlot(place);
  becomeStream(places[0]!, limits);
  t.same([load.requests, load.clients.size], [0, 0]);
  t.end();
});

t.test('whatever comes and goes in whatever order, no limit is passed and nothing is left over', (t) => {
  const step = fc.record({
    client: fc.constantFrom('a', 'b', 'c'),
    kind: fc.constantFrom('request' as const, 'stream' as const),
    act: fc.constantFrom('take', 'take', 'leave', 'become'),
    which: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const load = createConcurrency();
      const places: Slot[] = [];
      for (const { client, kind, act, which } of steps) {
        const place = places[which % Math.max(places.length, 1)];
        if (act === 'leave' && place !== undefined) releaseSlot(place);
        else if (act === 'become' && place !== undefined) becomeStream(place, limits);
        else {
          try {
            places.push(acquireSlot(load, client, kind, limits));
          } catch {
            // Refused: the counts below say whether it was right.
          }
        }
        const own = [...load.clients.values()];
        const sum = own.reduce((total, each) => total + each.requests, 0);
        if (sum !== load.requests || sum > 3 || own.some((each) => each.requests > 2 || each.streams > 1)) return false;
      }
      for (const place of places) releaseSlot(place);
      return load.requests === 0 && load.clients.size === 0;
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test(
  'places are counted by issuer and client, by subject where a token names no client, by address without one',
  (t) => {
    const callerOf = (clientId: string | undefined, subject: string) => ({
      ...agentCaller,
      principal: { ...agentCaller.principal, clientId, subject },
    });
    const keys = [
      clientOf(callerOf('a', 's'), '192.0.2.1'),
      clientOf(callerOf('b', 's'), '192.0.2.1'),
      clientOf(callerOf(undefined, 'a'), '192.0.2.1'),
      clientOf(callerOf(undefined, 'b'), '192.0.2.1'),
      clientOf(undefined, '192.0.2.1'),
      clientOf(undefined, '192.0.2.2'),
    ];
    t.equal(new Set(keys).size, keys.length);
    t.equal(clientOf(callerOf('a', 'x'), '192.0.2.1'), clientOf(callerOf('a', 'y'), '192.0.2.2'));
    t.end();
  },
);
