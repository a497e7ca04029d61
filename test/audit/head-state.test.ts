// State file of signed heads: gateways that share one, sinks that come and go, another file after a reload, chains that it says nothing of.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseHeadState } from '../../src/audit/heads/head-state.ts';
import { headKeyOf } from '../../src/audit/heads/signed-head.ts';
import type { AuditConfig } from '../../src/audit/schema.ts';
import { until } from '../support/until.ts';
import { configOf, dayMs, eventOf, fileSink, linesOf, linesSoFar, openLog, signOf, someTime } from './support.ts';

const key = generateKeyPairSync('ed25519').privateKey;
const headsIn = (path: string) => (fs.existsSync(path) && parseHeadState(fs.readFileSync(path, 'utf8'))?.heads) || [];
const reasonsOf = (path: string) => linesSoFar(path).flatMap(({ reason }) => reason ?? []);

/** True once the state file has the head that ends the log. */
function isHeld(stateFile: string, path: string): boolean {
  const record = headsIn(stateFile).find(({ sink }) => sink === path)?.record;
  return record !== undefined && record.hash === linesSoFar(path).at(-1)?.hash;
}

function cut(path: string, lines: number): void {
  const all = fs
    .readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1 - lines);
  fs.writeFileSync(path, all.map((line) => `${line}\n`).join(''));
}

/** Two logs, their state file, and the configuration of one of them. */
function files(t: Test) {
  const directory = t.testdir({ state: {} });
  const [one, two] = [join(directory, 'one/audit.jsonl'), join(directory, 'two/audit.jsonl')];
  const stateFile = join(directory, 'state/audit.head');
  const of = (path: string, more: Partial<NonNullable<AuditConfig['sign']>> = {}) =>
    configOf([fileSink(path)], signOf({ every: dayMs, stateFile, ...more }));
  return { one, two, stateFile, of };
}

async function run(config: AuditConfig): Promise<void> {
  const log = await openLog(config, {}, key);
  await log.write(eventOf('r1'));
  await log.close();
}

t.test('two gateways with one state file: the log of the first one is cut', async (t) => {
  const { one, two, stateFile, of } = files(t);
  const first = await openLog(of(one), {}, key);
  await first.write(eventOf('r1'));
  await until(() => isHeld(stateFile, one));
  const second = await openLog(of(two), {}, key);
  await second.write(eventOf('r1'));
  await until(() => isHeld(stateFile, two));
  t.ok(isHeld(stateFile, one));
  await first.close();
  await second.close();
  cut(one, 1);
  await run(of(one));
  await run(of(two));
  t.ok(reasonsOf(one).includes('audit_truncated'));
  t.notOk(reasonsOf(two).includes('audit_truncated'));
});

t.test('heads of other sinks are kept up to 64 in all; the oldest go', async (t) => {
  const { one, stateFile, of } = files(t);
  await run(of(one));
  const [own] = headsIn(stateFile);
  const others = Array.from({ length: 70 }, (_, index) => ({
    ...own!,
    sink: `/log/${index}.jsonl`,
    time: new Date(dayMs * index).toISOString(),
  }));
  fs.writeFileSync(stateFile, JSON.stringify({ version: 1, heads: [...others, own] }));
  await run(of(one));
  const sinks = headsIn(stateFile).map(({ sink }) => sink);
  t.strictSame([sinks.length, sinks[0], sinks[1], sinks.at(-1)], [64, one, '/log/69.jsonl', '/log/7.jsonl']);
});

t.test('a log is cut while a reload has another one in use', async (t) => {
  const { one, two, stateFile, of } = files(t);
  const log = await openLog(of(one), {}, key);
  const reload = async (path: string) => (await log.prepare(of(path), undefined, headKeyOf(key))).commit();
  await log.write(eventOf('r1'));
  await until(() => isHeld(stateFile, one));
  await reload(two);
  await log.write(eventOf('r2'));
  await until(() => isHeld(stateFile, one) && isHeld(stateFile, two));
  cut(one, 1);
  await reload(one);
  await log.close();
  t.ok(reasonsOf(one).includes('audit_truncated'));
  t.strictSame(reasonsOf(two), [], 'a new log is no news');
  t.strictSame(
    headsIn(stateFile)
      .map(({ sink }) => sink)
      .sort(),
    [one, two],
  );
});

t.test('a log with records of which the state file says nothing', async (t) => {
  const { one, two, stateFile, of } = files(t);
  await run(of(one));
  await run(of(two));
  fs.writeFileSync(
    stateFile,
    JSON.stringify({ version: 1, heads: headsIn(stateFile).filter(({ sink }) => sink === one) }),
  );
  const log = await openLog(of(two, { onTruncation: 'refuse' }), {}, key);
  await log.close();
  t.equal(log.truncation(), undefined);
  t.match(
    linesOf(two).filter(({ reason }) => reason !== undefined),
    [
      {
        stage: 'config',
        reason: 'audit_state_missing',
        detail: { sink: two, problem: /no head of this sink/, stateFile },
      },
    ],
  );
});

t.test(
  'a reload to another state file: it gets the known heads at once, and none while the old one is evidence',
  async (t) => {
    for (const from of [undefined, 'as the first']) {
      const { one, stateFile, of } = files(t);
      const log = await openLog(of(one, from === undefined ? { stateFile: undefined } : {}), {}, key);
      await log.write(eventOf('r1'));
      await until(() => log.heads().length === 1);
      const other = `${stateFile}.other`;
      (await log.prepare(of(one, { stateFile: other }), undefined, headKeyOf(key))).commit();
      await until(() => headsIn(other).length === 1);
      t.strictSame(headsIn(other), log.heads());
      await log.close();
    }
    const { one, stateFile, of } = files(t);
    await run(of(one));
    cut(one, 1);
    const log = await openLog(of(one, { onTruncation: 'refuse' }), {}, key);
    await log.write(eventOf('r2'));
    await until(() => log.heads().length === 1);
    const other = { stateFile: `${stateFile}.other`, onTruncation: 'refuse' } as const;
    (await log.prepare(of(one, other), undefined, headKeyOf(key))).commit();
    await log.close();
    t.notOk(fs.existsSync(other.stateFile));
  },
);

/** A log from whose front retention has deleted files up to beyond the head in the state file, which is an older one put back. */
async function behind(t: Test) {
  const { one: path, stateFile, of } = files(t);
  await run(of(path));
  const older = fs.readFileSync(stateFile);
  const config = of(path);
  const small = { ...config, sinks: [fileSink(path, { rotateAt: 4000, keepBytes: 16_000 })] };
  const log = await openLog(small, {}, key);
  for (let index = 0; index < 100; index += 1) await log.write(eventOf(`s${index}`));
  const rotated = () =>
    fs
      .readdirSync(join(path, '..'))
      .filter((name) => /^audit-.*jsonl$/.test(name))
      .map((name) => join(path, '..', name))
      .sort();
  // There were five or more.
  await until(() => rotated().length <= 3);
  await log.close();
  fs.writeFileSync(stateFile, older);
  return { path, stateFile, config: of(path, { onTruncation: 'refuse' }), rotated };
}

t.test('a state file that is older than the log, whose head retention deleted', async (t) => {
  const { path, stateFile, config } = await behind(t);
  const log = await openLog(config, {}, key);
  await log.write(eventOf('r2'));
  await log.close();
  t.equal(log.truncation(), undefined);
  t.match(
    linesOf(path).filter(({ reason }) => reason === 'audit_state_missing'),
    [{ detail: { sink: path, problem: /the state file is older than the log: retention deleted its head at seq 3/ } }],
  );
  t.ok(isHeld(stateFile, path), 'it has the last head again');
});

t.test('the same state file, and a log that somebody cut: audit_truncated', async (t) => {
  const cases: Record<string, (evidence: Awaited<ReturnType<typeof behind>>) => void> = {
    'its front is deleted': ({ rotated }) => fs.rmSync(rotated()[0]!),
    'all is deleted': ({ rotated, path }) => {
      for (const each of [...rotated(), path]) fs.rmSync(each);
    },
    'the retention records are deleted, too': ({ rotated, path }) => {
      for (const each of [...rotated(), path]) {
        const lines = fs.readFileSync(each, 'utf8').split('\n');
        fs.writeFileSync(each, lines.filter((line) => !line.includes('"reason":"retention"')).join('\n'));
      }
    },
    'the retention record is forged': ({ rotated, path }) => {
      fs.rmSync(rotated()[0]!);
      const [first] = linesOf(rotated()[0] ?? path);
      for (const each of [...rotated(), path]) {
        const text = fs.readFileSync(each, 'utf8');
        const deleted = `"lastSeq":${first!.seq - 1},"lastHash":"${first!.prev}"`;
        fs.writeFileSync(each, text.replaceAll(/"lastSeq":\d+,"lastHash":"[0-9a-f]{64}"/g, deleted));
      }
    },
  };
  const evidence = await behind(t);
  const logs = join(evidence.path, '..');
  const copy = `${logs}.copy`;
  fs.cpSync(logs, copy, { recursive: true });
  for (const [name, tamper] of Object.entries(cases)) {
    const before = fs.readFileSync(evidence.stateFile);
    tamper(evidence);
    const log = await openLog(evidence.config, {}, key);
    await log.close();
    t.match(log.truncation(), /^audit_truncated: /, name);
    t.ok(reasonsOf(evidence.path).includes('audit_truncated'), name);
    t.strictSame(fs.readFileSync(evidence.stateFile), before, name);
    fs.rmSync(logs, { recursive: true });
    fs.cpSync(copy, logs, { recursive: true });
  }
  const another = await openLog(evidence.config, {}, generateKeyPairSync('ed25519').privateKey);
  await another.close();
  t.match(another.truncation(), /no retention record that this key signed covers it/, 'of another key');
});

t.test('a stop does not wait for a state file whose volume does not answer', async (t) => {
  const { one, stateFile, of } = files(t);
  let time = someTime;
  let failures = 0;
  const observe = { written() {}, failed() {}, shed() {}, stateFailed: () => (failures += 1) };
  const log = await openLog(of(one), { now: () => time, observe }, key);
  await log.write(eventOf('r1'));
  await until(() => isHeld(stateFile, one));
  // Opening a pipe that nobody writes to does not return.
  fs.rmSync(stateFile);
  execFileSync('mkfifo', [stateFile]);
  const [before] = log.heads();
  time += dayMs;
  await log.write(eventOf('r2'));
  await until(() => log.heads()[0] !== before);
  (await log.prepare({ ...of(one), timeout: 50 }, undefined, headKeyOf(key))).commit();
  await log.close();
  t.equal(failures, 0, 'the write of the state file is still out');
  fs.closeSync(fs.openSync(stateFile, 'r+'));
  await until(() => failures > 0);
});
