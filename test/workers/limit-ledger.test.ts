// Limits that processes share: a model of processes, a ledger and the messages on their way, in any order.
import fc from 'fast-check';
import t from 'tap';
import {
  type ConnectedShares,
  createLimitShares,
  equalShare,
  type LedgerMessage,
  type SharedLimit,
  type ShareMessage,
} from '../../src/limit-share.ts';
import { createLimitLedger, type LedgerMember } from '../../src/workers/shared/limit-ledger.ts';

const keys = ['', 'alice', 'bob'];

interface Process {
  readonly shares: ConnectedShares;
  readonly limit: SharedLimit;
  readonly used: Map<string, number>;
  readonly member: LedgerMember;
  readonly up: LedgerMessage[];
  readonly down: ShareMessage[];
}

/** Processes of one limit of `max`; nothing moves before `deliver`. */
function createMachine(of: number, max: number) {
  const timers = new Set<() => void>();
  let clock = 0;
  const after = (_ms: number, call: () => void) => {
    const timer = () => {
      timers.delete(timer);
      call();
    };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const ledger = createLimitLedger({ of, after });
  const processes = new Map<number, Process>();
  const outcomes = { taken: 0, refused: 0, waiting: 0, messages: 0 };

  function start(number: number): void {
    const down: ShareMessage[] = [];
    const up: LedgerMessage[] = [];
    const used = new Map<string, number>();
    const send = (message: LedgerMessage) => {
      outcomes.messages += 1;
      up.push(message);
    };
    const shares = createLimitShares({ holder: { number, of }, send, now: () => clock, after });
    const limit = shares.open('requests', (key) => used.get(key) ?? 0);
    const member = ledger.join(number, (message) => down.push(message));
    processes.set(number, { shares, limit, used, member, up, down });
    // A process serves nobody before it knows what was moved.
    for (const message of down.splice(0)) shares.receive(message);
  }

  function usedOf(key: string): number {
    return [...processes.values()].reduce((sum, { used }) => sum + (used.get(key) ?? 0), 0);
  }

  async function take(number: number, key: string): Promise<void> {
    const { limit, used } = processes.get(number) ?? {};
    if (limit === undefined || used === undefined) return;
    while ((used.get(key) ?? 0) >= limit.of(key, max)) {
      outcomes.waiting += 1;
      const isGranted = await limit.extend(key, max);
      outcomes.waiting -= 1;
      if (isGranted) continue;
      outcomes.refused += 1;
      return;
    }
    used.set(key, (used.get(key) ?? 0) + 1);
    outcomes.taken += 1;
  }

  return {
    ledger,
    outcomes,
    start,
    usedOf,
    take,
    limitOf: (number: number) => processes.get(number)!.limit,
    release(number: number, key: string) {
      const used = processes.get(number)?.used;
      const count = used?.get(key) ?? 0;
      if (count > 0) used?.set(key, count - 1);
    },
    kill(number: number) {
      processes.get(number)?.member.leave();
      processes.delete(number);
    },
    restart(number: number) {
      if (!processes.has(number)) start(number);
    },
    sweep: (number: number) => processes.get(number)?.shares.sweep(),
    /** One message of or to a process. */
    deliver(number: number, direction: 'up' | 'down') {
      const { down, member, shares, up } = processes.get(number) ?? {};
      if (direction === 'up') {
        const message = up?.shift();
        if (message !== undefined) member!.receive(message);
      } else {
        const message = down?.shift();
        if (message !== undefined) shares!.receive(message);
      }
    },
    /** Delivers until nothing is on its way and nobody waits; the last questions end by their timers. */
    async settle() {
      for (let round = 0; round < 10_000; round += 1) {
        await new Promise(setImmediate);
        const open = [...processes.entries()].filter(([, { down, up }]) => down.length + up.length > 0);
        if (open.length === 0 && outcomes.waiting === 0) return;
        for (const [number] of open) for (const direction of ['up', 'down'] as const) this.deliver(number, direction);
      }
      throw new Error('the messages do not end');
    },
    pass(ms: number) {
      clock += ms;
    },
    fireTimers() {
      for (const timer of [...timers]) timer();
    },
  };
}

const number = fc.nat({ max: 3 });
const key = fc.constantFrom(...keys);
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant('take' as const), number, key }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('release' as const), number, key }) },
  { weight: 8, arbitrary: fc.record({ act: fc.constantFrom('up' as const, 'down' as const), number, key }) },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constantFrom('kill' as const, 'restart' as const, 'sweep' as const, 'timers' as const),
      number,
      key,
    }),
  },
);

t.test(
  'in any order of messages, ends and starts no more is used than configured, and then all of it can be',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 9 }),
        fc.array(command, { maxLength: 120 }),
        async (of, max, commands) => {
          const machine = createMachine(of, max);
          for (let each = 1; each <= of; each += 1) machine.start(each);
          const open: Promise<void>[] = [];
          for (const { act, key, number } of commands) {
            const process = (number % of) + 1;
            if (act === 'take') open.push(machine.take(process, key));
            else if (act === 'release') machine.release(process, key);
            else if (act === 'kill') machine.kill(process);
            else if (act === 'restart') machine.restart(process);
            else if (act === 'sweep') machine.sweep(process);
            else if (act === 'timers') machine.fireTimers();
            else machine.deliver(process, act);
            machine.pass(5);
            await null;
            for (const each of keys)
              if (machine.usedOf(each) > max) throw new Error(`${machine.usedOf(each)} of ${max}`);
          }
          for (let each = 1; each <= of; each += 1) machine.restart(each);
          machine.fireTimers();
          await machine.settle();
          // At rest: any one process gets all that is left, and not one more.
          for (const each of keys) {
            machine.pass(1000);
            const left = max - machine.usedOf(each);
            machine.outcomes.taken = machine.outcomes.refused = 0;
            for (let index = 0; index <= left; index += 1) {
              void machine.take(1, each);
              await machine.settle();
            }
            if (machine.outcomes.taken !== left || machine.outcomes.refused !== 1) {
              throw new Error(`${machine.outcomes.taken} of ${left} left were taken`);
            }
          }
          // Unused, every unit goes home.
          for (const each of keys) {
            for (let process = 1; process <= of; process += 1) {
              for (let index = 0; index < max; index += 1) machine.release(process, each);
            }
          }
          for (let process = 1; process <= of; process += 1) machine.sweep(process);
          await machine.settle();
          if (machine.ledger.size() !== 0) throw new Error(`units of ${machine.ledger.size()} keys are away`);
          for (let process = 1; process <= of; process += 1) {
            for (const each of keys) {
              const own = machine.limitOf(process).of(each, max);
              if (own !== equalShare({ number: process, of }, max)) throw new Error(`${process} has ${own}`);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
    t.end();
  },
);

t.test('eight processes with a limit of 32 take four each without a message', async (t) => {
  const machine = createMachine(8, 32);
  for (let each = 1; each <= 8; each += 1) machine.start(each);
  for (let each = 1; each <= 8; each += 1) for (let index = 0; index < 4; index += 1) await machine.take(each, 'alice');
  t.equal(machine.usedOf('alice'), 32);
  t.equal(machine.outcomes.messages, 0);
  t.end();
});

t.test('once units have moved, the same use takes no further message', async (t) => {
  const machine = createMachine(2, 8);
  machine.start(1);
  machine.start(2);
  const useSix = async () => {
    for (let index = 0; index < 6; index += 1) void machine.take(1, 'alice');
    await machine.settle();
    for (let index = 0; index < 6; index += 1) machine.release(1, 'alice');
  };
  await useSix();
  const { messages } = machine.outcomes;
  t.ok(messages > 0);
  for (let round = 0; round < 100; round += 1) await useSix();
  t.equal(machine.outcomes.messages, messages);
  t.equal(machine.outcomes.refused, 0);
  t.end();
});

t.test('where all is used everywhere, a hundred refusals in ten milliseconds cost one question', async (t) => {
  const machine = createMachine(2, 2);
  machine.start(1);
  machine.start(2);
  await machine.take(1, 'alice');
  await machine.take(2, 'alice');
  for (let index = 0; index < 100; index += 1) {
    void machine.take(1, 'alice');
    await machine.settle();
  }
  t.equal(machine.outcomes.refused, 100);
  t.equal(machine.outcomes.messages, 2, 'one question, and the answer of the other process');
  machine.release(2, 'alice');
  machine.pass(10);
  void machine.take(1, 'alice');
  await machine.settle();
  t.equal(machine.usedOf('alice'), 2);
  t.end();
});

t.test('what a killed process used is free before another one has its number', async (t) => {
  const machine = createMachine(2, 4);
  machine.start(1);
  machine.start(2);
  for (let index = 0; index < 2; index += 1) await machine.take(2, 'alice');
  machine.kill(2);
  for (let index = 0; index < 5; index += 1) {
    void machine.take(1, 'alice');
    await machine.settle();
  }
  t.equal(machine.usedOf('alice'), 4);
  t.equal(machine.outcomes.refused, 1);
  machine.restart(2);
  t.equal(machine.limitOf(2).of('alice', 4), 0, 'the new process knows that its units are away');
  t.end();
});

t.test('a process whose event loop stands still is not waited for longer than a second', async (t) => {
  const machine = createMachine(2, 2);
  machine.start(1);
  machine.start(2);
  await machine.take(1, 'alice');
  const taken = machine.take(1, 'alice');
  machine.deliver(1, 'up');
  machine.fireTimers();
  machine.deliver(1, 'down');
  await taken;
  t.equal(machine.outcomes.refused, 1);
  await machine.settle();
  t.equal(machine.usedOf('alice'), 1, 'its late answer is given back');
  t.equal(machine.limitOf(2).of('alice', 2), 1);
  t.end();
});
