// Attack: a caller makes up a name of a tool for each call, so that each finds a new bucket, and the buckets fill the memory of the gateway.
import t from 'tap';
import { compileLimits } from '../../../src/limits/limit.ts';
import { overLimit, takeFrom } from '../../../src/limits/take.ts';
import { createLocalState } from '../../../src/state/local-state.ts';

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
