// Attack: a caller makes up a name of a tool for each call, so that each finds a new bucket, and the buckets fill the memory of the gateway.
import t from 'tap';
import { compileLimits } from '../../../src/limits/limit.ts';
import { overLimit, takeFrom } from '../../../src/limits/take.ts';
import { createLocalState } from '../../../src/state/local-state.ts';
import type { SharedState } from '../../../src/state/shared-state.ts';
import { createChannelState } from '../../../src/workers/shared/channel-state.ts';
import { createCommons } from '../../../src/workers/shared/commons.ts';

const now = () => Date.UTC(2026, 10, 28);
const [limit] = compileLimits({ tools: { rate: { count: 2, perMs: 3_600_000 }, per: ['subject', 'tool'] } }).values();

t.test('a thousand made-up tools of one caller have one bucket from then on, and nobody else notices', async (t) => {
  const state = createLocalState({ now });
  const take = async (subjectKey: string, tool: string) => {
    const call = {
      route: 'mcp',
      clientAddress: '10.0.0.1',
      caller: { subjectKey },
      message: { target: { kind: 'tool', name: tool } },
    };
    const [taken] = await takeFrom([limit!], call as never, state, now);
    return taken!;
  };
  const isAllowed = async (subject: string, tool: string) => (await take(subject, tool)).consumption.allowed;
  for (let made = 0; made < 1000; made += 1) if (!(await isAllowed('eve', `get_${made}`))) t.fail(`get_${made}`);
  t.same([await isAllowed('eve', 'a'), await isAllowed('eve', 'b'), await isAllowed('eve', 'c')], [true, true, false]);
  const refused = overLimit(await take('eve', 'd'));
  t.match(refused, { code: 'rate_limited', reason: 'tools', detail: { limit: 'tools', bucket: 'shared' } });
  t.ok(await isAllowed('eve', 'get_1'), 'its second call: a bucket in use is kept');
  t.notOk(await isAllowed('eve', 'get_1'));
  t.match((await take('alice', 'get_1')).consumption, { allowed: true, remaining: 1, isShared: undefined });
  t.equal((await take('eve', 'x'.repeat(1_000_000))).key.length, 43, 'a name of a megabyte is held as its digest');
});

// Attack: with the room for made-up buckets taken, a call counts elsewhere than in its own bucket, which later begins anew: a quota is had twice, or once for each caller.
const daily = (per: string[]) => ({ quota: { count: 4, perMs: 86_400_000 }, per });
/** That of a worker, whose supervisor has the limits. */
function stateOfWorker(state: SharedState): SharedState {
  const answers = new Map<string, (body: unknown) => unknown>();
  createCommons(2, state).answer({ answer: (name: string, by: never) => answers.set(name, by) } as never);
  return createChannelState({ ask: async (name: string, body: unknown) => answers.get(name)!(body) } as never);
}

const scene = (configs: Parameters<typeof compileLimits>[0]) => {
  let time = now();
  const limits = compileLimits(configs);
  const state = stateOfWorker(createLocalState({ now: () => time }));
  const take = async (limit: string, subjectKey: string, name: string) => {
    const principal = { clientId: 'app', claims: { tenant: 'a' } };
    const facts = { route: 'mcp', clientAddress: '10.0.0.1', caller: { subjectKey, clientKey: 'app', principal } };
    const call = { ...facts, message: { target: { kind: 'tool', name } } };
    const [taken] = await takeFrom([limits.get(limit)!], call as never, state, () => time);
    return taken!.consumption;
  };
  return {
    take,
    wait(ms: number) {
      time += ms;
    },
    async flood(limit: string, subject: string) {
      for (let made = 0; made < 1100; made += 1) await take(limit, subject, `t${made}`);
    },
    async passed(limit: string, subject: string) {
      let passed = 0;
      for (let call = 0; call < 7; call += 1) if ((await take(limit, subject, 'execute_sql')).allowed) passed += 1;
      return passed;
    },
  };
};
const pertool = { rate: { count: 5, perMs: 60_000 }, per: ['subject', 'tool'] };

for (const per of [['subject'], [], ['tenant'], ['route', 'subject'], ['client', 'subject']])
  t.test(`two callers flood ${pertool.per}, and a quota of 4/d per ${per} is still four a day`, async (t) => {
    const { flood, passed, wait } = scene({ sql: daily(per), pertool });
    const eachHasOwn = per.includes('subject');
    for (const eve of ['eve', 'mallory']) await flood('pertool', eve);
    t.equal(await passed('sql', 'eve'), 4);
    t.equal(await passed('sql', 'mallory'), eachHasOwn ? 4 : 0);
    wait(120_000);
    t.equal(await passed('sql', 'eve'), 0, 'the buckets of the tools are whole and forgotten, the quota is not');
    t.equal(await passed('sql', 'mallory'), 0);
    t.equal(await passed('sql', 'alice'), eachHasOwn ? 4 : 0);
  });

t.test(
  'a quota per subject and tool, with its own room taken: what the shared bucket counted still counts',
  async (t) => {
    const { flood, passed, take, wait } = scene({ sql: { ...pertool, rate: { count: 4, perMs: 60_000 } } });
    await flood('sql', 'eve');
    t.match(await take('sql', 'eve', 'execute_sql'), { allowed: false, isShared: true });
    wait(16_000);
    const own = { allowed: true, remaining: 0, isShared: undefined };
    t.match(await take('sql', 'eve', 'execute_sql'), own, 'refilled by one in 15 seconds, with the three of before');
    t.equal(await passed('sql', 'eve'), 0);
  },
);

t.test(
  'a quota per tool, for all callers: a flood makes nobody a second bucket, and only its caller goes without',
  async (t) => {
    const { flood, passed, take } = scene({ sql: daily(['tool']) });
    for (const eve of ['eve', 'mallory']) await flood('sql', eve);
    for (let made = 1100; made < 2000; made += 1) await take('sql', 'mallory', `t${made}`);
    t.equal(await passed('sql', 'eve'), 0);
    t.match(await take('sql', 'eve', 'execute_sql'), { allowed: false, isShared: true });
    t.equal(await passed('sql', 'alice'), 4);
    t.equal(await passed('sql', 'bob'), 0);
    t.equal(await passed('sql', 'eve'), 0);
  },
);
