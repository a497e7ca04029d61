// The command line as a process: misuse ends with exit code 2 and one line, and a reader of the output may leave.
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import t from 'tap';

const main = resolve(import.meta.dirname, '../../src/main.ts');

function portcullis(command: string) {
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['-o', 'pipefail', '-c', command.replace('portcullis', '"$0" "$1"'), process.execPath, main],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  );
  return { status, stdout, stderr };
}

t.test('serve --log-level verbose', async (t) => {
  t.same(portcullis('portcullis serve -c gateway.yaml --log-level verbose'), {
    status: 2,
    stdout: '',
    stderr:
      "error: option '--log-level <level>' argument 'verbose' is invalid. Allowed choices are debug, info, warn, error, fatal, silent.\n",
  });
});

t.test('serve -c with a file that is not there', async (t) => {
  const { status, stderr } = portcullis('portcullis serve -c /none/gateway.yaml');
  t.equal(status, 2);
  t.equal(stderr, 'portcullis: /none/gateway.yaml:1:1 cannot read the file: there is no such file\n');
});

t.test('schema | true', async (t) => {
  t.same(portcullis('portcullis schema | true'), { status: 0, stdout: '', stderr: '' });
});

t.test('schema > /dev/full', async (t) => {
  const { status, stderr } = portcullis('portcullis schema > /dev/full');
  t.equal(status, 1);
  t.equal(stderr, 'portcullis: ENOSPC: no space left on device, write\n');
});

t.test('--help', async (t) => {
  const { status, stdout } = portcullis('portcullis --help');
  t.equal(status, 0);
  for (const name of ['serve', 'check', 'dev', 'keys', 'audit', 'schema'])
    t.match(stdout, new RegExp(`^  ${name} `, 'm'));
});

t.test('chek', async (t) => {
  const { status, stderr } = portcullis('portcullis chek -c gateway.yaml');
  t.equal(status, 2);
  t.equal(stderr, "error: unknown command 'chek'\n(Did you mean check?)\n");
});

t.test('help nonsense, help chek and keys help lst', async (t) => {
  const errors: [string, string][] = [
    ['help nonsense', "error: unknown command 'nonsense'\n"],
    ['help chek', "error: unknown command 'chek'\n(Did you mean check?)\n"],
    ['keys help lst', "error: unknown command 'lst'\n(Did you mean list?)\n"],
  ];
  for (const [words, stderr] of errors) {
    t.same(portcullis(`portcullis ${words}`), { status: 2, stdout: '', stderr }, words);
  }
  const { status, stdout } = portcullis('portcullis help check');
  t.equal(status, 0);
  t.match(stdout, /^Usage: portcullis check /);
});

t.test('check -c "a b\'s.yaml" on Node 20', async (t) => {
  const old = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})";
  const words = ['check', '-c', "a b's.yaml", '$(id)', '\u001b[31m', '--strict'];
  const { status, stderr } = spawnSync(process.execPath, [`--import=${old}`, main, ...words], { encoding: 'utf8' });
  t.equal(status, 2);
  const pasted = /portcullis (check .*)\n$/.exec(stderr)?.[1] ?? '';
  t.match(pasted, /^check -c 'a b'\\''s.yaml' .* --strict$/);
  t.notOk(pasted.includes('\u001b'));
  const { stdout } = spawnSync('bash', ['-c', `printf '%s\\n' ${pasted}`], {
    encoding: 'utf8',
    env: { LC_ALL: 'C.UTF-8' },
  });
  t.same(stdout.trimEnd().split('\n'), words);
});
