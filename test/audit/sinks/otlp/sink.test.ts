// The OTLP sink over a real socket: the answers of a collector, also a partial success, and what the configuration may say.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { SinkConfig } from '../../../../src/audit/sinks/sink-types.ts';
import { fileOf, linesOf as problemsOf } from '../../../config/support.ts';
import { until } from '../../../support/until.ts';
import { configOf, eventOf, openLog } from '../../support.ts';
import { type DecodedLog, decodeLogs } from './decode.ts';

type Answer = (logs: readonly DecodedLog[], response: ServerResponse) => void;

const accept: Answer = (_logs, response) => response.end('{}');

/** A collector that takes what `answer` does not refuse. */
async function startCollector(t: Test) {
  const collector = { answer: accept, paths: [] as string[], tries: [] as string[][] };
  const server = createServer(async (request, response) => {
    collector.paths.push(
      `${request.method} ${request.url} ${request.headers['content-type']} ${request.headers['x-key']}`,
    );
    const logs = decodeLogs((await request.toArray()).join(''));
    collector.tries.push(logs.map(({ body }) => JSON.parse(body).id));
    collector.answer(logs, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sink = (more: Partial<Extract<SinkConfig, { type: 'otlp' }>> = {}): SinkConfig => {
    return { type: 'otlp', endpoint, headers: { 'x-key': 'k' }, required: true, insecure: false, ...more };
  };
  return Object.assign(collector, { endpoint, sink });
}

/** Pauses are noted, and over at once. */
function hasty() {
  const pauses: number[] = [];
  return {
    pauses,
    random: () => 0,
    async wait(ms: number, signal: AbortSignal) {
      pauses.push(ms);
      await new Promise(setImmediate);
      signal.throwIfAborted();
    },
  };
}

t.test('a record is written once the collector has taken it, at /v1/logs below the endpoint', async (t) => {
  const collector = await startCollector(t);
  const log = await openLog(configOf([collector.sink()]), hasty());
  await log.write(eventOf('r1'));
  await log.close();
  const under = await openLog(configOf([collector.sink({ endpoint: `${collector.endpoint}/otlp/` })]), hasty());
  await under.write(eventOf('r2'));
  await under.close();
  const whole = await openLog(configOf([collector.sink({ endpoint: `${collector.endpoint}/v1/logs` })]), hasty());
  await whole.write(eventOf('r3'));
  await whole.close();
  t.strictSame(collector.tries, [['r1'], ['r2'], ['r3']]);
  t.strictSame(
    collector.paths,
    ['/v1/logs', '/otlp/v1/logs', '/v1/logs'].map((path) => `POST ${path} application/json k`),
  );
});

t.test('503 with Retry-After, 401 and a page are tried again, in order; the operator reads why', async (t) => {
  const collector = await startCollector(t);
  const timer = hasty();
  const log = await openLog(configOf([collector.sink({ required: false })]), timer);
  const failures: Answer[] = [
    (_logs, response) => response.writeHead(503, { 'retry-after': '7' }).end(),
    (_logs, response) => response.writeHead(401).end(),
    (_logs, response) => response.end('<html>'),
  ];
  const problems: (string | undefined)[] = [];
  collector.answer = (logs, response) => {
    problems.push(log.deliveries()[0]?.problem?.replace(/^\S+ /, ''));
    (failures.shift() ?? accept)(logs, response);
  };
  await log.write(eventOf('r1'));
  await until(() => log.deliveries()[0]?.bytes === 0, 'the record');
  t.strictSame(collector.tries, [['r1'], ['r1'], ['r1'], ['r1']]);
  t.strictSame(problems, [
    undefined,
    'answered 503',
    'answered 401: look at the credential in headers',
    'answered 200, but as no collector does; look at the path of endpoint',
  ]);
  t.strictSame(timer.pauses.slice(0, 3), [7000, 0, 0]);
  await log.close();
});

t.test(
  'a partial success: the batch goes in halves, the rejected record is told, and the others are there',
  async (t) => {
    const collector = await startCollector(t);
    const taken = new Set<string>();
    collector.answer = (logs, response) => {
      const rejected = logs.filter(({ body }) => JSON.parse(body).id === 'r3');
      for (const log of logs) if (!rejected.includes(log)) taken.add(log.attributes['log.record.uid']!);
      const partialSuccess = { rejectedLogRecords: String(rejected.length), errorMessage: 'too old\u001b' };
      response.end(JSON.stringify(rejected.length > 0 ? { partialSuccess } : { partialSuccess: {} }));
    };
    const log = await openLog(configOf([collector.sink({ required: false })], { onFailure: 'continue' }), hasty());
    const ids = ['r1', 'r2', 'r3', 'r4', 'r5'];
    await Promise.all(ids.map((id) => log.write(eventOf(id))));
    await until(() => log.deliveries()[0]?.bytes === 0 && taken.size >= 4, 'the other records');
    await log.write(eventOf('r6'));
    await until(
      () => taken.size >= 6 && log.deliveries()[0]?.bytes === 0,
      'the next record, and that of the rejected one',
    );
    await log.close();
    t.ok(
      collector.tries.some((ids) => ids.length === 1 && ids[0] === 'r3'),
      'it was sent alone',
    );
    t.equal(taken.size, 6);
  },
);

t.test('a required record that the collector rejects is refused', async (t) => {
  const collector = await startCollector(t);
  collector.answer = (_logs, response) =>
    response.end('{"partialSuccess":{"rejectedLogRecords":1,"errorMessage":"no"}}');
  const log = await openLog(configOf([collector.sink()]), hasty());
  await t.rejects(log.write(eventOf('r1')), { code: 'audit_unavailable' });
  t.match(log.problem(), /rejects 1 log records: no$/);
  collector.answer = accept;
  await until(() => log.healthy(), 'the sink works again');
  await log.close();
});

t.test(
  'otlp: an endpoint with TLS, or on loopback, or insecure; headers that are not the protocol\u2019s',
  async (t) => {
    const problems = async (sink: string) => {
      const lines = await problemsOf(t.testdir(), fileOf({ audit: `{sinks: [{type: otlp, ${sink}}]}` }));
      return lines.map((line) => line.replace(/gateway\.yaml:\S+ audit\.sinks\[0\]\.?/, ''));
    };
    t.same(await problems('endpoint: "https://collector:4318", headers: {authorization: "Bearer x"}'), []);
    t.same(await problems('endpoint: "http://127.0.0.1:4318"'), []);
    t.same(await problems('endpoint: "http://collector:4318"'), [
      'endpoint: plain http is accepted on loopback only; use https, or insecure: true',
    ]);
    t.same(await problems('endpoint: "http://collector:4318", insecure: true'), [
      'warning: endpoint: is plain http: records and the headers can be read on the way',
    ]);
    t.same(await problems('endpoint: "https://collector:4318", headers: {content-type: text/plain}'), [
      'headers: "content-type" is set by the sink',
    ]);
    t.match(await problems('endpoint: "collector:4317"'), [/^endpoint: expected an http\(s\) URL/]);
  },
);
