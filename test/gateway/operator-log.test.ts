// The operator's log: level names, ECS, text for people, and one line for each request at `debug`.
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLog, type LogFormat } from '../../src/log.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

/** What is written in a format. */
function written(t: Test, format: LogFormat, write: (log: ReturnType<typeof createLog>) => void): string {
  const file = join(t.testdir(), 'log');
  const fd = openSync(file, 'w');
  write(createLog({ format, fd, level: 'debug' }));
  closeSync(fd);
  return readFileSync(file, 'utf8');
}

t.test('json: levels have names', async (t) => {
  const lines = written(t, 'json', (log) => {
    log.warn({ code: 'bad_upstream' }, 'no answer');
    log.child({ id: 'r1' }).error('broken');
  });
  const [first, second] = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(first, { level: 'warn', code: 'bad_upstream', msg: 'no answer', time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/ });
  t.match(second, { level: 'error', id: 'r1', msg: 'broken' });
});

t.test('ecs: the fields of the Elastic Common Schema', async (t) => {
  const line = written(t, 'ecs', (log) =>
    log.warn({ err: new TypeError('no answer'), traceId: 'a'.repeat(32), code: 'bad_upstream' }, 'failed'),
  );
  t.match(JSON.parse(line), {
    '@timestamp': /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    'log.level': 'warn',
    'ecs.version': '8.11.0',
    'service.name': 'portcullis',
    message: 'failed',
    'error.type': 'TypeError',
    'error.message': 'no answer',
    'error.stack_trace': /^TypeError: no answer\n/,
    'trace.id': 'a'.repeat(32),
    portcullis: { code: 'bad_upstream' },
  });
});

t.test('pretty: text, with what a terminal acts on as escapes', async (t) => {
  const text = written(t, 'pretty', (log) => log.warn({ host: '\u009b31m\nWARN: forged' }, 'another host\u001b[2J'));
  t.match(text, /^\[[\d:.]+\] WARN: another host\\u001b\[2J\n/);
  t.notMatch(text, /(?!\n)\p{Cc}|^WARN: forged/mu);
});

t.test('debug: one line for each request, with its client and decision, and no secret', async (t) => {
  const { agent, anybody, log, reporting } = await startScenario(t, {}, { inject: true, logToFile: true });
  const allowed = await agent.call('list_dashboards', { secret: 'in an argument' });
  const denied = await reporting.call('execute_sql');
  const unknown = await anybody.send({ path: '/nowhere?access=hidden-in-the-query' });
  const lines = async () => (await log()).split('\n').filter((line) => line.includes('"msg":"request"'));
  await until(async () => (await lines()).length === 3, 'three lines');
  const of = async (id: string) => JSON.parse((await lines()).find((line) => line.includes(id))!);
  const call = { level: 'debug', route: '/mcp', method: 'POST', mcpMethod: 'tools/call' };
  t.match(await of(allowed.id), { ...call, client: 'ai_agent_prod', tool: 'list_dashboards', decision: 'allow' });
  t.match(await of(denied.id), {
    ...call,
    client: 'reporting_tool',
    tool: 'execute_sql',
    decision: 'deny',
    code: 'denied',
    status: denied.status,
    outcome: 'refused',
  });
  t.match(await of(unknown.id), { decision: 'deny', code: 'not_found', status: 404, outcome: 'refused' });
  const secrets = [agent.headers.authorization!.slice(7), reporting.headers.authorization!.slice(7)];
  for (const secret of [...secrets, 'in an argument', 'hidden-in-the-query']) t.notMatch(await log(), secret);
});
