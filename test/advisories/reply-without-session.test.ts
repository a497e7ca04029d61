// faults.md C6: an upstream that issues no sessions finds the request that an answer, a cancellation or a progress is about by its id alone, and the
// ids of all clients are 1, 2, 3. Anybody could answer what somebody else was asked, or cancel what somebody else has under way.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const release: (() => void)[] = [];
const scenario = await startScenario(
  t,
  {
    routes: {
      '/any': { authenticate: 'corp', mcp: { replies: 'any', rules: [{ allow: { tools: ['list_dashboards'] } }] } },
    },
  },
  {
    async reply({ body }, response) {
      const { id, method } = JSON.parse(body.toString());
      if (method === 'tools/call') await new Promise<void>((resolve) => release.push(resolve));
      if (id === undefined) response.writeHead(202).end();
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  },
);
const { agent, upstream } = scenario;
t.teardown(() => {
  for (const each of release) each();
});

const call = (id: string | number) => ({
  message: { jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'list_dashboards' } },
});
const cancel = (requestId?: unknown) => ({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } });
const progress = (progressToken: unknown) => ({
  jsonrpc: '2.0',
  method: 'notifications/progress',
  params: { progressToken, progress: 1 },
});
const answer = { jsonrpc: '2.0', id: 7, result: { action: 'accept' } };
const stranger = await scenario.as({ claims: { sub: 'bob', client_id: 'ai_agent_prod' } });
const registeredAnew = await scenario.as({ claims: { client_id: 'registered-anew' } });

async function refused(caller: typeof agent, message: object, problem: string, label: string): Promise<void> {
  const seen = upstream.requests.length;
  const result = await caller.post(message, { headers: caller.headers });
  t.equal(result.status, 403, label);
  t.match(JSON.parse(result.text), { id: null, error: { data: { code: 'denied' } } }, label);
  t.equal(upstream.requests.length, seen, `${label}: the upstream got nothing`);
  t.match(
    await scenario.recordOf(result),
    { decision: 'deny', reason: 'denied', status: 403, outcome: 'refused', detail: { session: { problem } } },
    label,
  );
}

async function passed(caller: typeof agent, message: object, label: string, path = '/mcp'): Promise<void> {
  const result = await caller.post(message, { path });
  t.ok(result.status < 300, `${label}: ${result.text}`);
  t.strictSame(JSON.parse(upstream.requests.at(-1)!.body.toString()), message, label);
}

t.test('an answer to a request of the server is taken in a session only', async () => {
  await refused(agent, answer, 'answer_without_session', 'a result');
  const error = { jsonrpc: '2.0', id: 7, error: { code: -1, message: 'declined' } };
  await refused(agent, error, 'answer_without_session', 'an error');
});

t.test('a cancellation or progress is taken from whom the request is of, while it is under way', async () => {
  const own = await scenario.as({ claims: {}, connections: 4 });
  const seen = upstream.requests.length;
  const calls = [own.post(call('call-7').message), own.post(call(8).message)];
  await upstream.received(seen + 2);
  await refused(stranger, cancel('call-7'), 'not_pending', 'of somebody else');
  await refused(stranger, progress(8), 'not_pending', 'progress of somebody else');
  await refused(agent, cancel('8'), 'not_pending', 'of another id');
  await refused(agent, cancel(), 'not_pending', 'of none');
  await refused(agent, cancel(9), 'not_pending', 'of what never was');
  await passed(agent, cancel('call-7'), 'by whom it is of');
  await passed(agent, progress(8), 'progress by whom it is of');
  await passed(registeredAnew, cancel(8), 'by the same person through another client');
  for (const each of release.splice(0)) each();
  await Promise.all(calls);
  await until(async () => (await scenario.metric('portcullis_requests_total', { status: '200' })) >= 2);
  await refused(agent, cancel(8), 'not_pending', 'of what has ended');
});

t.test('a call whose client has left is under way until its answer has been read', async (t) => {
  const seen = upstream.requests.length;
  const leaving = scenario.connect();
  const left = leaving.post(call('left-1').message, { headers: agent.headers });
  await upstream.received(seen + 1);
  leaving.close();
  await t.rejects(left);
  await scenario.record(({ outcome, stage }) => stage === 'completed' && outcome === 'aborted');
  await refused(stranger, cancel('left-1'), 'not_pending', 'of somebody else');
  await passed(agent, cancel('left-1'), 'by whom it is of');
  for (const each of release.splice(0)) each();
});

t.test('`replies: any` opens a route whose upstream knows by itself whose they are', async () => {
  await passed(stranger, answer, 'an answer', '/any');
  await passed(stranger, cancel(99), 'a cancellation', '/any');
  await passed(stranger, progress(99), 'progress', '/any');
});
