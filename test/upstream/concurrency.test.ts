// Concurrency limits of an upstream: slots of requests, streams and drains, by subject, by client and in all.
import fc from 'fast-check';
import t from 'tap';
import {
  type Concurrency,
  convertSlot,
  createConcurrency,
  refusalOf,
  releaseSlot,
  type Slot,
  type SlotHolder,
  type SlotKind,
  takeSlot,
} from '../../src/upstream/concurrency.ts';
import { upstreamError, upstreamFailure } from '../../src/upstream/errors.ts';

const limits = {
  concurrency: 4,
  concurrencyPerClient: 3,
  concurrencyPerSubject: 2,
  streamsPerClient: 2,
  streamsPerSubject: 1,
  drains: 2,
  drainsPerSubject: 1,
  responseBytes: 1,
};
/** `alice@app`: the person alice through the client app. */
const holderOf = (name: string) => {
  const [subject, client] = name.split('@') as [string, string];
  return { subject, client };
};
/** Throws the refusal where a limit is reached. */
function acquireSlot(load: Concurrency, holder: SlotHolder, kind: SlotKind, of: Parameters<typeof takeSlot>[3]): Slot {
  const taken = takeSlot(load, holder, kind, of);
  if (typeof taken === 'string') throw refusalOf(taken);
  return taken;
}
const subjectsOf = ({ subjects }: Concurrency) => ['alice', 'bob', 'carol', 'dave'].map(subjects.of);
const clientsOf = ({ clients }: Concurrency) => ['app', 'other', 'third'].map(clients.of);

t.test('each limit refuses with its reason and a time to wait, and a slot that is given back is free again', (t) => {
  const load = createConcurrency();
  const take = (name: string, kind: 'request' | 'stream') => acquireSlot(load, holderOf(name), kind, limits);
  const refused = (name: string, kind: 'request' | 'stream', reason: string) =>
    t.throws(() => take(name, kind), {
      code: 'overloaded',
      status: 503,
      reason,
      detail: { limit: reason },
      headers: { 'retry-after': '1' },
    });
  const first = take('alice@app', 'request');
  take('alice@other', 'request');
  refused('alice@third', 'request', 'concurrency_per_subject');
  take('bob@app', 'request');
  const third = take('carol@app', 'request');
  refused('dave@third', 'request', 'concurrency');
  releaseSlot(third);
  releaseSlot(third);
  take('carol@app', 'request');
  releaseSlot(first);
  take('dave@app', 'request');
  t.same([load.all.request, load.clients.of('app').request], [4, 3]);
  refused('alice@app', 'request', 'concurrency');
  take('alice@app', 'stream');
  refused('alice@other', 'stream', 'streams_per_subject');
  take('bob@app', 'stream');
  refused('carol@app', 'stream', 'streams_per_client');
  t.end();
});

t.test('without file descriptors the refusal names the limit too', (t) => {
  const cause = Object.assign(new Error('connect EMFILE'), { code: 'EMFILE' });
  const limit = 'descriptors';
  t.match(upstreamError(upstreamFailure(cause), cause), {
    code: 'overloaded',
    reason: limit,
    detail: { limit },
    cause,
  });
  t.end();
});

t.test('a client is bounded for all its people', (t) => {
  const load = createConcurrency();
  for (const name of ['alice@app', 'bob@app', 'carol@app']) acquireSlot(load, holderOf(name), 'request', limits);
  t.throws(() => acquireSlot(load, holderOf('dave@app'), 'request', limits), {
    reason: 'concurrency_per_client',
  } as never);
  acquireSlot(load, holderOf('dave@other'), 'request', limits);
  t.end();
});

t.test('a request that becomes a stream or a drain frees its slot, unless the other limit is reached', (t) => {
  const load = createConcurrency();
  const alice = holderOf('alice@app');
  const slots = [acquireSlot(load, alice, 'request', limits), acquireSlot(load, alice, 'request', limits)];
  t.same(
    slots.map((slot) => convertSlot(slot, 'stream', limits)),
    [undefined, 'streams_per_subject'],
  );
  t.same(load.subjects.of('alice'), { request: 1, stream: 1, drain: 0 });
  t.equal(convertSlot(slots[1]!, 'drain', limits), undefined);
  const third = acquireSlot(load, alice, 'request', limits);
  t.equal(convertSlot(third, 'drain', limits), 'drains_per_subject');
  const others = ['bob@app', 'carol@app'].map((name) => acquireSlot(load, holderOf(name), 'request', limits));
  t.same(
    others.map((slot) => convertSlot(slot, 'drain', limits)),
    [undefined, 'drains'],
  );
  for (const slot of [...slots, third, ...others]) releaseSlot(slot);
  t.equal(convertSlot(slots[0]!, 'request', limits), undefined);
  const nothing = { request: 0, stream: 0, drain: 0 };
  t.same([load.all, ...subjectsOf(load), ...clientsOf(load)], Array(8).fill(nothing));
  t.end();
});

t.test('whatever comes and goes in whatever order, no limit is passed and nothing is left over', (t) => {
  const step = fc.record({
    name: fc.constantFrom('alice@app', 'alice@other', 'bob@app', 'carol@app', 'dave@third'),
    kind: fc.constantFrom('request' as const, 'stream' as const),
    act: fc.constantFrom('take', 'take', 'leave', 'stream', 'drain'),
    which: fc.nat(9),
  });
  const kinds: readonly SlotKind[] = ['request', 'stream', 'drain'];
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const load = createConcurrency();
      const slots: Slot[] = [];
      for (const { name, kind, act, which } of steps) {
        const slot = slots[which % Math.max(slots.length, 1)];
        if (act === 'leave' && slot !== undefined) releaseSlot(slot);
        else if ((act === 'stream' || act === 'drain') && slot !== undefined) convertSlot(slot, act, limits);
        else {
          try {
            slots.push(acquireSlot(load, holderOf(name), kind, limits));
          } catch {
            // Refused: the counts below say whether it was right.
          }
        }
        const subjects = subjectsOf(load);
        const clients = clientsOf(load);
        for (const each of kinds) {
          const held = slots.filter(({ kind, released }) => kind === each && !released).length;
          const sums = [subjects, clients].map((counts) => counts.reduce((sum, of) => sum + of[each], 0));
          if (load.all[each] !== held || sums.some((sum) => sum !== held)) return false;
        }
        if (load.all.request > 4 || load.all.drain > 2) return false;
        if (subjects.some(({ request, stream, drain }) => request > 2 || stream > 1 || drain > 1)) return false;
        if (clients.some(({ request, stream }) => request > 3 || stream > 2)) return false;
      }
      for (const slot of slots) releaseSlot(slot);
      return [...subjectsOf(load), ...clientsOf(load)].every((of) => kinds.every((kind) => of[kind] === 0));
    }),
    { numRuns: 500 },
  );
  t.end();
});
