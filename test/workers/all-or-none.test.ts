// Reload of several workers: what each answers, and what all of them are told then.
import t from 'tap';
import { type RunningSeat, tryReplace } from '../../src/workers/all-or-none.ts';
import type { ToWorker } from '../../src/workers/calls.ts';
import { ChannelError } from '../../src/workers/channel.ts';
import { createSeat } from '../../src/workers/seat.ts';

const next = async () => ({ hash: 'b', reading: new Map() });

/** Workers of which each prepares as it is told here, and what was asked of them. */
function createWorkers(...prepares: readonly (() => Promise<string>)[]) {
  const asked: string[] = [];
  const running = prepares.map((prepare, index): RunningSeat => {
    const number = index + 1;
    const ask = async (name: string) => {
      asked.push(`${number} ${name}`);
      return name === 'prepare' ? { hash: await prepare() } : undefined;
    };
    return { seat: createSeat({ number, of: prepares.length }), channel: { ask } as unknown as ToWorker };
  });
  let installed = 0;
  return {
    asked,
    installed: () => installed,
    replace: () =>
      tryReplace(
        next,
        () => (installed += 1),
        () => running,
      ),
  };
}

const prepared = async () => 'b';
const refused = (message: string) => async () => Promise.reject(new Error(message));
const died = async () => Promise.reject(new ChannelError('closed', 'prepare'));

t.test('all have prepared the same: all commit', async (t) => {
  const { asked, installed, replace } = createWorkers(prepared, prepared);
  t.equal(await replace(), true);
  t.same(asked, ['1 prepare', '2 prepare', '1 commit', '2 commit']);
  t.equal(installed(), 1);
});

for (const [input, second, message] of [
  ['one that cannot', refused('audit.sinks[1].path: EACCES'), 'worker 2: audit.sinks[1].path: EACCES'],
  ['one with another hash', async () => 'c', 'worker 2: it loads another configuration'],
  [
    'one that does not answer',
    () => Promise.reject(new ChannelError('timeout', 'prepare')),
    /^worker 2: prepare: the other/,
  ],
] as const) {
  t.test(`${input}: all dispose, and the error names it`, async (t) => {
    const { asked, installed, replace } = createWorkers(prepared, second);
    await t.rejects(replace(), { message });
    t.same(asked, ['1 prepare', '2 prepare', '1 dispose', '2 dispose']);
    t.equal(installed(), 0);
  });
}

t.test('none can, for the same reason: the error names no worker', async (t) => {
  const { replace } = createWorkers(refused('server.workers cannot change'), refused('server.workers cannot change'));
  await t.rejects(replace(), { message: 'server.workers cannot change' });
});

t.test('one that ends meanwhile, or no worker at all, says nothing of the configuration', async (t) => {
  const { asked, installed, replace } = createWorkers(prepared, died);
  t.equal(await replace(), false);
  t.same(asked.slice(2), ['1 dispose', '2 dispose']);
  t.equal(await createWorkers().replace(), false);
  t.equal(installed(), 0);
});

t.test('a file that cannot be loaded is asked of no worker', async (t) => {
  const { asked } = createWorkers(prepared);
  const load = () => Promise.reject(new Error('gateway.yaml:6:1 not valid YAML'));
  await t.rejects(
    tryReplace(
      load,
      () => {},
      () => [],
    ),
    { message: 'gateway.yaml:6:1 not valid YAML' },
  );
  t.same(asked, []);
});
