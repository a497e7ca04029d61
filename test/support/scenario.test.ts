// Fixtures of the scenario: callers, changes to the configuration, reloads, and records that are still being written.
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { overlay } from './configuration.ts';
import { followJsonLines, readJsonLines } from './json-lines.ts';
import { startScenario } from './scenario.ts';
import { until } from './until.ts';

t.test('each client of the product shows its own credential', async (t) => {
  const { agent, anybody, frontend, recordOf, reporting, upstream } = await startScenario(t);
  for (const [caller, clientId, kind] of [
    [agent, 'ai_agent_prod', 'oauth'],
    [frontend, 'analytics_frontend', 'oauth'],
    [reporting, 'reporting_tool', 'api-key'],
  ] as const) {
    const answer = await caller.call('list_dashboards');
    t.equal(answer.status, 200, clientId);
    t.match((await recordOf(answer)).principal, { clientId, kind });
  }
  t.equal(upstream.requests.length, 3);
  t.equal((await anybody.call('list_dashboards')).status, 401);
  t.equal(upstream.requests.length, 3);
});

t.test('a test states what differs, and a reload what differs from that', async (t) => {
  const scenario = await startScenario(t, { routes: { '/mcp': { mcp: { denials: 'http' } } } });
  const { frontend, recordOf, upstream } = scenario;
  const answer = await frontend.call('execute_sql');
  t.equal(answer.status, 403);
  t.match(await recordOf(answer), { decision: 'deny', reason: 'denied', status: 403, outcome: 'refused' });
  await scenario.reload({ routes: { '/mcp': { mcp: { rules: [{ allow: { tools: ['execute_sql'] } }] } } } });
  t.equal((await frontend.call('execute_sql')).status, 200);
  t.equal((await frontend.call('list_dashboards')).status, 403, 'what was stated at first still holds');
  t.equal(upstream.requests.length, 1);
});

t.test('other callers have the credentials that they are given', async (t) => {
  const scenario = await startScenario(t, {}, { tls: true });
  const stranger = await scenario.as({ certificate: scenario.certificates!.otherAuthority });
  const answer = await stranger.send({ path: '/api/x' });
  t.match([answer.status, answer.text], [401, /invalid_certificate/]);
  const narrow = await scenario.as({ claims: { scope: 'queries:execute' } });
  t.equal((await narrow.send({ path: '/api/x' })).status, 403);
});

t.test('objects are laid over objects, and everything else replaces what was there', (t) => {
  const base = { kept: 1, list: [1, 2], inner: { a: 1, b: 2 }, entry: { type: 'jwt', issuer: 'i' }, gone: 1 };
  const changes = { list: [3], inner: { b: 3 }, entry: { type: 'mtls' }, gone: undefined, added: true };
  t.strictSame(overlay(base, changes), {
    kept: 1,
    list: [3],
    inner: { a: 1, b: 3 },
    entry: { type: 'mtls' },
    added: true,
  });
  t.end();
});

t.test('a last line without its end is not yet a line', async (t) => {
  const file = join(t.testdir({}), 'audit.jsonl');
  const follow = followJsonLines(file);
  await writeFile(file, '{"seq":1}\n{"seq":');
  t.same(await readJsonLines(file), [{ seq: 1 }]);
  t.same(await Promise.all([follow(), follow()]), [[{ seq: 1 }], [{ seq: 1 }]]);
  await appendFile(file, '2}\n');
  t.same(await follow(), [{ seq: 1 }, { seq: 2 }]);
  await writeFile(file, '{"seq":3}\n');
  t.same(await follow(), [{ seq: 3 }], 'a shorter file is another one');
});

t.test('what never comes about is an error that says so', async (t) => {
  await t.rejects(
    until(() => false, 'the moon is full', 20),
    { message: 'not within 20 ms: the moon is full' },
  );
});
