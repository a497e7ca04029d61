// Signed heads of audit chains: when they are written, what they sign, and the state file that holds them.
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseHeadState } from '../../src/audit/heads/head-state.ts';
import { headKeyOf } from '../../src/audit/heads/signed-head.ts';
import type { AuditRuntime } from '../../src/audit/reconfigurable-audit-log.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { until } from '../support/until.ts';
import {
  breakOf,
  configOf,
  dayMs,
  eventOf,
  fileSink,
  type Line,
  linesOf,
  linesSoFar,
  openLog,
  signOf,
  someTime,
} from './support.ts';

const ed25519 = generateKeyPairSync('ed25519').privateKey;
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** The signature of a head record, verified as the documentation says it. */
function isSigned(line: Line, key: KeyObject): boolean {
  const { seq, hash, count, signature } = line.detail as Record<string, string>;
  const text = `portcullis-audit-head-v1\n${line.instance}\n${seq}\n${hash}\n${count}\n${line.time}\n`;
  const digest = key.asymmetricKeyType === 'ec' ? 'sha256' : null;
  const options = { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' } as const;
  return verify(digest, Buffer.from(text), options, Buffer.from(signature ?? '', 'base64url'));
}

const headsOf = (lines: readonly Line[]) => lines.filter(({ stage }) => stage === 'head');
const reasonsOf = (path: string) => linesOf(path).flatMap(({ reason }) => reason ?? []);

t.test('heads: at the start, after `every` when there were records, and at the stop', async (t) => {
  for (const key of [ed25519, p256]) {
    const path = join(t.testdir({}), 'audit.jsonl');
    let time = someTime;
    const sign = signOf({ every: 60_000 });
    const log = await openLog(configOf([fileSink(path)], sign), { now: () => time }, key);
    await log.write(eventOf('r1'));
    await until(() => headsOf(linesSoFar(path)).length === 1);
    await log.write(eventOf('r2'));
    time += 59_999;
    await turns(5);
    t.equal(headsOf(linesSoFar(path)).length, 1, 'not before its time');
    time += 1;
    await until(() => headsOf(linesSoFar(path)).length === 2);
    time += 120_000;
    await turns(5);
    t.equal(headsOf(linesSoFar(path)).length, 2, 'none without a new record');
    await log.write(eventOf('r3'));
    await until(() => headsOf(linesSoFar(path)).length === 3);
    await log.write(eventOf('r4'));
    await log.close();
    const lines = linesOf(path);
    t.strictSame(
      lines.map(({ id, stage }) => (stage === 'head' ? 'head' : id)),
      ['r1', 'head', 'r2', 'head', 'r3', 'head', 'r4', 'head'],
    );
    for (const head of headsOf(lines)) {
      const before = lines[head.seq - 2]!;
      t.match(head.detail, { seq: before.seq, hash: before.hash, count: before.seq, key: headKeyOf(key).id });
      t.ok(isSigned(head, key), `${key.asymmetricKeyType}: seq ${head.seq}`);
    }
    t.equal(await breakOf(path), undefined);
  }
});

/** Ticks of the logs of these tests pass. */
async function turns(ticks: number): Promise<void> {
  for (let tick = 0; tick < ticks; tick += 1) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test('a head follows a rotation', async (t) => {
  const directory = t.testdir({});
  const path = join(directory, 'audit.jsonl');
  const files = () => fs.readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  const all = () => files().flatMap((name) => linesSoFar(join(directory, name)));
  const log = await openLog(configOf([fileSink(path)], signOf({ every: dayMs })), {}, ed25519);
  await log.write(eventOf('r1'));
  await until(() => headsOf(all()).length === 1);
  const small = configOf([fileSink(path, { rotateAt: 1 })], signOf({ every: dayMs }));
  (await log.prepare(small, undefined, headKeyOf(ed25519))).commit();
  await log.write(eventOf('r2'));
  await until(() => headsOf(all()).some(({ seq }) => seq === 4));
  await log.close();
  t.ok(files().length > 1);
  t.equal(await breakOf(...files().map((name) => join(directory, name))), undefined);
});

t.test('a changed key signs at once, and from then on', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const config = configOf([fileSink(path)], signOf({ every: dayMs }));
  const log = await openLog(config, {}, ed25519);
  await log.write(eventOf('r1'));
  await until(() => headsOf(linesSoFar(path)).length === 1);
  await log.write(eventOf('r2'));
  (await log.prepare(config, undefined, headKeyOf(p256))).commit();
  await until(() => headsOf(linesSoFar(path)).length === 2);
  await log.close();
  const [before, after] = headsOf(linesOf(path));
  t.ok(isSigned(before!, ed25519));
  t.ok(isSigned(after!, p256));
});

t.test('each chain has heads of its own, which name the last heads of the others', async (t) => {
  const directory = t.testdir({});
  const [one, two] = [join(directory, 'one.jsonl'), join(directory, 'two.jsonl')];
  const log = await openLog(configOf([fileSink(one), fileSink(two)], signOf()), {}, ed25519);
  await log.write(eventOf('r1'));
  await until(() => log.heads().length === 2);
  const [first, second] = log.heads();
  t.match(first, { sink: one, instance: 'test', seq: 1, hash: linesOf(one)[0]?.hash, record: { seq: 2 } });
  t.match(second, { sink: two, seq: 1, hash: linesOf(two)[0]?.hash });
  await log.write(eventOf('r2'));
  await log.close();
  const last = headsOf(linesOf(one)).at(-1)?.detail as { others: unknown[] };
  t.match(last.others, [{ sink: two, seq: /^[24]$/, hash: /^[0-9a-f]{64}$/ }]);
});

async function stopped(t: Tap, records = 3) {
  const directory = t.testdir({ log: {}, state: {} });
  const path = join(directory, 'log/audit.jsonl');
  const stateFile = join(directory, 'state/audit.head');
  const sign = signOf({ stateFile });
  const config = configOf([fileSink(path)], sign);
  const log = await openLog(config, {}, ed25519);
  for (let index = 1; index <= records; index += 1) await log.write(eventOf(`r${index}`));
  await log.close();
  return { path, stateFile, config };
}
type Tap = { testdir: (typeof t)['testdir'] };

t.test('the state file is private, holds the last head, and its absence at the first start is recorded', async (t) => {
  const { path, stateFile, config } = await stopped(t);
  t.equal(fs.statSync(stateFile).mode & 0o777, 0o600);
  t.strictSame(fs.readdirSync(join(stateFile, '..')), ['audit.head'], 'nothing temporary stays');
  const last = linesOf(path).at(-1)!;
  t.match(parseHeadState(fs.readFileSync(stateFile, 'utf8'))?.heads, [
    { sink: path, seq: last.seq - 1, hash: last.prev, record: { seq: last.seq, hash: last.hash } },
  ]);
  t.strictSame(reasonsOf(path), ['audit_state_missing']);
  const log = await openLog(config, {}, ed25519);
  await log.close();
  t.strictSame(reasonsOf(path), ['audit_state_missing'], 'it is no news at the second one');
  t.equal(log.truncation(), undefined);
});

t.test(
  'a chain that ends before its head, or is another one: audit_truncated, and no readiness with refuse',
  async (t) => {
    const cases: Record<string, (path: string) => void> = {
      'the last records are gone': (path) => rewrite(path, (lines) => lines.slice(0, -2)),
      'all are gone': (path) => fs.rmSync(path),
      'the file is empty': (path) => fs.writeFileSync(path, ''),
      'another chain is there': (path) => fs.copyFileSync(join(path, '../other.jsonl'), path),
    };
    for (const [name, tamper] of Object.entries(cases)) {
      const { path, config } = await stopped(t);
      const other = await openLog(configOf([fileSink(join(path, '../other.jsonl'))]));
      for (const id of ['o1', 'o2', 'o3', 'o4', 'o5', 'o6']) await other.write(eventOf(id));
      await other.close();
      // A head may have been written before the stop, too.
      const { seq } = linesOf(path).at(-1)!;
      tamper(path);
      const before = fs.readFileSync(config.sign!.stateFile!, 'utf8');
      let truncations = 0;
      const observe = { ...nothing, truncated: () => (truncations += 1) };
      for (const onTruncation of ['refuse', 'continue'] as const) {
        const log = await openLog({ ...config, sign: { ...config.sign!, onTruncation } }, { observe }, ed25519);
        await log.write(eventOf('r9'));
        t.match(log.truncation(), onTruncation === 'refuse' ? /^audit_truncated: .*audit\.jsonl: / : undefined, name);
        await log.close();
        const found = linesOf(path).filter(({ reason }) => reason === 'audit_truncated');
        t.match(found.at(-1), { stage: 'config', detail: { sink: path, expected: { seq } } }, name);
        if (onTruncation === 'continue') continue;
        t.equal(fs.readFileSync(config.sign!.stateFile!, 'utf8'), before, `${name}: the evidence stays`);
      }
      t.equal(truncations, 2, name);
    }
  },
);

function rewrite(path: string, change: (lines: string[]) => string[]): void {
  const lines = fs.readFileSync(path, 'utf8').split('\n').slice(0, -1);
  fs.writeFileSync(
    path,
    change(lines)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

const nothing = { written: () => {}, failed: () => {}, shed: () => {} };

t.test('a state file that is none counts as truncated; a log that went on is not', async (t) => {
  const { path, stateFile, config } = await stopped(t);
  const unsigned = await openLog(configOf([fileSink(path)]));
  await unsigned.write(eventOf('r4'));
  await unsigned.close();
  const refusing = { ...config, sign: { ...config.sign!, onTruncation: 'refuse' as const } };
  const further = await openLog(refusing, {}, ed25519);
  t.equal(further.truncation(), undefined);
  await further.close();
  fs.writeFileSync(stateFile, '{"heads": []}');
  const log = await openLog(refusing, {}, ed25519);
  t.match(log.truncation(), /audit_truncated: .*audit\.head cannot be read: it is no state file/);
  await log.close();
});

t.test(
  'a state file that cannot be written stops no record: counted, recorded once, written when it can be',
  async (t) => {
    const directory = t.testdir({ state: 'a file, and no directory' });
    const path = join(directory, 'audit.jsonl');
    const stateFile = join(directory, 'state/audit.head');
    let failures = 0;
    let time = someTime;
    const runtime: Partial<AuditRuntime> = {
      now: () => time,
      observe: { ...nothing, stateFailed: () => (failures += 1) },
    };
    fs.rmSync(join(directory, 'state'));
    const log = await openLog(configOf([fileSink(path)], signOf({ stateFile })), runtime, ed25519);
    await log.write(eventOf('r1'));
    await until(() => failures === 1);
    time += 60_000;
    await log.write(eventOf('r2'));
    await until(() => failures === 2);
    fs.mkdirSync(join(directory, 'state'));
    await log.write(eventOf('r3'));
    await log.close();
    t.strictSame(
      linesOf(path).flatMap(({ reason }) => reason ?? []),
      ['audit_state_missing', 'audit_state_unwritable'],
    );
    t.equal(parseHeadState(fs.readFileSync(stateFile, 'utf8'))?.heads[0]?.record.seq, linesOf(path).at(-1)?.seq);
  },
);

t.test('a write that fails, whole, in part or only in appearance, leaves the count of the heads right', async (t) => {
  type Attempt = (bytes: number) => { readonly written: number; readonly code?: string };
  const outcomes: Record<string, Attempt[]> = {
    'nothing got out': [() => ({ written: 0, code: 'EIO' })],
    'all got out': [(bytes) => ({ written: bytes, code: 'EIO' })],
    'a part got out': [(bytes) => ({ written: bytes - 20, code: 'EIO' })],
    'a part got out, and no room is left': [
      (bytes) => ({ written: bytes - 20 }),
      () => ({ written: 0, code: 'ENOSPC' }),
    ],
  };
  for (const [name, outcome] of Object.entries(outcomes)) {
    const path = join(t.testdir({}), 'audit.jsonl');
    const attempts: Attempt[] = [];
    const write = ((fd: number, bytes: Buffer, from: number, length: number, at: null, done: Done) => {
      const attempt = attempts.shift();
      if (attempt === undefined) return fs.write(fd, bytes, from, length, at, done);
      const { written, code } = attempt(length);
      fs.writeSync(fd, bytes, from, written);
      done(code === undefined ? null : Object.assign(new Error(code), { code }), written);
    }) as typeof fs.write;
    const log = await openLog(configOf([fileSink(path)], signOf()), { files: { ...fs, write } }, ed25519);
    await log.write(eventOf('r1'));
    await until(() => headsOf(linesSoFar(path)).length === 1);
    attempts.push(...outcome);
    const refused = await Promise.allSettled([log.write(eventOf('r2')), log.write(eventOf('r3'))]);
    t.ok(
      refused.some(({ status }) => status === 'rejected'),
      name,
    );
    await until(() => log.healthy());
    await log.write(eventOf('r4'));
    await log.close();
    const keys = new Map([[headKeyOf(ed25519).id, createPublicKey(ed25519)]]);
    t.match(await verifyChain([path], { keys }), { valid: true, problems: [], signed: { after: 0 } }, name);
  }
});

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;
