// A call takes from each of its limits or from none, also where one of them cannot be asked.
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import { bucketOf, compileBucketKey } from '../../src/limits/bucket-key.ts';
import { compileLimits } from '../../src/limits/limit.ts';
import { giveBack, takeFrom } from '../../src/limits/take.ts';
import { createLocalState } from '../../src/state/local-state.ts';
import type { SharedState } from '../../src/state/shared-state.ts';

const limits = compileLimits({
  rate: { rate: { count: 3, perMs: 3_600_000 }, per: ['subject'] },
  day: { quota: { count: 3, perMs: 86_400_000 }, per: [] },
});
const callOf = (facts: object) =>
  ({ route: 'mcp', clientAddress: '2001:db8::1', caller: undefined, message: undefined, ...facts }) as never;
const person = (subjectKey: string, principal: object = {}) => ({
  caller: { subjectKey, clientKey: 'client\nissuer\nx', principal: { claims: {}, ...principal } },
});

t.test('a second limit that cannot be asked refuses the call, and the first gets back what it took', async (t) => {
  const local = createLocalState({ now: () => 0 });
  const state: SharedState = {
    ...local,
    limiter(name, size) {
      if (name === 'rate') return local.limiter(name, size);
      const refuse = async () => {
        throw new GatewayError('state_unavailable', 'away');
      };
      return { consume: refuse, giveBack: refuse };
    },
  };
  const call = callOf(person('alice'));
  for (let times = 0; times < 5; times += 1)
    await t.rejects(
      takeFrom(limits.values(), call, state, () => 0),
      { code: 'state_unavailable' },
    );
  const [taken] = await takeFrom([limits.get('rate')!], call, state, () => 0);
  t.match(taken!.consumption, { allowed: true, remaining: 2 });
});

t.test('what a quota counted before it began anew is not given back to the new window', async (t) => {
  let now = 86_400_000 - 1;
  const state = createLocalState({ now: () => now });
  const day = [limits.get('day')!];
  const early = await takeFrom(day, callOf({}), state, () => now);
  now += 1;
  for (let times = 0; times < 3; times += 1) await takeFrom(day, callOf({}), state, () => now);
  await giveBack(early, state, () => now);
  t.match((await takeFrom(day, callOf({}), state, () => now))[0]!.consumption, { allowed: false });
});

t.test('keys are equal for equal values only, whatever characters are in them', (t) => {
  const key = compileBucketKey(['client', 'tenant', 'tool', 'credential', 'address']);
  const tool = (name: string) => ({ message: { target: { kind: 'tool', name } } });
  const calls = [
    {},
    person('a', { clientId: 'x' }),
    person('a', { claims: { tenant: 'x' } }),
    person('a', { claims: { tenant: '-' } }),
    person('a', { claims: { tenant: 1 } }),
    person('a', { claims: { tenant: '1' } }),
    person('a', { claims: { tenant: ['1'] } }),
    person('a', { credentialId: '1', kind: 'oauth', issuer: 'i' }),
    person('a', { credentialId: '1', kind: 'api-key', issuer: 'i' }),
    tool('a'),
    tool('1:a'),
    tool('-'),
    tool('a-'),
    tool('x'.repeat(300)),
    tool('x'.repeat(301)),
    { clientAddress: '2001:db8:0:1::1' },
    { clientAddress: '10.0.0.1' },
  ];
  const keys = calls.map((facts) => key(callOf(facts)));
  t.equal(new Set(keys).size, calls.length);
  t.equal(key(callOf(person('a'))), key(callOf({})), 'a client that is absent is one, whoever calls');
  t.ok(keys.every((each) => each.length <= 256));
  t.equal(key(callOf({ clientAddress: '2001:db8::ffff' })), key(callOf({})), 'one /64 is one address');
  t.same(bucketOf(['tenant', 'tool'], callOf({ ...person('a', { claims: { tenant: 'x' } }), ...tool('t') })), {
    tenant: '"x"',
    tool: 't',
  });
  t.end();
});
