// State over the supervisor's channel: each failure is counted by its outcome, and three in succession are one outage.
import t from 'tap';
import { watchState } from '../../src/state/watched-state.ts';
import { ChannelError } from '../../src/workers/channel.ts';
import { createChannelState } from '../../src/workers/shared/channel-state.ts';

t.test(
  'a supervisor that does not answer: timeout, full and closed are counted, with one outage that ends once',
  async (t) => {
    let problem: ChannelError['reason'] | undefined;
    const answers: Readonly<Record<string, unknown>> = { claim: 'added', secret: new Uint8Array(32) };
    const ask = async (name: string) => {
      if (problem !== undefined) throw new ChannelError(problem, name);
      return answers[name];
    };
    const failed: string[] = [];
    const changes: unknown[] = [];
    const state = watchState(createChannelState({ ask: ask as never }), {
      stateFailed: (outcome) => failed.push(outcome),
      stateChanged: (to) => changes.push(to?.failure?.outcome),
    });
    const claim = () => state.claim('proof', 'caller', 'id', 1000);
    await state.secret('nonce', 60_000);

    for (const each of ['timeout', 'full'] as const) {
      problem = each;
      await t.rejects(claim(), { code: 'state_unavailable', reason: 'supervisor', status: 503 });
    }
    t.same(failed, ['timeout', 'busy']);
    t.same(changes, [], 'two failures are no outage');

    problem = undefined;
    t.equal(await claim(), 'added');
    problem = 'closed';
    for (let count = 0; count < 5; count += 1) {
      await t.rejects(claim(), { code: 'state_unavailable' });
      await state.secret('nonce', 60_000);
    }
    await t.rejects(state.secret('another', 60_000), { code: 'state_unavailable' });
    t.equal(failed.length, 8);
    t.same(changes, ['unreachable'], 'a secret that is remembered ends no outage');

    problem = undefined;
    await claim();
    await claim();
    t.same(changes, ['unreachable', undefined]);
  },
);
