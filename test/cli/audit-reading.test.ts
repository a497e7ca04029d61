// `portcullis audit show`, `tail` and `report`: what they print, and their exit codes.
import { join } from 'node:path';
import t, { type TAP as Tap } from 'tap';
import { createEventEncoder } from '../../src/audit/encode.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';
import { auditReportCommand } from '../../src/cli/audit/audit-report.ts';
import { auditShowCommand } from '../../src/cli/audit/audit-show.ts';
import { auditTailCommand } from '../../src/cli/audit/audit-tail.ts';
import { eventOf, someTime } from '../audit/support.ts';
import { capture } from './capture.ts';

const agent = { kind: 'oauth', issuer: 'https://idp.example.com/', subject: 'alice', clientId: 'ai_agent_prod' };
const key = {
  kind: 'api-key',
  issuer: 'keys',
  subject: 'reporting_tool',
  clientId: 'reporting_tool',
  credentialId: 'k1',
};
const controlSequence = '\u001b';
const sql: Partial<AuditEvent> = {
  route: 'superset-mcp',
  client: { address: '10.0.0.7' },
  principal: agent,
  http: { method: 'POST', path: '/mcp' },
  mcp: { method: 'tools/call', tool: 'execute_sql', via: 'call_tool' },
  decision: 'allow',
  rule: 'sql',
};
const events = [
  eventOf('r1', { ...sql, stage: 'decided' }),
  eventOf('r1', { ...sql, time: someTime + 12, status: 200, durationMs: 12, outcome: 'completed' }),
  eventOf('r2', {
    ...sql,
    principal: key,
    mcp: { method: 'tools/call', tool: '=cmd\u001b[2J|x' },
    time: someTime + 20,
    decision: 'deny',
    rule: undefined,
    reason: 'denied',
    status: 403,
    outcome: 'refused',
  }),
  eventOf('r3', {
    client: { address: '192.0.2.9' },
    time: someTime + 30,
    detail: { summed: { requests: 7 } },
    decision: 'deny',
    reason: 'rate_limited',
    status: 429,
    outcome: 'refused',
  }),
];

function log(t: Pick<Tap, 'testdir'>): string {
  const { lines } = chainLines(genesis, events.map(createEventEncoder('gw')));
  return join(t.testdir({ 'audit.jsonl': lines }), 'audit.jsonl');
}

type Output = ReturnType<typeof capture>;

async function run(make: typeof auditReportCommand, ...args: string[]): Promise<Output> {
  const output = capture();
  await make({ output, env: {}, stdin: (async function* () {})(), now: () => someTime + 1000 })
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .parseAsync(args, { from: 'user' });
  return output;
}

t.test('report counts each request once, largest groups first, and sums up the others', async (t) => {
  const path = log(t);
  const report = await run(auditReportCommand, path, '--by', 'client,reason', '--format', 'json');
  t.match(JSON.parse(report.text()), [
    { reason: 'rate_limited', requests: 7, denied: 7 },
    { client: 'ai_agent_prod', requests: 1, allowed: 1, denied: 0, first: '2026-11-23T05:45:00Z' },
    { client: 'reporting_tool', reason: 'denied', requests: 1, denied: 1 },
  ]);
  t.equal(report.exitCode, 0);
  const top = await run(auditReportCommand, path, '--by', 'key', '--top', '1');
  t.equal(
    top.text(),
    [
      'key         requests  allowed  denied  first                 last                  p50Ms  p99Ms',
      '-                  8        1       7  2026-11-23T05:45:00Z  2026-11-23T05:45:00Z     11     11',
      '(1 others)         1        0       1  2026-11-23T05:45:00Z  2026-11-23T05:45:00Z      -      -',
      '',
    ].join('\n'),
  );
});

t.test('the tool =cmd… that a caller made up is no formula in CSV and moves no terminal', async (t) => {
  const path = log(t);
  const csv = await run(auditReportCommand, path, '--by', 'tool', '--format', 'csv');
  t.match(csv.text(), /\r\n'=cmd/);
  for (const format of ['table', 'markdown']) {
    const { text } = await run(auditReportCommand, path, '--by', 'tool', '--format', format);
    t.match(text(), /=cmd\\+u001b/);
    t.notOk(text().includes(controlSequence));
  }
  t.notOk((await run(auditTailCommand, path)).text().includes(controlSequence));
  t.notOk((await run(auditShowCommand, 'r2', path)).text().includes(controlSequence));
});

t.test('report: a period without requests exits with 1, a bad option with 2 and what was meant', async (t) => {
  const path = log(t);
  const none = await run(auditReportCommand, path, '--until', '2020-01-01');
  t.equal(none.exitCode, 1);
  const since = await run(auditReportCommand, path, '--since', '1s', '--by', 'route', '--format', 'json');
  t.strictSame(
    (JSON.parse(since.text()) as { requests: number }[]).map(({ requests }) => requests),
    [7, 2],
  );
  await t.rejects(run(auditReportCommand, path, '--by', 'color'), { message: /"color" is none of client, tool/ });
  await t.rejects(run(auditReportCommand, path, '--since', 'yesterday'), {
    message: /a day, an instant or a duration/,
  });
  const missing = await run(auditReportCommand, `${path}.none`);
  t.equal(missing.exitCode, 2);
  t.match(missing.errors(), /there is no such file/);
});

t.test('random bytes, an empty file and {"a":1} are no log: report and tail say so, and exit with 1', async (t) => {
  const folder = t.testdir({ random: '\u0000\u9f8f\n\u0001', empty: '', other: '{"a":1}\n' });
  for (const make of [auditReportCommand, auditTailCommand]) {
    for (const file of ['random', 'empty', 'other']) {
      const { errors, exitCode } = await run(make, join(folder, file));
      t.match(errors(), /^portcullis: no audit record was read$/m, file);
      t.equal(exitCode, 1, file);
    }
  }
});

t.test('show prints all records of a request, as text and as JSON', async (t) => {
  const path = log(t);
  const shown = await run(auditShowCommand, 'r1', path);
  t.match(
    shown.text(),
    /^decided at 2026-11-23T05:45:00\.000Z \(seq 1\)\n[\s\S]*\n\ncompleted at [\s\S]*status +200\n/,
  );
  t.match(
    shown.text(),
    'principal   kind oauth, issuer https://idp.example.com/, subject alice, clientId ai_agent_prod',
  );
  const json = await run(auditShowCommand, 'r1', path, '--json');
  t.match(JSON.parse(json.text()), [
    { seq: 1, stage: 'decided' },
    { seq: 2, stage: 'completed' },
  ]);
  const none = await run(auditShowCommand, 'r9', path);
  t.match([none.text(), none.errors(), none.exitCode], ['', 'no record of r9 in these files\n', 1]);
});

t.test('tail prints one line a record, the last ones, filtered', async (t) => {
  const path = log(t);
  t.equal((await run(auditTailCommand, path, '-n', 'all')).text().split('\n').length, 5);
  t.equal(
    (await run(auditTailCommand, path, '-n', '2')).text(),
    [
      '2026-11-23T05:45:00.020Z  completed  deny   reporting_tool  =cmd\\u001b[2J|x  reason denied, status 403',
      '2026-11-23T05:45:00.030Z  completed  deny   192.0.2.9  -  reason rate_limited, status 429, 7 requests',
      '',
    ].join('\n'),
  );
  const filtered = await run(
    auditTailCommand,
    path,
    '--client',
    'ai_agent_prod',
    '--tool',
    'execute_sql',
    '--decision',
    'allow',
    '-n',
    '1',
  );
  t.equal(
    filtered.text(),
    '2026-11-23T05:45:00.012Z  completed  allow  ai_agent_prod (alice)  execute_sql via call_tool  rule sql, status 200, 12 ms\n',
  );
  t.equal(
    (await run(auditTailCommand, path, '--reason', 'denied', '--route', 'superset-mcp')).text().split('\n').length,
    2,
  );
});

t.test('tail is coloured on a terminal, and ends when its reader leaves while it follows', async (t) => {
  const path = log(t);
  let leave = (): void => {};
  const output = capture();
  const stdout = {
    ...output.stdout,
    isTTY: true,
    once(_event: 'error', listener: () => void) {
      leave = listener;
    },
  };
  const command = {
    output: { stdout, stderr: output.stderr },
    env: {},
    stdin: (async function* () {})(),
    now: () => someTime,
  };
  await auditTailCommand(command, async () => leave()).parseAsync([path, '-f', '-n', '1'], { from: 'user' });
  t.match(output.text(), `${controlSequence}[31mdeny `);
});
