// Single flight of questions to an authorization server, their bound, and the pause after an outage.
import t from 'tap';
import { RequestFailure } from '../../src/oauth/http-client.ts';
import { createSingleFlight, digestOf, type SingleFlightFailure } from '../../src/oauth/single-flight.ts';
import { until } from '../support/until.ts';

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
  const ask = (token: string, { caller = 'anybody', known = false } = {}) =>
    request({ digest: digestOf(token), token, caller, known });
  return Object.assign(scene, { ask });
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

/** Answers everything that is sent, until `count` were. */
async function answerAll(scene: ReturnType<typeof sceneOf>, count: number): Promise<void> {
  for (let answered = 0; answered < count; answered++) {
    await until(() => scene.asked.length > answered);
    scene.answers.get(scene.asked[answered]!)!.resolve('x');
  }
}

/** Asks that many times. */
function flood(
  { ask }: ReturnType<typeof sceneOf>,
  count: number,
  caller: string,
): Promise<PromiseSettledResult<string>[]> {
  return Promise.allSettled(Array.from({ length: count }, (_, index) => ask(`${caller} ${index}`, { caller })));
}

t.test('one caller has a share of what is sent and of what waits, and others are served in turn with it', async (t) => {
  const scene = sceneOf();
  const flooding = flood(scene, 528, 'stranger');
  t.equal(scene.asked.length, 16);
  await t.rejects(scene.ask('one more', { caller: 'stranger' }), { message: 'busy' });
  const shared = scene.ask('stranger 3', { caller: 'neighbour' });
  const other = scene.ask('new', { caller: 'neighbour' });
  t.equal(scene.asked.at(-1), 'new', 'at once');
  const callers = [...'abcdefgh'].map((caller) => scene.ask(caller, { caller }));
  t.same(scene.asked.slice(17), [...'abcdefg'], 'no more than 24 in all');
  const known = scene.ask('known', { caller: 'stranger', known: true });
  t.equal(scene.asked.at(-1), 'known', 'and a token that was good before is sent at once');
  scene.answers.get('new')!.resolve('good');
  t.equal(await other, 'good');
  await until(() => scene.asked.includes('h'));
  scene.answers.get('stranger 3')!.resolve('three');
  t.equal(await shared, 'three', 'a question that is under way takes no further place');
  await until(() => scene.asked.includes('stranger 16'));
  scene.answers.get('known')!.resolve('still good');
  t.equal(await known, 'still good');
  const settled = answerAll(scene, 528 + 10);
  await Promise.all([...callers, flooding, settled]);
  t.equal((await flooding).filter(({ status }) => status === 'rejected').length, 0);
});

t.test('tokens that were good before go first, and do not keep new ones out', async (t) => {
  const scene = sceneOf();
  const known = [...'abc'].flatMap((caller) =>
    Array.from({ length: 20 }, (_, index) => scene.ask(`${caller} ${index}`, { caller, known: true })),
  );
  t.equal(scene.asked.length, 24);
  const unknown = Array.from({ length: 10 }, (_, index) => scene.ask(`new ${index}`, { caller: 'd' }));
  t.same(
    scene.asked.slice(24),
    Array.from({ length: 8 }, (_, index) => `new ${index}`),
    'at once',
  );
  scene.answers.get('a 0')!.resolve('good');
  await until(() => scene.asked.length === 33);
  t.match(scene.asked[32], /^[abc] /, 'then known ones first');
  scene.answers.get('new 0')!.resolve('good');
  await until(() => scene.asked.length === 34);
  t.equal(scene.asked[33], 'new 8', 'and new ones in their share');
  await Promise.all([...known, ...unknown, answerAll(scene, 70)]);
});

t.test('there is a bound for all callers together, and for the time that one waits', async (t) => {
  const scene = sceneOf();
  const all = ['a', 'b', 'c', 'd'].map((caller) => flood(scene, 518, caller));
  t.equal(scene.asked.length, 24);
  const last = flood(scene, 10, 'e');
  scene.clock += 5001;
  for (const token of scene.asked) scene.answers.get(token)!.resolve('late, and good');
  const outcomes = (await Promise.all([...all, last])).flat();
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 24);
  t.equal(scene.asked.length, 24, 'nothing is sent for those who have waited too long');
  t.same(new Set(scene.told), new Set(['busy']));
  t.equal(scene.told.length, 4 * 518 + 10 - 24);
});

t.test('after an outage nothing is sent of what waits', async (t) => {
  const scene = sceneOf();
  const flooding = flood(scene, 28, 'a');
  scene.answers.get('a 0')!.reject(new RequestFailure('connection', 'refused'));
  await until(() => scene.told.length === 1 + 12);
  for (const token of scene.asked) scene.answers.get(token)!.resolve('good');
  await flooding;
  t.equal(scene.asked.length, 16);
  t.equal(scene.told.filter((reason) => reason === 'cooldown').length, 12);
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
