// `portcullis check` and `portcullis schema`: output and exit codes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkCommand } from '../../src/cli/policy/check.ts';
import { githubCommands, sarifOf } from '../../src/cli/policy/check-formats.ts';
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
  await checkCommand(output, env)
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .parseAsync([...args], { from: 'user' });
  return { ...written, exitCode: output.exitCode };
}

const valid = fileOf({ upstreams: '{superset: {url: "http://127.0.0.1:${env:PORT}"}}' });
const doubtful = fileOf({ audit: '{sinks: [{type: stdout, required: false}]}' });
const wrong = fileOf({ routes: '[{path: /api, upstream: superset, authenticate: crop}]' });

t.test('a valid file ends with 0 and shows the hash', async (t) => {
  const file = join(t.testdir({ 'gateway.yaml': valid }), 'gateway.yaml');
  const text = await check(['-c', file], { PORT: '5008' });
  t.match(text, {
    exitCode: 0,
    stderr: '',
    stdout: /^\S+gateway\.yaml: valid\nhash [0-9a-f]{64}\nroutes: .*\ncallers: .*\ntools: .*\n$/,
  });
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

t.test('three lines say what the file allows', async (t) => {
  const hash = (digit: number) => `sha256:9a0364b9e99bb480dd25e1f0284c8555fa1d2c7e1b3c4d5e6f708192a3b4c5d${digit}`;
  const keyOf = (digit: number, expires: string) =>
    `{id: k${digit}, hash: "${hash(digit)}", clientId: c, scopes: [], expires: ${expires}}`;
  const keys = [keyOf(1, '2098-01-01'), keyOf(2, '2099-01-01'), keyOf(3, '2020-01-01')].join(', ');
  const yaml = fileOf({
    authenticators: `{corp: {type: jwt, issuer: https://idp.example.com/}, keys: {type: apiKey, keys: [${keys}]}}`,
    routes:
      '[{path: /mcp, upstream: superset, authenticate: {anyOf: [corp, keys]}, mcp: {preset: superset, rules: [{deny: {tools: [execute_sql, save_sql_query]}}, {deny: {tools: [get_schema], networks: [10.0.0.0/8]}}]}}, {path: /own, upstream: superset, authenticate: corp, mcp: {rules: [{deny: {tools: [a]}}]}}, {path: /health, authenticate: none, respond: {text: ok}}]',
  });
  const file = join(t.testdir({ 'gateway.yaml': yaml }), 'gateway.yaml');
  const { stdout, exitCode } = await check(['-c', file]);
  t.equal(exitCode, 0);
  t.same(stdout.split('\n').slice(2), [
    'routes: 3, only /health without authentication',
    'callers: tokens of corp; 2 keys of keys until 2099-01-01 (1 more expired)',
    'tools: /mcp: rules allow 22 of 24 known; /own: 1 rule, names of its tools are not known',
    '',
  ]);
});

t.test('--format github: workflow commands, escaped', async (t) => {
  const folder = t.testdir({ 'a,b:c%.yaml': wrong, 'doubtful.yaml': doubtful });
  const file = join(folder, 'a,b:c%.yaml');
  const named = file.replace('a,b:c%', 'a%2Cb%3Ac%25');
  const at = `file=${named},line=6,col=57,title=routes[0].authenticate`;
  const problem = `::error ${at}::unknown authenticator "crop" (did you mean "corp"?)\n`;
  t.same(await check(['-c', file, '--format', 'github']), {
    exitCode: 1,
    stdout: problem,
    stderr: `${file}: 1 problem\n`,
  });
  const warned = await check(['-c', join(folder, 'doubtful.yaml'), '--format', 'github']);
  t.match(warned, { exitCode: 0, stderr: '', stdout: /^::warning file=\S+,line=7,col=16,title=audit\.sinks::no sink/ });
  const many = { file: 'g.yaml', line: 1, column: 2, path: '', message: '100 %\r\nof a:b, c' };
  t.equal(
    githubCommands({ problems: [], warnings: [many] }),
    '::warning file=g.yaml,line=1,col=2::100 %25%0D%0Aof a:b, c\n',
  );
});

t.test('--format sarif: a log of SARIF 2.1.0', async (t) => {
  const folder = t.testdir({ 'wrong one.yaml': wrong, 'gateway.yaml': valid });
  const file = join(folder, 'wrong one.yaml');
  const { stdout, stderr, exitCode } = await check(['-c', file, '--format', 'sarif']);
  t.same([stderr, exitCode], ['', 1]);
  const log = JSON.parse(stdout) as { version: string; runs: { tool: object; results: object[] }[] };
  t.equal(log.version, '2.1.0');
  t.match(log.runs[0]?.tool, {
    driver: { name: 'portcullis', version: String, rules: [{ id: 'invalid-configuration' }, {}] },
  });
  t.same(log.runs[0]?.results, [
    {
      ruleId: 'invalid-configuration',
      level: 'error',
      message: { text: 'routes[0].authenticate: unknown authenticator "crop" (did you mean "corp"?)' },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: `file://${folder}/wrong%20one.yaml` },
            region: { startLine: 6, startColumn: 57 },
          },
          logicalLocations: [{ fullyQualifiedName: 'routes[0].authenticate' }],
        },
      ],
    },
  ]);
  const problem = { file: './deploy/my gateway.yaml', line: 1, column: 1, path: '', message: 'x' };
  const relative = sarifOf({ problems: [], warnings: [problem] }, '1.0.0');
  t.match(
    JSON.stringify(relative),
    /"ruleId":"doubtful-configuration","level":"warning","message":\{"text":"x"\}.*"uri":"deploy\/my%20gateway\.yaml"/,
  );
  const good = await check(['-c', join(folder, 'gateway.yaml'), '--format', 'sarif'], { PORT: '5008' });
  t.match([good.exitCode, JSON.parse(good.stdout)], [0, { runs: [{ results: [] }] }]);
  t.match(await check(['-c', join(folder, 'gateway.yaml'), '--json'], { PORT: '5008' }), { stdout: /^\{"ok":true/ });
  await t.rejects(check(['-c', file, '--format', 'xml']), /Allowed choices are text, json, sarif, github/);
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
