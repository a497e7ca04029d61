// The story of a change: `require` is taken out of the rule for SQL, and each command says what that means before it is in force.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { ofProcess } from '../../src/cli/audit/audit-reading.ts';
import { checkCommand } from '../../src/cli/policy/check.ts';
import { diffCommand } from '../../src/cli/policy/diff.ts';
import { replayCommand } from '../../src/cli/policy/replay.ts';
import { testCommand } from '../../src/cli/policy/test-policy.ts';
import { type PolicyCommand, whoCanCommand } from '../../src/cli/policy/who-can.ts';
import { capture } from '../cli/capture.ts';
import { startScenario } from '../support/scenario.ts';

const cases = `
policy: gateway.yaml
cases:
  - name: the agent runs SQL
    as: {client: ai_agent_prod, scopes: [queries:execute], certificate: client-ai-agent-1}
    call: {route: superset-mcp, tool: execute_sql, args: {request: {limit: 10}}}
    expect: {allow: sql}
  - name: the frontend may not run SQL
    as: {client: analytics_frontend, scopes: [dashboards:read]}
    call: {route: superset-mcp, tool: execute_sql, args: {request: {limit: 10}}}
    expect: deny
`;

t.test('removing `require` from the rule for SQL is seen by each command', async (t) => {
  const scenario = await startScenario(
    t,
    {
      routes: {
        '/mcp': {
          name: 'superset-mcp',
          authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] },
          mcp: {
            preset: 'superset',
            rules: [
              {
                name: 'views',
                allow: { tools: ['list_dashboards'], clients: ['corp/analytics_frontend', 'corp/ai_agent_prod'] },
                require: { scopes: ['dashboards:read'] },
              },
              {
                name: 'sql',
                allow: { tools: ['execute_sql'] },
                require: {
                  scopes: ['queries:execute'],
                  authenticatedBy: ['workloads'],
                  when: 'has(args.request) && has(args.request.limit) && args.request.limit >= 1 && args.request.limit <= 1000',
                },
              },
            ],
          },
        },
      },
    },
    { tls: true },
  );
  const { certificates, directory, frontend, reporting } = scenario;
  const agent = await scenario.as({ claims: {}, certificate: certificates!.agent });
  const file = (name: string) => join(directory, name);
  const [now, next] = [file('gateway.yaml'), file('next.yaml')];
  const configuration = parse(await readFile(now, 'utf8'));
  delete configuration.routes[0].mcp.rules[1].require;
  await writeFile(next, stringify(configuration));
  await writeFile(file('cases.yaml'), cases);

  // A day at the gateway.
  const sql = { request: { sql: 'SELECT 1', limit: 10 } };
  t.equal((await agent.call('execute_sql', sql)).status, 200);
  await frontend.call('list_dashboards');
  for (const _ of [1, 2, 3]) t.match((await frontend.call('execute_sql', sql)).text, '"code":"denied"');
  t.equal((await reporting.call('list_dashboards')).status, 200);
  await scenario.matchingRecords(6, ({ stage }) => stage === 'completed');

  const run = async (
    command: (output: ReturnType<typeof capture>) => { parseAsync: ParseAsync },
    ...argv: string[]
  ) => {
    const output = capture();
    await command(output).parseAsync(argv, { from: 'user' });
    return { code: output.exitCode ?? 0, out: output.text(), errors: output.errors() };
  };
  const check = (path: string) => run(checkCommand, '-c', path, '--json');
  const warnings = async (path: string) => JSON.parse((await check(path)).out).warnings;
  t.same(await warnings(now), []);
  t.match(await warnings(next), [{ path: 'routes[0].mcp.rules[1].allow', message: /execute_sql/ }]);

  const review: PolicyCommand = { output: capture(), env: {}, now: Date.now };
  const whoCan = async (path: string) => {
    const command = (output: ReturnType<typeof capture>) => whoCanCommand({ ...review, output });
    const { out } = await run(command, '-c', path, '--tool', 'execute_sql', '--json');
    const rows: { caller: string; access: string; condition?: string }[] = JSON.parse(out);
    return rows.filter(({ access }) => access !== 'no').map(({ caller, condition = '' }) => [caller, condition]);
  };
  t.same(await whoCan(now), [
    [
      'client corp/ai_agent_prod',
      'with scope queries:execute, with a certificate of workloads, if `request.limit` >= 1 and `request.limit` <= 1000',
    ],
  ]);
  t.match(await whoCan(next), [
    ['client corp/analytics_frontend', ''],
    ['client corp/ai_agent_prod', ''],
  ]);

  const diff = (output: ReturnType<typeof capture>) => diffCommand({ ...review, output });
  t.match(await run(diff, now, now, '--fail-on', 'changed'), { code: 0 });
  const changed = await run(diff, now, next, '--json', '--fail-on', 'widened');
  t.equal(changed.code, 1);
  const { widened, access } = JSON.parse(changed.out);
  t.equal(widened, true);
  t.match(
    access.filter(({ change }: { change: string }) => change === 'gained'),
    [{ item: 'execute_sql', caller: 'client corp/analytics_frontend', before: 'no', after: 'yes', rulesAfter: 'sql' }],
  );

  t.match(await run(testCommand, file('cases.yaml')), { code: 0 });
  t.match(await run(testCommand, '-c', next, file('cases.yaml')), {
    code: 1,
    out: /FAIL {2}the frontend may not run SQL\n.*\n +the decision is allow, not deny\n +got: allow, by rule sql\n/,
  });

  const replay = async (path: string) => {
    const command = (output: ReturnType<typeof capture>) => replayCommand({ ...ofProcess, env: {}, output });
    return JSON.parse((await run(command, '-c', path, file('audit.jsonl'), '--json')).out);
  };
  t.match(await replay(now), { requests: 6, nowAllowed: 0, nowDenied: 0 });
  t.match(await replay(next), {
    nowAllowed: 3,
    nowDenied: 0,
    changes: [{ change: 'now allowed', client: 'analytics_frontend', call: 'execute_sql', requests: 3 }],
  });
});

type ParseAsync = (argv: readonly string[], options: { from: 'user' }) => Promise<unknown>;
