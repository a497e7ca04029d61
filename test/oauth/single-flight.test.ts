// Single flight of questions to an authorization server, their bound, and the pause after an outage.
import t from 'tap';
import { RequestFailure } from '../../src/oauth/http-client.ts';
import { createSingleFlight, digestOf, type SingleFlightFailure } from '../../src/oauth/single-flight.ts';

/** A single flight whose requests are answered by hand. */
function sceneOf() {
  const scene = {
    clock: 1_000_000,
    asked: [] as string[],
    told: [] as SingleFlightFailure[],
    answers: new Map<string, { resolve(value: string): void; reject(error: unknown): void }>(),
  };
  const request = createSingleFlight<string>({
    send: (token) =>
      new Promise((resolve, reject) => {
        scene.asked.push(token);
        scene.answers.set(token, { resolve, reject });
      }),
    unavailable(reason) {
      scene.told.push(reason);
      return new Error(reason);
    },
    now: () => scene.clock,
  });
  return Object.assign(scene, { ask: (token: string) => request(digestOf(token), token) });
}

t.test('who asks about the same token meanwhile gets the same answer, and who asks later asks anew', async (t) => {
  const scene = sceneOf();
  const both = [scene.ask('a'), scene.ask('a')];
  t.same(scene.asked, ['a']);
  scene.answers.get('a')!.resolve('good');
  t.same(await Promise.all(both), ['good', 'good']);
  const later = scene.ask('a');
  t.same(scene.asked, ['a', 'a']);
  scene.answers.get('a')!.resolve('bad');
  t.equal(await later, 'bad');
});

t.test('beyond 256 questions under way no further one is asked', async (t) => {
  const scene = sceneOf();
  const all = Array.from({ length: 256 }, (_, index) => scene.ask(`t${index}`));
  await t.rejects(scene.ask('one more'), { message: 'busy' });
  const shared = scene.ask('t7');
  t.equal(scene.asked.length, 256);
  scene.answers.get('t7')!.resolve('seven');
  t.equal(await shared, 'seven', 'a question that is under way takes no further place');
  const next = scene.ask('one more');
  for (const { resolve } of scene.answers.values()) resolve('x');
  await Promise.all([...all, next]);
});

t.test('an outage is left alone for five seconds, by whatever clock; what may be about one token is not', async (t) => {
  const scene = sceneOf();
  const fail = async (failure: unknown) => {
    const asked = scene.ask('x');
    scene.answers.get('x')!.reject(failure);
    await t.rejects(asked);
  };
  const outages = [
    new RequestFailure('connection', 'refused'),
    new RequestFailure('timeout', 'late'),
    new RequestFailure('status', 'busy', { status: 503 }),
    new RequestFailure('status', 'limited', { status: 429 }),
  ];
  for (const failure of outages) {
    await fail(failure);
    const asked = scene.asked.length;
    for (const passed of [0, 4999]) {
      scene.clock += passed;
      await t.rejects(scene.ask('y'), { message: 'cooldown' });
    }
    t.equal(scene.asked.length, asked);
    scene.clock += 1;
    const again = scene.ask('y');
    scene.answers.get('y')!.resolve('good');
    t.equal(await again, 'good');
  }
  await fail(outages[0]);
  scene.clock -= 3_600_000;
  const setBack = scene.ask('z');
  scene.answers.get('z')!.resolve('good');
  t.equal(await setBack, 'good', 'a clock that was set back prolongs nothing');
  for (const failure of [
    new RequestFailure('status', 'error', { status: 500 }),
    new RequestFailure('status', 'unauthorized', { status: 401 }),
    new RequestFailure('malformed', 'nonsense', { status: 200 }),
    new RequestFailure('too_large', 'huge', { status: 200 }),
  ]) {
    await fail(failure);
    const other = scene.ask('w');
    scene.answers.get('w')!.resolve('good');
    t.equal(await other, 'good', failure.message);
  }
  t.notOk(scene.told.includes('busy'));
});
