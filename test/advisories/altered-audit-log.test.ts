// Somebody who can write the log directory, and has no signing key, cuts, rewrites, rolls back, exchanges or forges audit files. Each attempt shows in
// `audit verify` with the public key, or with a head that was kept elsewhere; test/audit/heads.test.ts has those that show at the next start.
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';
import { headKeyOf, headText, type PublicKeys, signText } from '../../src/audit/heads/signed-head.ts';
import { readExpectedHeads } from '../../src/audit/verification/expected-heads.ts';
import { type VerifyOptions, verifyChain } from '../../src/audit/verify.ts';
import {
  configOf,
  dayMs,
  eventOf,
  fileSink,
  linesOf,
  linesSoFar,
  openLog,
  signOf,
  someTime,
} from '../audit/support.ts';
import { until } from '../support/until.ts';

const key = generateKeyPairSync('ed25519').privateKey;
const anotherKey = generateKeyPairSync('ed25519').privateKey;
const publicOf = (...all: KeyObject[]): PublicKeys =>
  new Map(all.map((each) => [headKeyOf(each).id, createPublicKey(each)]));
const keys = publicOf(key);

interface Evidence {
  readonly path: string;
  /** The log of a second sink. */
  readonly second: string;
  readonly stateFile: string;
  /** Log and state file as they were in the middle of it. */
  readonly older: { readonly log: string; readonly state: string };
}

/** What a gateway leaves that wrote `r1` to `r6`, each with a head behind it, and `last`. */
async function evidence(directory: string, instance = 'gw-1', signer = key): Promise<Evidence> {
  fs.mkdirSync(join(directory, 'state'), { recursive: true });
  const [path, second] = [join(directory, 'log/audit.jsonl'), join(directory, 'elsewhere/audit.jsonl')];
  const stateFile = join(directory, 'state/audit.head');
  let time = someTime;
  const sinks = [fileSink(path), fileSink(second)];
  const log = await openLog(configOf(sinks, signOf({ stateFile })), { instance, now: () => time }, signer);
  let older = { log: '', state: '' };
  for (let round = 1; round <= 6; round += 1) {
    await log.write(eventOf(`r${round}`));
    time += 60_000;
    const heads = () => [path, second].map((each) => linesSoFar(each).filter(({ stage }) => stage === 'head').length);
    await until(() => heads().every((count) => count === round));
    const state = () => fs.readFileSync(stateFile, 'utf8');
    if (round === 3) {
      await until(() => fs.existsSync(stateFile) && state().split(`"seq": ${linesOf(path).at(-1)?.seq}`).length === 3);
      older = { log: fs.readFileSync(path, 'utf8'), state: state() };
    }
  }
  await log.write(eventOf('last'));
  await log.close();
  return { path, second, stateFile, older };
}

/** Rewrites the lines of a file, with hashes computed anew for all of them. */
function rechain(path: string, change: (bodies: string[]) => string[]): void {
  const bodies = fs
    .readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.slice(line.indexOf(',') + 1, line.lastIndexOf(',"prev"')));
  fs.writeFileSync(path, chainLines(genesis, change(bodies)).lines);
}

function cut(path: string, lines: number): void {
  const all = fs.readFileSync(path, 'utf8').split('\n').slice(0, -1);
  fs.writeFileSync(
    path,
    all
      .slice(0, -lines)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

const reasons = async (paths: readonly string[], options: VerifyOptions = { keys }) =>
  (await verifyChain(paths, options)).problems.map(({ reason }) => reason);

t.test('attacks on the file of one gateway', async (t) => {
  const original = await evidence(t.testdir({}));
  const { path, second, stateFile, older } = original;
  const content = fs.readFileSync(path, 'utf8');
  const state = fs.readFileSync(stateFile, 'utf8');
  const expectedOf = async () =>
    (await readExpectedHeads(stateFile, keys)).filter(({ from }) => from.endsWith('log/audit.jsonl)'));
  const expected = await expectedOf();
  const lastHead = linesOf(path).at(-1)!;
  const metric = await readExpectedHeads(`${lastHead.seq - 1}:${lastHead.prev}`, keys);
  const attack = (name: string, run: (t: Test) => Promise<void>) =>
    t.test(name, async (t) => {
      fs.writeFileSync(path, content);
      fs.writeFileSync(stateFile, state);
      await run(t);
    });

  await attack('nobody touched it', async (t) => {
    t.match(await verifyChain([path], { keys, expected: [...expected, ...metric] }), {
      valid: true,
      problems: [],
      signed: { heads: 7, keys: [headKeyOf(key).id], after: 0 },
      statement: `every request of 1 instance(s) from ${linesOf(path)[0]?.time} to ${lastHead.time}, nothing missing, signed by ${headKeyOf(key).id}`,
    });
  });
  await attack('the last records are removed', async (t) => {
    cut(path, 3);
    t.strictSame(await reasons([path]), [], 'the chain alone cannot show it');
    for (const known of [expected, metric]) {
      t.match(
        (await reasons([path], { keys, expected: known }))[0],
        /the chains end before it, .*: records were cut off/,
      );
    }
    t.match(await reasons([path, second]), [/states a head of .*log\/audit\.jsonl at seq \d+, .*cut off/]);
  });
  await attack('records behind the last head are removed: the tail is unsigned, and said to be', async (t) => {
    cut(path, 1);
    t.match((await verifyChain([path], { keys })).statement, /; 1 of \d+ records stand after the last signed heads$/);
  });
  await attack('the middle is altered, and chained anew', async (t) => {
    rechain(path, (bodies) => bodies.map((body) => body.replace('"id":"r3"', '"id":"rX"')));
    t.match(
      (await reasons([path]))[0],
      /the head states another hash for seq 6: the records before it were written anew/,
    );
  });
  await attack('the middle is altered, and the heads are made to fit', async (t) => {
    rechain(path, (bodies) => refit(bodies.map((body) => body.replace('"id":"r3"', '"id":"rX"'))));
    t.strictSame(await reasons([path], {}), [], 'without a key it looks whole');
    t.match(await reasons([path]), Array(4).fill(/the head is forged: its signature is not valid/));
  });
  await attack('all is written anew, and signed by another key', async (t) => {
    rechain(path, (bodies) => refit(bodies, anotherKey));
    t.match((await reasons([path]))[0], /the head is forged: it names the key .*, which was not given/);
    rechain(path, (bodies) => refit(bodies, anotherKey, headKeyOf(key).id));
    t.match((await reasons([path]))[0], /the head is forged: its signature is not valid/);
  });
  await attack('every head is removed', async (t) => {
    rechain(path, (bodies) => bodies.filter((body) => !body.includes('"stage":"head"')));
    t.match(await reasons([path]), [/no head of this chain is signed/]);
  });
  await attack('a head in the middle is removed', async (t) => {
    rechain(path, (bodies) => bodies.filter((_, index) => index !== 4));
    t.match((await reasons([path]))[0], /the head is of another place: it states seq 6, and stands behind seq 5/);
  });
  await attack('the last head is removed', async (t) => {
    cut(path, 1);
    t.match(await reasons([path], { keys, expected }), [/records were cut off/]);
  });
  await attack('a head is replayed', async (t) => {
    rechain(path, (bodies) => [...bodies, bodies[4]!]);
    t.match(await reasons([path]), [/the head is of another place: it states seq 4, and stands behind seq 15/]);
  });
  await attack('the file is replaced by an older copy', async (t) => {
    fs.writeFileSync(path, older.log);
    t.strictSame(await reasons([path]), []);
    t.match((await reasons([path], { keys, expected }))[0], /records were cut off/);
    t.match((await reasons([path], { keys, expected: metric }))[0], /records were cut off/);
  });
  await attack('the older copy is extended by other records', async (t) => {
    fs.writeFileSync(path, older.log);
    rechain(path, (bodies) => [...bodies, ...Array<string>(12).fill(bodies[0]!)]);
    t.match((await reasons([path], { keys, expected: metric }))[0], /other records stand there/);
    t.match(await reasons([path, second]), [/cut off or written anew/]);
  });
  await attack('the state file is rolled back too: heads in metrics and in other sinks are left', async (t) => {
    fs.writeFileSync(path, older.log);
    fs.writeFileSync(stateFile, older.state);
    t.strictSame(await reasons([path], { keys, expected: await expectedOf() }), []);
    const start = await openLog(configOf([fileSink(path)], signOf({ stateFile, onTruncation: 'refuse' })), {}, key);
    t.strictSame(start.truncation(), undefined, 'a start believes it');
    await start.close();
    fs.writeFileSync(path, older.log);
    t.match((await reasons([path], { keys, expected: metric }))[0], /records were cut off/);
    t.match(await reasons([path, second]), [/states a head of .* does not hold/]);
  });
  await attack('the state file is forged', async () => {
    fs.writeFileSync(stateFile, state.replace(/"count": \d+/, '"count": 2'));
    await t.rejects(readExpectedHeads(stateFile, keys), {
      message: /its head of .* is not signed by a key that was given/,
    });
  });
});

/** Heads that state where they stand, signed by nobody, or by a key of the attacker's. */
function refit(bodies: readonly string[], signer?: KeyObject, id = signer && headKeyOf(signer).id): string[] {
  const done: string[] = [];
  for (const body of bodies) {
    const { head } = chainLines(genesis, done);
    const { stage, time, instance, detail } = JSON.parse(`{${body}}`);
    if (stage !== 'head') {
      done.push(body);
      continue;
    }
    let fitted = body.replace(
      /"detail":\{"hash":"[0-9a-f]+","seq":\d+/,
      `"detail":{"hash":"${head.hash}","seq":${head.seq}`,
    );
    if (signer !== undefined && id !== undefined) {
      const signature = signText(headKeyOf(signer), headText({ instance, ...head, count: detail.count, time }));
      fitted = fitted.replace(/"key":"[^"]*","signature":"[^"]*"/, `"key":"${id}","signature":"${signature}"`);
    }
    done.push(fitted);
  }
  return done;
}

t.test('records put into the file of a running gateway, which then signs them', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let time = someTime;
  const log = await openLog(configOf([fileSink(path)], signOf()), { instance: 'gw-1', now: () => time }, key);
  await log.write(eventOf('r1'));
  await until(() => linesSoFar(path).length === 2);
  const { seq, hash } = linesOf(path).at(-1)!;
  const forged = chainLines({ seq, hash: String(hash) }, [
    fs
      .readFileSync(path, 'utf8')
      .split('\n')[0]!
      .replace('r1', 'forged')
      .replace(/^\{"seq":\d+,|,"prev".*$/g, ''),
  ]);
  fs.appendFileSync(path, forged.lines);
  time += 60_000;
  await until(() => linesSoFar(path).filter(({ stage }) => stage === 'head').length === 2);
  await log.write(eventOf('r2'));
  await log.close();
  t.match(linesOf(path).slice(2, 4), [
    { id: 'forged' },
    { stage: 'config', reason: 'foreign_records', detail: { sink: path, records: 1, lastSeq: 3 } },
  ]);
  t.match(await reasons([path]), [
    /records were put in or taken out before they were signed: the process gw-1 wrote 3 records up to here, and 4 stand/,
  ]);
});

/** Rotated files, of which retention deleted the first. */
async function rotated(directory: string, keep: boolean): Promise<string[]> {
  fs.mkdirSync(directory, { recursive: true });
  const path = join(directory, 'audit.jsonl');
  let time = someTime;
  const sink = fileSink(path, { rotateAt: 300, keepFor: keep ? 365 * dayMs : dayMs });
  const log = await openLog(configOf([sink], signOf()), { instance: basename(directory), now: () => time }, key);
  const files = () => fs.readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  for (let round = 1; round <= 4; round += 1) {
    await log.write(eventOf(`r${round}`));
    time += 60_000;
    await until(() => linesSoFar(path).at(-1)?.stage === 'head');
  }
  if (!keep) {
    const large = configOf([fileSink(path, { keepFor: dayMs })], signOf());
    (await log.prepare(large, undefined, headKeyOf(key))).commit();
    time += 2 * dayMs;
    await until(() => files().length === 1);
  }
  await log.close();
  return files()
    .map((name) => join(directory, name))
    .sort();
}

t.test('retention: a signed record covers what is gone, a forged one does not', async (t) => {
  const directory = t.testdir({});
  const files = await rotated(join(directory, 'gw-1'), false);
  const report = await verifyChain(files, { keys });
  t.match(report, { valid: true, notes: [/records up to seq \d+ were deleted by retention, as seq \d+ states/] });
  t.match(await reasons(files, { keys: publicOf(anotherKey) }), [/the head is forged/]);

  const whole = await rotated(join(directory, 'gw-2'), true);
  t.match(await verifyChain(whole, { keys }), { valid: true });
  const [oldest, ...rest] = whole as [string, ...string[]];
  const gone = linesOf(oldest).at(-1)!;
  const live = join(dirname(oldest), 'audit.jsonl');
  const deleted = { file: basename(oldest), firstSeq: 1, lastSeq: gone.seq, lastHash: gone.hash };
  const body = (detail: string) =>
    `"id":"x","time":"2026-11-23T05:45:00.000Z","instance":"gw-2","stage":"config","reason":"retention","detail":${detail},"policy":"p1"`;
  const stolen = files.flatMap((file) => linesOf(file)).find(({ reason }) => reason === 'retention')?.detail as object;
  fs.rmSync(oldest);
  t.match(await reasons(rest), [/earlier records are missing and no retention record covers them/]);
  const before = fs.readFileSync(live, 'utf8');
  for (const detail of [{ deleted }, { deleted, key: headKeyOf(key).id, signature: 'AAAA' }, { ...stolen, deleted }]) {
    const { seq, hash } = JSON.parse(before.trimEnd().split('\n').at(-1)!);
    fs.writeFileSync(live, before + chainLines({ seq, hash }, [body(JSON.stringify(detail))]).lines.toString());
    t.match(
      (await reasons(rest)).at(-1),
      /the retention record that covers them, seq \d+, is not signed by a key that was given/,
    );
    t.match(await verifyChain(rest), { valid: true }, 'without a key it is believed');
  }
});

t.test('the files of two gateways', async (t) => {
  const directory = t.testdir({});
  const one = await rotated(join(directory, 'gw-1'), true);
  const two = await rotated(join(directory, 'gw-2'), true);
  const three = (await evidence(join(directory, 'gw-3'), 'gw-3')).path;
  const all = [...one, ...two, three];
  t.match(await verifyChain(all.toReversed(), { keys }), {
    valid: true,
    chains: { length: 3 },
    statement: /^every request of 3 instance\(s\) from \S+ to \S+, nothing missing, signed by \S+$/,
  });

  const [liveOne, liveTwo] = [join(directory, 'gw-1/audit.jsonl'), join(directory, 'gw-2/audit.jsonl')];
  const contents = [fs.readFileSync(liveOne), fs.readFileSync(liveTwo)] as const;
  fs.writeFileSync(liveOne, contents[1]);
  fs.writeFileSync(liveTwo, contents[0]);
  t.match(
    (await reasons(all))[0],
    /goes on with the chain of .*gw-\d.*: the files of two logs were exchanged/,
    'swapped',
  );
  t.match(await reasons(one), [/prev is not the hash|begins at seq|repeated or out of order|are missing/], 'one alone');
  fs.writeFileSync(liveOne, contents[0]);
  fs.writeFileSync(liveTwo, contents[1]);

  const middle = one[1]!;
  const content = fs.readFileSync(middle);
  fs.rmSync(middle);
  t.match(
    await reasons(all.filter((file) => file !== middle)),
    [/records are missing: seq \d+ after seq \d+/],
    'a rotated file is gone',
  );
  fs.writeFileSync(middle, content);

  const foreign = linesOf(three).findLast(({ stage }) => stage === 'head')!;
  const bodyOf = (line: object) => JSON.stringify(line).replace(/^\{"seq":\d+,|,"prev".*$/g, '');
  const end = linesOf(liveOne).at(-1)!;
  fs.appendFileSync(liveOne, chainLines({ seq: end.seq, hash: String(end.hash) }, [bodyOf(foreign)]).lines);
  t.match(
    await reasons(all),
    [/the head (is of another place|states another hash)/],
    'a head of one in the file of another',
  );
});
