// `portcullis audit verify`: what it prints, and its exit code.
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { headKeyOf } from '../../src/audit/heads/signed-head.ts';
import { auditCommand } from '../../src/cli/audit/audit.ts';
import { configOf, eventOf, fileSink, linesOf, openLog, signOf } from '../audit/support.ts';
import { capture } from './capture.ts';

async function verify(...args: string[]) {
  const output = capture();
  await auditCommand(output).parseAsync(['verify', ...args], { from: 'user' });
  return output;
}

async function audited(directory: string): Promise<string> {
  const path = join(directory, 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  for (const id of ['r1', 'r2', 'r3']) await log.write(eventOf(id));
  await log.close();
  return path;
}

t.test('a whole chain is valid: 0', async (t) => {
  const path = await audited(t.testdir({}));
  const plain = await verify(path);
  t.match(plain.text(), /^valid: 3 records in 1 file\(s\), seq 1 to 3\nlast hash: [0-9a-f]{64}\n$/);
  t.equal(plain.exitCode, 0);
  const json = await verify(path, '--json');
  t.match(JSON.parse(json.text()), { valid: true, records: 3, files: [path], lastHash: /^[0-9a-f]{64}$/ });
  t.equal(json.exitCode, 0);
});

t.test('a broken chain is named with file and line: 1', async (t) => {
  const path = await audited(t.testdir({}));
  const lines = fs.readFileSync(path, 'utf8').split('\n');
  fs.writeFileSync(path, [lines[0], lines[2], ''].join('\n'));
  const plain = await verify(path);
  t.match(plain.text(), `BROKEN at ${path}:2: records are missing: seq 3 after seq 1\n1 record(s) hold together\n`);
  t.equal(plain.exitCode, 1);
  const json = await verify('--json', path);
  t.match(JSON.parse(json.text()), { valid: false, break: { file: path, line: 2 } });
  t.equal(json.exitCode, 1);
});

t.test('a torn last line is a note: 0', async (t) => {
  const path = await audited(t.testdir({}));
  fs.truncateSync(path, fs.statSync(path).size - 5);
  const { text, exitCode } = await verify(path);
  t.match(text(), /^note: .*:3: the last line is torn/);
  t.equal(exitCode, 0);
});

t.test('a file that cannot be read is misuse: 2', async (t) => {
  const output = await verify(join(t.testdir({}), 'none.jsonl'));
  t.match(output.errors(), /^portcullis: \/.*\/none\.jsonl: there is no such file\n$/);
  t.equal(output.text(), '');
  t.equal(output.exitCode, 2);
});

t.test('files without a record prove nothing: 1', async (t) => {
  const directory = t.testdir({ 'audit.jsonl': '' });
  const { text, exitCode } = await verify(join(directory, 'audit.jsonl'));
  t.equal(text(), 'NO RECORDS: there is nothing to verify\n');
  t.equal(exitCode, 1);
  const json = await verify('--json', join(directory, 'audit.jsonl'));
  t.match(JSON.parse(json.text()), { valid: false, records: 0 });
});

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const publicPem = (of: KeyObject) => createPublicKey(of).export({ type: 'spki', format: 'pem' }).toString();

async function signed(directory: string): Promise<string> {
  const path = join(directory, 'audit.jsonl');
  const config = configOf([fileSink(path)], signOf({ stateFile: join(directory, 'audit.head') }));
  const log = await openLog(config, { tickMs: 60_000 }, key);
  for (const id of ['r1', 'r2']) await log.write(eventOf(id));
  await log.close();
  return path;
}

t.test('signed heads: by a PEM key or a JWKS, up to the head that is expected, in text and JSON', async (t) => {
  const jwks = JSON.stringify({ keys: [createPublicKey(key).export({ format: 'jwk' })] });
  const directory = t.testdir({ 'audit.pub.pem': publicPem(key), 'jwks.json': jwks });
  const [path, pem, set, state] = ['audit.jsonl', 'audit.pub.pem', 'jwks.json', 'audit.head'].map((name) =>
    join(directory, name),
  ) as [string, string, string, string];
  await signed(directory);
  const last = linesOf(path).at(-1)!;
  const id = headKeyOf(key).id;
  for (const file of [pem, set]) {
    const { text, exitCode } = await verify(path, '--key', file, '--expect', state, '--expect', `3:${last.prev}`);
    const lines = text().split('\n');
    t.equal(lines[2], `signed heads: 1, the last of ${last.time} at seq 3; 0 record(s) after the last signed head`);
    t.equal(
      lines[3],
      `PROVED: every request of 1 instance(s) from ${last.time} to ${last.time}, nothing missing, signed by ${id}`,
    );
    t.equal(exitCode, 0);
  }
  t.match((await verify(path)).text(), /signed heads: 1 \(their signatures are not verified: give --key\)/);
  t.match(JSON.parse((await verify('--json', '--key', pem, path)).text()), {
    valid: true,
    isSignatureChecked: true,
    instances: 1,
    statement: /^every request of 1 instance/,
    signed: { heads: 1, keys: [id], after: 0, last: { seq: 3, key: id } },
    chains: [{ files: [path], records: 4, lastHash: last.hash }],
    problems: [],
  });
  const shipped = join(directory, 'shipped.json');
  fs.writeFileSync(shipped, fs.readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)!);
  t.equal((await verify(path, '--expect', shipped)).exitCode, 0, 'a head record as a SIEM has it');
  fs.writeFileSync(path, fs.readFileSync(path, 'utf8').split('\n').slice(0, 2).join('\n'));
  for (const head of [state, `3:${last.prev}`, shipped]) {
    const cut = await verify(path, '--expect', head);
    t.match(
      cut.text(),
      /^BROKEN at .*: the head at seq [34] \(\w{12}…\) is in no chain; the chains end before it, at seq 2/,
    );
    t.equal(cut.exitCode, 1, head);
  }
});

t.test('keys and heads that are none are misuse: 2', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const directory = t.testdir({
    'private.pem': key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'rsa.pem': publicPem(rsa),
    'empty.json': '{"keys": []}',
    text: 'hello',
  });
  const path = await signed(directory);
  for (const [option, name, message] of [
    [
      '--key',
      'private.pem',
      /private\.pem: it holds the private key; `openssl pkey -in FILE -pubout` prints the public one/,
    ],
    ['--key', 'rsa.pem', /rsa\.pem: heads are signed by keys of Ed25519 or P-256, and this is another one/],
    ['--key', 'empty.json', /empty\.json: the file holds no public key/],
    ['--key', 'text', /text: the file holds no public key/],
    ['--key', 'none', /none: there is no such file/],
    ['--expect', 'text', /text: neither a state file of audit\.sign nor one audit record/],
    ['--expect', 'none', /none: there is no such file; a head is written SEQ:HASH/],
  ] as const) {
    const output = await verify(path, option, join(directory, name));
    t.match(output.errors(), message);
    t.equal(output.exitCode, 2, name);
  }
});

t.test('several chains are named by their first file', async (t) => {
  const directory = t.testdir({ 'gw-1': {}, 'gw-2': {} });
  const [one, two] = [await audited(join(directory, 'gw-1')), await audited(join(directory, 'gw-2'))];
  const { text, exitCode } = await verify(two, one);
  t.match(text(), `${one}: valid: 3 records in 1 file(s), seq 1 to 3\n${one}: last hash: `);
  t.match(text(), `${two}: valid: 3 records`);
  t.equal(exitCode, 0);
});
