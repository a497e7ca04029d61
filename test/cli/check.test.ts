// `portcullis check` and `portcullis schema`: output and exit codes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkCommand } from '../../src/cli/check.ts';
import { schemaCommand } from '../../src/cli/schema.ts';
import { fileOf } from '../config/support.ts';

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: unknown;
}

async function check(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const written = { stdout: '', stderr: '' };
  const output = {
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
    exitCode: undefined as unknown as number,
  };
  await checkCommand(output, env).parseAsync([...args], { from: 'user' });
  return { ...written, exitCode: output.exitCode };
}

const valid = fileOf({ upstreams: '{superset: {url: "http://127.0.0.1:${env:PORT}"}}' });
const doubtful = fileOf({ audit: '{sinks: [{type: stdout, required: false}]}' });
const wrong = fileOf({ routes: '[{path: /api, upstream: superset, authenticate: crop}]' });

t.test('a valid file ends with 0 and shows the hash', async (t) => {
  const file = join(t.testdir({ 'gateway.yaml': valid }), 'gateway.yaml');
  const text = await check(['-c', file], { PORT: '5008' });
  t.match(text, { exitCode: 0, stderr: '', stdout: /^\S+gateway\.yaml: valid\nhash [0-9a-f]{64}\n$/ });
  const json = await check(['--config', file, '--json'], { PORT: '5008' });
  t.match(json, { exitCode: 0, stderr: '' });
  t.match(JSON.parse(json.stdout), { ok: true, problems: [], warnings: [], hash: /^[0-9a-f]{64}$/ });
});

t.test('problems end with 1, each on a line of its own', async (t) => {
  const file = join(t.testdir({ 'gateway.yaml': wrong }), 'gateway.yaml');
  const message = 'unknown authenticator "crop" (did you mean "corp"?)';
  const text = await check(['-c', file]);
  t.same(text, {
    exitCode: 1,
    stdout: '',
    stderr: `${file}:6:57 routes[0].authenticate: ${message}\n${file}: 1 problem\n`,
  });
  const json = await check(['-c', file, '--json']);
  t.match(json, { exitCode: 1, stderr: '' });
  t.same(JSON.parse(json.stdout), {
    ok: false,
    problems: [{ file, line: 6, column: 57, path: 'routes[0].authenticate', message }],
    warnings: [],
  });
});

t.test('warnings end with 0, with --strict 1', async (t) => {
  const file = join(t.testdir({ 'gateway.yaml': doubtful }), 'gateway.yaml');
  const warning = `${file}:7:16 audit.sinks: warning: no sink is required: requests go on while no record can be written\n`;
  t.match(await check(['-c', file]), { exitCode: 0, stderr: warning, stdout: /: valid, 1 warning\nhash / });
  t.match(await check(['-c', file, '--strict']), { exitCode: 1, stdout: '', stderr: `${warning}${file}: 1 warning\n` });
  const json = await check(['-c', file, '--strict', '--json']);
  t.equal(json.exitCode, 1);
  t.match(JSON.parse(json.stdout), { ok: false, problems: [], warnings: [{ path: 'audit.sinks' }] });
});

t.test('a file that cannot be read ends with 2', async (t) => {
  const file = join(t.testdir({}), 'gateway.yaml');
  const stderr = `portcullis: ${file}:1:1 cannot read the file: there is no such file\n`;
  t.same(await check(['-c', file]), { exitCode: 2, stdout: '', stderr });
  t.same(await check(['-c', file, '--json']), { exitCode: 2, stdout: '', stderr });
});

t.test('schema prints the committed file, byte for byte', async (t) => {
  let printed = '';
  const output = { stdout: { write: (text: string) => (printed += text) }, stderr: process.stderr };
  await schemaCommand(output).parseAsync([], { from: 'user' });
  t.equal(printed, readFileSync(join(import.meta.dirname, '../../gateway.schema.json'), 'utf8'), 'run npm run schema');
});
