// Calls between two processes: answers, errors, time limits, bounds and the end of the other side.
import { EventEmitter } from 'node:events';
import t from 'tap';
import { type ChannelError, createChannel, type Port } from '../../src/workers/channel.ts';

interface Up {
  readonly add: readonly [readonly [number, number], number];
  readonly hang: readonly [undefined, undefined];
  readonly fail: readonly [undefined, undefined];
  readonly told: readonly [string, undefined];
}
type Down = Record<never, readonly [unknown, unknown]>;

/** Two ports, each of which receives what the other one sends. */
function createPorts() {
  const create = () => {
    const events = new EventEmitter();
    return Object.assign(events, { connected: true, send: (() => true) as NonNullable<Port['send']> });
  };
  const [near, far] = [create(), create()];
  const join = (from: typeof near, to: typeof near) => {
    from.send = (message, handle, _options, sent) => {
      setImmediate(() => {
        sent(from.connected ? null : new Error('closed'));
        if (from.connected) to.emit('message', structuredClone(message), handle);
      });
      return true;
    };
  };
  join(near, far);
  join(far, near);
  return { near, far };
}

function createPair() {
  const { far, near } = createPorts();
  const caller = createChannel<Up, Down>(near as Port);
  const answerer = createChannel<Down, Up>(far as Port);
  answerer.answer('add', ([one, other]) => one + other);
  answerer.answer('hang', () => new Promise(() => {}));
  answerer.answer('fail', () => {
    throw new Error('audit.sinks[0].path: ENOTDIR: not a directory');
  });
  return { near, far, caller, answerer };
}

t.test('answers come back to their own calls', async (t) => {
  const { caller } = createPair();
  t.same(await Promise.all([caller.ask('add', [1, 2]), caller.ask('add', [3, 4])]), [3, 7]);
});

t.test('an error comes back with its message', async (t) => {
  await t.rejects(createPair().caller.ask('fail', undefined), {
    message: 'audit.sinks[0].path: ENOTDIR: not a directory',
  });
});

t.test('a call that nobody answers in time is rejected, and a late answer changes nothing', async (t) => {
  const { caller } = createPair();
  await t.rejects(caller.ask('hang', undefined, { timeoutMs: 1 }), {
    message: 'hang: the other process does not answer',
  });
  t.equal(await caller.ask('add', [1, 1]), 2);
});

t.test('calls are rejected when the other process ends, and afterwards', async (t) => {
  const { caller, near } = createPair();
  const hanging = caller.ask('hang', undefined, { timeoutMs: Number.POSITIVE_INFINITY });
  near.connected = false;
  near.emit('disconnect');
  await t.rejects(hanging, { message: 'hang: the other process has ended' });
  await t.rejects(caller.ask('add', [1, 1]), { message: 'add: the other process has ended' });
});

t.test('no more than 10,000 calls wait for an answer', async (t) => {
  const { caller, near } = createPair();
  const calls = Array.from({ length: 10_000 }, () =>
    caller.ask('hang', undefined, { timeoutMs: Number.POSITIVE_INFINITY }).catch((error: ChannelError) => error.reason),
  );
  await t.rejects(caller.ask('add', [1, 1]), { message: 'add: too many calls wait for an answer' });
  near.emit('disconnect');
  t.same(new Set(await Promise.all(calls)), new Set(['closed']));
});

t.test('what is told needs no answer, and a name that nobody answers is dropped', async (t) => {
  const { answerer, caller } = createPair();
  caller.tell('told', 'dropped');
  t.equal(await caller.ask('add', [0, 0]), 0);
  const told: string[] = [];
  answerer.answer('told', (text) => void told.push(text));
  caller.tell('told', 'one');
  caller.tell('told', 'two');
  t.equal(await caller.ask('add', [1, 1]), 2);
  t.same(told, ['one', 'two']);
});
