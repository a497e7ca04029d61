// The README's main command as a newcomer uses it: `npm start`, the printed commands and the tour in a second shell, Ctrl-C.
import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

const lastLine = 'Your MCP client: ';
const startupMs = 60_000;

let health = '';
const gateway = spawn('npm', ['start'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
try {
  const printed = await textUntil(gateway, lastLine);
  health = `${/console +(http:\/\/127\.0\.0\.1:\d+)\//.exec(printed)?.[1]}/livez`;
  const commands = printed.match(/^ {2}bash .*$/gm) ?? [];
  const tour = /^The whole tour: (bash .*)$/m.exec(printed)?.[1];
  const shell = spawnSync('bash', ['-c', [...commands, tour].join('\n')], { encoding: 'utf8', timeout: 120_000 });
  const output = shell.stdout + shell.stderr;
  assert.equal(commands.length, 2, printed);
  assert.equal(shell.status, 0, output);
  assert.doesNotMatch(printed + output, /✗/);
  for (const expected of [
    /HTTP\/1\.1 200 OK/,
    /"dashboards"|dashboard_title/,
    /HTTP\/1\.1 401 Unauthorized/,
    /HTTP\/1\.1 403 Forbidden/,
    /www-authenticate: Bearer error="insufficient_scope", scope="queries:execute"/,
    /"code":"invalid_certificate"/,
    /portcullis_decisions_total\{/,
    /valid: \d+ records/,
  ]) {
    assert.match(output, expected);
  }
} finally {
  const exit = once(gateway, 'exit');
  // A terminal sends Ctrl-C to the whole foreground group.
  process.kill(-gateway.pid!, 'SIGINT');
  const [code, signal] = await exit;
  assert.ok(code === 0 || signal === 'SIGINT', `npm start ended with ${code ?? signal}`);
}
assert.equal(
  await fetch(health).then(
    (response) => response.status,
    () => 'closed',
  ),
  'closed',
);
console.log('smoke: npm start, both printed commands and the tour, Ctrl-C: ok');

/** Reads on behind the mark: a reader that leaves ends the program. */
async function textUntil({ stdout }: ChildProcess, mark: string): Promise<string> {
  let text = '';
  const marked = new Promise<void>((resolve) => {
    stdout!.on('data', (chunk) => {
      text += chunk;
      if (text.includes(mark)) resolve();
    });
  });
  const ended = once(stdout!, 'end', { signal: AbortSignal.timeout(startupMs) });
  ended.catch(() => {});
  await Promise.race([marked, ended.then(() => assert.fail(`npm start ended before it was ready:\n${text}`))]);
  return text;
}
