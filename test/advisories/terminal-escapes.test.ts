// An attacker chooses the name of a tool, a client, a file or an argument. Printed raw, it sets the title of the operator's terminal, writes to the clipboard, or hides
// a line of a review (CWE-150). Every command escapes what a terminal acts on, in tables of every form and in errors.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { githubCommands } from '../../src/cli/policy/check-formats.ts';
import { reporters } from '../../src/cli/policy/test-report.ts';
import { revokeCommand } from '../../src/cli/revoke/revoke.ts';
import { formatTable, tableFormats } from '../../src/cli/table.ts';
import { capture } from '../cli/capture.ts';
import { fileOf } from '../config/support.ts';

/** Title by OSC and BEL, colour by CSI, 8-bit CSI, right-to-left override, a line separator. */
const attack = 'x\u001b]0;owned\u0007\u001b[31m\u009b31m\u202e\u2028y';
const acted = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const main = resolve(import.meta.dirname, '../../src/main.ts');

function portcullis(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { timeout: 60_000 });
  return { status, text: `${stdout}${stderr}` };
}

t.test('cells of tables, line breaks too', async (t) => {
  for (const format of tableFormats) {
    const text = formatTable({ columns: ['tool'], rows: [[`=${attack}`], [`${attack}\r\nyes,"all"`]] }, format);
    t.notMatch(text.replaceAll('\r\n', '\n'), acted, format);
  }
  const csv = formatTable({ columns: ['tool'], rows: [['a\r\nb,"c"'], ['\t=cmd']] }, 'csv');
  t.equal(csv, 'tool\r\n"a\\u000d\\u000ab,""c"""\r\n\\u0009=cmd\r\n');
});

t.test('arguments that errors repeat: of the program, of the parser of options, of a command', async (t) => {
  const file = join(t.testdir({ 'gateway.yaml': fileOf({}) }), 'gateway.yaml');
  for (const args of [
    ['check', '-c', attack],
    [attack],
    ['audit', 'report', '--by', attack, 'x.jsonl'],
    ['keys', 'rotate', '-c', file, attack],
  ]) {
    const { status, text } = portcullis(...args);
    t.not(status, 0);
    t.notMatch(text, acted);
    t.match(text, String.raw`x\u001b]0;owned\u0007\u001b[31m\u009b31m\u202e\u2028y`);
  }
});

t.test('annotations of check, TAP and JUnit', async (t) => {
  const problem = { file: attack, line: 1, column: 1, path: attack, message: attack };
  t.notMatch(githubCommands({ problems: [problem], warnings: [] }), acted);
  const actual = { decision: 'deny', missing: [] } as const;
  const failed = { ...{ ok: false, file: attack, name: attack, line: 1, column: 1 }, differences: [attack], actual };
  const uncovered = { route: attack, rule: attack, allowed: 0, denied: 0 };
  const report = { ok: false, cases: [failed], coverage: [uncovered] } as unknown as Parameters<
    (typeof reporters)['tap']
  >[0];
  for (const [name, reporter] of Object.entries(reporters)) t.notMatch(reporter(report), acted, name);
});

t.test('revoke: a name with controls is refused; a reason with controls is escaped in the comment', async (t) => {
  const file = join(t.testdir({ 'revoked.yaml': '' }), 'revoked.yaml');
  const output = capture();
  const revoke = (...args: string[]) =>
    revokeCommand(output, Date.now, {})
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .parseAsync(['--file', file, ...args], { from: 'user' });
  for (const option of ['--key', '--client', '--subject', '--jti', '--certificate'])
    await t.rejects(revoke(option, attack), /without control characters/, option);
  t.equal(output.text(), '');
  await revoke('--jti', 'j1', '--reason', `${attack}\nkeyIds: [k1]`);
  t.notMatch(readFileSync(file, 'utf8'), acted);
  t.match(readFileSync(file, 'utf8'), /^jti:\n {2}- j1 # \S+ x\\u001b\]0;owned.*\\u000akeyIds: \[k1\]\n$/);
});
