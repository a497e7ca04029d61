// Replay of the log of a live gateway: nothing changes under its own policy, and under another one what the calls themselves would meet.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readAuditLogs } from '../../src/audit/reading/reader.ts';
import { pairRequests } from '../../src/audit/reading/requests.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { createReplay } from '../../src/review/replay/replay.ts';
import { createReplayCounts } from '../../src/review/replay/replay-report.ts';
import { configure, yamlOf } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const sql = {
  name: 'sql',
  allow: { tools: ['execute_sql'] },
  require: { scopes: ['queries:execute'], when: 'has(args.request) && args.request.limit <= 1000' },
};
const read = { name: 'read', allow: { tools: ['list_*'] }, require: { scopes: ['dashboards:read'] } };
const withRules = (rules: readonly object[]) => ({
  routes: { '/mcp': { mcp: { preset: { name: 'superset', rules: false }, audit: { arguments: 'full' }, rules } } },
});
const scenario = await startScenario(t, withRules([sql, read]));
const { agent, anybody, directory, frontend, issuer, reporting, upstream } = scenario;

const limited = (limit: number) => ({ request: { limit } });
const answers: { readonly id: string }[] = [];
for (const caller of [agent, frontend, reporting, anybody]) {
  answers.push(await caller.call('execute_sql', limited(10)));
  answers.push(await caller.call('execute_sql', limited(5000)));
  answers.push(await caller.call('call_tool', { name: 'list_charts', arguments: {} }));
  answers.push(await caller.call('delete_dashboard', {}));
  answers.push(await caller.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }));
  answers.push(
    await caller.post({ jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: 'chart://configs' } }),
  );
  answers.push(await caller.post('{'));
  for (const path of ['/api/x', '/open/x', '/health', '/none', '/.well-known/oauth-protected-resource/mcp'])
    answers.push(await caller.send({ path }));
}
await Promise.all(answers.map((answer) => scenario.recordOf(answer)));

async function replay(rules: readonly object[]) {
  const file = join(directory, 'next.yaml');
  writeFileSync(file, yamlOf(configure({ upstreamUrl: upstream.url, issuer: issuer.issuer }, withRules(rules))));
  const policyFile = await openPolicyFile(file, { env: {} });
  const counts = createReplayCounts();
  const judge = createReplay(policyFile);
  const pairing = pairRequests((record, line) => counts.add(record, judge(record, line)));
  const stdin = (async function* () {})();
  await readAuditLogs({ paths: [join(directory, 'audit.jsonl')], stdin, visit: pairing.take });
  pairing.end();
  await policyFile.close();
  return counts.report();
}

t.test('under its own policy no decision changes', async (t) => {
  const { cannotBeTold, changes, lacking, nowAllowed, nowDenied, requests, same } = await replay([sql, read]);
  t.strictSame([nowAllowed, nowDenied], [0, 0], JSON.stringify(changes));
  t.equal(requests, 48);
  t.equal(same + cannotBeTold, requests);
  t.strictSame(Object.keys(lacking).sort(), ['refused then: invalid_json'], 'all that is not told');
});

t.test('without the demands of the rule for SQL the frontend and the reporting tool gain it', async (t) => {
  const { changes } = await replay([{ name: 'sql', allow: { tools: ['execute_sql'] } }, read]);
  const gained = new Map<string, number>();
  for (const { call, change, client, requests } of changes) {
    if (change === 'now allowed') gained.set(`${client} ${call}`, (gained.get(`${client} ${call}`) ?? 0) + requests);
  }
  t.strictSame(Object.fromEntries(gained), {
    'ai_agent_prod execute_sql': 1,
    'analytics_frontend execute_sql': 2,
    'reporting_tool execute_sql': 2,
  });
});
