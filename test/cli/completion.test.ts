// Completion and the manual page: made from the commands, tried in a real bash, and checked by groff where that is installed. test/package presses the key.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bashCompletion } from '../../src/cli/completion/bash.ts';
import { fishCompletion } from '../../src/cli/completion/fish.ts';
import { vocabularyOf } from '../../src/cli/completion/vocabulary.ts';
import { zshCompletion } from '../../src/cli/completion/zsh.ts';
import { completionCommand } from '../../src/cli/completion.ts';
import { commandHelp } from '../../src/cli/examples.ts';
import { manualPage } from '../../src/cli/man.ts';
import { wholeProgram } from '../../src/cli/program.ts';
import { capture } from './capture.ts';

const vocabulary = vocabularyOf(await wholeProgram());
const folder = t.testdir({
  'portcullis.bash': bashCompletion(vocabulary),
  'portcullis.zsh': zshCompletion(vocabulary),
  'portcullis.fish': fishCompletion(vocabulary),
  'portcullis.1': manualPage(vocabulary, '1.2.3'),
  'gate way.yaml':
    'routes: [{name: superset-mcp, path: /mcp, mcp: {}}, {name: rest, path: /api/*}, {path: /two, mcp: {}}, {name: "$(touch ran)", path: /3, mcp: {}}]\n',
  pki: {},
});

/** `help`, or that of a group. */
const isHelp = (path: string): boolean => /(^| )help$/.test(path);

/** Command lines, each with the words that a tab offers at its end. */
const lines: readonly (readonly [line: readonly string[], offered: RegExp | readonly string[]])[] = [
  [['ser'], ['serve']],
  [
    ['keys', ''],
    ['help', 'list', 'new', 'report', 'rotate'],
  ],
  [['keys', 'li'], ['list']],
  [['certs', 'revoke', '--c'], ['--ca']],
  [
    ['check', '--format', ''],
    ['github', 'json', 'sarif', 'text'],
  ],
  [['check', '--format', '=', 'j'], ['json']],
  [
    ['audit', 'tail', '--decision', ''],
    ['allow', 'deny'],
  ],
  [['check', '--on'], ['--online']],
  [['check', '-c', 'gate'], ['gate way.yaml']],
  [['audit', 'verify', 'portcullis.b'], ['portcullis.bash']],
  [['certs', 'list', '--ca', 'p'], ['pki']],
  [
    ['explain', '-c', 'gate\\ way.yaml', '--route', ''],
    ['/two', '\\$\\(touch\\ ran\\)', 'superset-mcp'],
  ],
  [['explain', '--config', '=', '"gate way.yaml"', '--route', 's'], ['superset-mcp']],
  [['explain', '-cgate\\ way.yaml', '--route', '=', 's'], ['superset-mcp']],
  [
    ['keys', 'help', ''],
    ['list', 'new', 'report', 'rotate'],
  ],
  [['help', 'who'], ['who-can']],
  [['unknown', ''], []],
  [['who-can', '--client', ''], []],
  [
    ['completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
  [['revoke', 'list', '--key'], ['--key']],
];

t.test('a tab in bash', async (t) => {
  const routes = capture();
  await completionCommand(wholeProgram, routes).parseAsync(['--routes', join(folder, 'gate way.yaml')], {
    from: 'user',
  });
  // Files that readline would offer are asked of bash's own.
  const script = `source portcullis.bash
portcullis() { [ "$*" = "completion --routes gate way.yaml" ] && printf '%s' "$ROUTES"; }
compopt() { [ "$*" != "-o default" ] || COMPREPLY=("$(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")"); }
try() { COMP_WORDS=(portcullis "$@"); COMP_CWORD=$#; _portcullis; printf '%s\\n' "\${COMPREPLY[@]}" | sort | tr '\\n' '|'; echo; }
${lines.map(([words]) => `try ${words.map((word) => `'${word}'`).join(' ')}`).join('\n')}
`;
  const env = { ...process.env, LC_ALL: 'C', ROUTES: routes.text() };
  const { stderr, stdout } = spawnSync('bash', ['--norc'], { cwd: folder, input: script, encoding: 'utf8', env });
  t.equal(stderr, '');
  const offered = stdout.trimEnd().split('\n');
  for (const [index, [words, expected]] of lines.entries()) {
    t.same(
      offered[index]?.split('|').filter((word) => word !== ''),
      expected,
      words.join(' '),
    );
  }
  t.notOk(existsSync(join(folder, 'ran')), 'a route with the name of a command is not run');
});

t.test('a tab in a bash without compopt (3.2) quotes the names of files and folders', (t) => {
  const names = t.testdir({ '$(touch ran)': {}, 'a b.yaml': '', 'portcullis.bash': bashCompletion(vocabulary) });
  const script = `enable -n compopt
source portcullis.bash
try() { COMP_WORDS=(portcullis "$@"); COMP_CWORD=$#; _portcullis; printf '%s\\n' "\${COMPREPLY[@]}"; }
try certs list --ca '$'
try check -c a
`;
  const { stderr, stdout } = spawnSync('bash', ['--norc'], { cwd: names, input: script, encoding: 'utf8' });
  t.same([stderr, stdout], ['', '\\$\\(touch\\ ran\\)\na\\ b.yaml\n']);
  t.notOk(existsSync(join(names, 'ran')));
  t.end();
});

t.test('the scripts of zsh and fish have every command and option, and their shells read them', async (t) => {
  for (const [shell, script] of [
    ['zsh', zshCompletion(vocabulary)],
    ['fish', fishCompletion(vocabulary)],
  ] as const) {
    for (const { options, subcommands } of vocabulary) {
      for (const { name } of subcommands) t.match(script, name);
      for (const { flags } of options) t.match(script, flags.at(-1)!.replace('--', shell === 'fish' ? ' ' : '--'));
    }
    const functions = script.match(/^(function \w+|\w+\(\))/gm) ?? [];
    t.same([...new Set(functions)], functions, 'no function takes the place of another');
    const { error, status, stderr } = spawnSync(shell, ['-n', join(folder, `portcullis.${shell}`)], {
      encoding: 'utf8',
    });
    if (error === undefined) t.same([status, stderr], [0, ''], shell);
  }
});

t.test('the routes of a file that cannot be read are none', async (t) => {
  const output = capture();
  await completionCommand(wholeProgram, output).parseAsync(['--routes', join(folder, 'none.yaml')], { from: 'user' });
  t.equal(output.text() + output.errors(), '');
});

t.test('completion without a shell', async (t) => {
  const output = capture();
  await completionCommand(wholeProgram, output).parseAsync([], { from: 'user' });
  t.match(output, { exitCode: 2 });
  t.equal(output.errors(), 'portcullis: which shell: bash, zsh or fish?\n');
});

t.test('the manual page has every command and option, and groff has no complaint', async (t) => {
  const page = manualPage(vocabulary, '1.2.3');
  t.equal(page.match(/^\.SS /gm)?.length, Object.keys(commandHelp).length);
  for (const { options, path, subcommands } of vocabulary) {
    if (subcommands.length > 0 || isHelp(path)) continue;
    t.match(page, `.SS "portcullis ${path.replaceAll('-', '\\-')}`);
    for (const { flags } of options)
      t.match(page, `\\fB${flags.at(-1)!.replaceAll('-', '\\-')}\\fR`.replace(/^\\fB/, ''));
  }
  if (!existsSync('/usr/bin/groff')) return;
  const formatted = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-z', join(folder, 'portcullis.1')], {
    encoding: 'utf8',
  });
  t.same([formatted.status, formatted.stderr], [0, '']);
});

t.test('every command has examples, and each of them is a command line that the program takes', async (t) => {
  const leaves = vocabulary.filter(({ path, subcommands }) => path !== '' && subcommands.length === 0);
  t.same(
    Object.keys(commandHelp).sort(),
    leaves
      .map(({ path }) => path)
      .filter((path) => !isHelp(path))
      .sort(),
  );
  const program = await wholeProgram();
  let ran = '';
  for (const command of program.commands.flatMap((each) => [each, ...each.commands])) {
    command.configureOutput({ writeErr: () => {} }).action(() => {
      ran = command.name();
    });
  }
  const rows = Object.entries(commandHelp).flatMap(([path, { examples }]) =>
    examples.map(([line]) => ({ path, line })),
  );
  const words = wordsOf(rows.map(({ line }) => line));
  for (const [index, { line, path }] of rows.entries()) {
    t.ok(words[index]!.join(' ').startsWith(path), line);
    await t.resolves(program.parseAsync(words[index]!, { from: 'user' }), line);
    t.equal(ran, path.split(' ').at(-1), line);
  }
  for (const [path, { examples }] of Object.entries(commandHelp))
    t.ok(examples.length >= 1 && examples.length <= 3, path);
});

/** The words of each line as bash has them, up to a redirection or pipe. */
function wordsOf(lines: readonly string[]): string[][] {
  const commands = lines.map((line) => line.replace(/^source <\((.*)\)$/, '$1').replace(/ [|>] .*$/, ''));
  const input = `portcullis() { printf '%s\\n' "$@"; echo '@'; }\n${commands.join('\n')}\n`;
  const { stdout } = spawnSync('bash', ['--norc'], { encoding: 'utf8', input });
  return stdout.split('@\n').map((words) => words.trimEnd().split('\n'));
}

t.test('portcullis keys list --help', async (t) => {
  let text = '';
  const program = await wholeProgram();
  for (const command of program.commands.flatMap((each) => [each, ...each.commands])) {
    command.configureOutput({
      writeOut: (part) => {
        text += part;
      },
    });
  }
  await t.rejects(program.parseAsync(['keys', 'list', '--help'], { from: 'user' }), {
    code: 'commander.helpDisplayed',
  });
  t.match(text, '\nExamples:\n  # the keys, the first to end first\n  portcullis keys list -c gateway.yaml\n');
  t.match(text, 'Exit codes: 0 done; 1 the configuration has problems; 2 misuse, or a file cannot be read.\n');
});
