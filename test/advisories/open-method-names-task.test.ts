// faults.md C1: methods that open a connection need no rule. A `subscriptions/listen` that names ids of tasks gets with each notification what
// `tasks/get` would give, so whoever may not read a task subscribes to it. Any open method may carry a name in a member that the gateway does not know.
import t, { type Test } from 'tap';
import { startScenario } from '../support/scenario.ts';

const relatedTask = { 'io.modelcontextprotocol/related-task': { taskId: 'task-1' } };

const scenario = await startScenario(
  t,
  {
    routes: {
      '/mcp': {
        mcp: {
          // Whose a cancellation or progress is, is another question.
          replies: 'any',
          rules: [
            { name: 'reads', allow: { methods: ['tasks/get'] }, require: { scopes: ['queries:execute'] } },
            { name: 'schema', allow: { resources: ['superset://schema'] } },
            { name: 'lists', allow: { tools: ['list_dashboards'] } },
          ],
        },
      },
    },
  },
  { inject: true },
);
const { agent, frontend, upstream } = scenario;

const send = (method: string, params: unknown, caller = frontend) =>
  caller.post({ jsonrpc: '2.0', ...(method.startsWith('notifications/') ? {} : { id: 'a-1' }), method, params });

async function refused(t: Test, method: string, params: unknown, expected: object): Promise<void> {
  const before = upstream.requests.length;
  const answer = await send(method, params);
  const label = `${method} ${JSON.stringify(params)}`;
  t.equal(answer.status, 403, label);
  t.equal(upstream.requests.length, before, `${label}: the upstream got nothing`);
  t.match(await scenario.recordOf(answer), { decision: 'deny', status: 403, outcome: 'refused', ...expected }, label);
}

t.test('subscriptions/listen that names ids of tasks needs the right of tasks/get for each', async (t) => {
  const notifications = { toolsListChanged: true, taskIds: ['task-1', 'task-2'] };
  await refused(
    t,
    'subscriptions/listen',
    { notifications },
    {
      reason: 'insufficient_scope',
      rule: 'reads',
      mcp: { method: 'subscriptions/listen', target: ['task-1', 'task-2'] },
    },
  );
  const answer = await send('subscriptions/listen', { notifications }, agent);
  t.equal(answer.status, 200, 'who may read them may listen');
  t.match(await scenario.recordOf(answer), {
    decision: 'allow',
    rule: 'open, reads',
    mcp: { target: ['task-1', 'task-2'] },
  });
  const uris = { resourceSubscriptions: ['superset://schema'], taskIds: ['task-1'] };
  await refused(
    t,
    'subscriptions/listen',
    { notifications: uris },
    {
      reason: 'insufficient_scope',
      mcp: { target: ['superset://schema', 'task-1'] },
    },
  );
});

t.test('a message that `_meta` relates to a task needs the right of tasks/get', async (t) => {
  for (const [method, params, tool] of [
    ['tools/list', {}, undefined],
    ['initialize', { protocolVersion: '2025-11-25', capabilities: {} }, undefined],
    ['notifications/progress', { progressToken: 1, progress: 1 }, undefined],
    ['tools/call', { name: 'list_dashboards', arguments: {} }, 'list_dashboards'],
  ] as const) {
    await refused(
      t,
      method,
      { ...params, _meta: relatedTask },
      {
        reason: 'insufficient_scope',
        rule: 'reads',
        mcp: { method, tool, target: ['task-1'] },
      },
    );
  }
  t.equal((await send('tools/list', { _meta: relatedTask }, agent)).status, 200);
});

t.test('an open method with a member that MCP does not define is not open', async (t) => {
  for (const [method, params] of [
    ['subscriptions/listen', { notifications: { tasks: ['task-1'] } }],
    ['subscriptions/listen', { notifications: { toolsListChanged: ['task-1'] } }],
    ['subscriptions/listen', { notifications: {}, taskIds: ['task-1'] }],
    ['subscriptions/listen', { uri: 'superset://schema' }],
    ['initialize', { protocolVersion: '2025-11-25', capabilities: {}, resume: 'task-1' }],
    ['initialize', { protocolVersion: { taskId: 'task-1' } }],
    ['ping', { taskId: 'task-1' }],
    ['server/discover', { uri: 'superset://secret' }],
    ['logging/setLevel', { level: 'debug', logger: 'task-1' }],
    ['logging/setLevel', { level: ['task-1'] }],
    ['tools/list', { cursor: 'c', name: 'execute_sql' }],
    ['resources/list', { uri: 'superset://secret' }],
    ['resources/templates/list', { cursor: { uri: 'superset://secret' } }],
    ['prompts/list', JSON.parse('{"__proto__":"x"}')],
    ['notifications/initialized', { taskId: 'task-1' }],
    ['notifications/cancelled', { requestId: 1, taskId: 'task-1' }],
    ['notifications/progress', { progressToken: { taskId: 'task-1' }, progress: 1 }],
    ['notifications/roots/list_changed', { roots: ['file:///'] }],
    ['tools/list', { _meta: 'task-1' }],
    ['tools/list', { _meta: { 'io.modelcontextprotocol/task': 'task-1' } }],
    ['tools/list', { _meta: { 'dev.MCP.tools/task': 'task-1' } }],
  ] as const) {
    await refused(t, method, params, {
      reason: 'denied',
      mcp: { method },
      detail: { message: { problem: 'unknown_member' } },
    });
  }
  const ref = { type: 'ref/resource', uri: 'superset://secret' };
  const both = await send('completion/complete', { ref: { type: 'ref/prompt', name: 'tour', uri: ref.uri } });
  t.equal(both.status, 400, 'a reference to two things');
  await refused(t, 'completion/complete', { ref }, { reason: 'denied', mcp: { target: 'superset://secret' } });
});

t.test('what MCP defines, and what implementations keep in `_meta`, passes as it came', async (t) => {
  const meta = { progressToken: 1, traceparent: '00-0-0-00', 'com.example/trace': 'x', 'vscode.requestId': 'r' };
  for (const [method, params] of [
    ['initialize', { protocolVersion: '2025-11-25', capabilities: { tasks: {} }, clientInfo: { name: 'c', x: 1 } }],
    ['tools/list', { cursor: 'page-2', _meta: meta }],
    ['tools/list', { cursor: null, _meta: null }],
    ['ping', undefined],
    ['subscriptions/listen', { notifications: { toolsListChanged: true, promptsListChanged: null } }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: ['superset://schema'] } }],
  ] as const) {
    const answer = await send(method, params);
    t.equal(answer.status, 200, `${method} ${JSON.stringify(params)}`);
    t.strictSame(JSON.parse(upstream.requests.at(-1)!.body.toString()).params, params, method);
  }
  const listening = await send('subscriptions/listen', {
    notifications: { resourceSubscriptions: ['superset://schema'] },
  });
  t.match(await scenario.recordOf(listening), { rule: 'open, schema', mcp: { target: ['superset://schema'] } });
});

t.test('a name of `_meta` as long as the body costs no more than reading it', async (t) => {
  const label = 'mcp.'.repeat(200_000);
  t.equal((await send('ping', { _meta: { [label]: 1 } })).status, 200, 'no prefix at all');
  await refused(t, 'ping', { _meta: { [`${label}a/task`]: 'task-1' } }, { reason: 'denied' });
});
