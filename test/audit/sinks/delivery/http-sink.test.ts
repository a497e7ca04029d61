// The http sink behind an audit log: one poisoned record among others, a credential changed by a reload, an export that is verified.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { httpSink } from '../../../../src/audit/sinks/http/http-sink.ts';
import { until } from '../../../support/until.ts';
import { breakOf, configOf, eventOf, openLog } from '../../support.ts';
import { environment } from './support.ts';

/** A receiver that keeps the bodies it acknowledges; `judge` says the status. */
async function startReceiver(t: Test, judge: (body: string, authorization: string) => number = () => 200) {
  const receiver = { judge, bodies: [] as string[] };
  const server = createServer(async (request, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const status = receiver.judge(body, request.headers.authorization ?? '');
    if (status === 200) receiver.bodies.push(body);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`;
  const records = () =>
    receiver.bodies.flatMap((body) =>
      body
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
  const sink = (more: object = {}) => httpSink.schema.parse({ type: 'http', url, ...more });
  return Object.assign(receiver, { records, sink });
}

t.test('400 for one poisoned record: its batch is refused, and the sink works on', async (t) => {
  const receiver = await startReceiver(t, (body) => (body.includes('poison') ? 400 : 200));
  const log = await openLog(configOf([receiver.sink()]));
  const good = ['r1', 'r2', 'r3'].map((id) => eventOf(id));
  const poison = eventOf('poison', { stage: 'config' });
  const written = await Promise.allSettled([...good.slice(0, 2), poison, good[2]!].map((event) => log.write(event)));
  t.ok(written.some(({ status }) => status === 'rejected'));
  t.ok(log.healthy(), 'nobody who poisons a record makes the gateway not ready');
  await log.write(eventOf('after'));
  await log.close();
  const told = receiver.records();
  t.same(
    told.map(({ id }) => id).filter((id) => id.length < 6),
    ['r1', 'r2', 'r3', 'after'],
  );
  t.match(
    told.filter(({ reason }) => reason === 'receiver_refused'),
    [{ detail: { record: { seq: 3 } } }],
  );
  t.equal(told.filter(({ reason }) => reason === 'recovered').length, 0);
});

t.test('401, then a reload with another credential: what waited arrives, and the chain is whole', async (t) => {
  const receiver = await startReceiver(t, (_body, authorization) => (authorization === 'Bearer new' ? 200 : 401));
  const spool = { path: join(t.testdir({}), 'spool'), bytes: '1MiB' };
  const configured = (token: string) =>
    configOf([receiver.sink({ headers: { authorization: token }, required: false, spool })]);
  const log = await openLog(configured('Bearer old'));
  await log.write(eventOf('r1'));
  await until(() => log.deliveries()[0]?.problem !== undefined);
  t.match(log.deliveries(), [{ type: 'http', required: false, problem: /answered 401: look at the credential/ }]);
  t.ok(log.healthy());
  (await log.prepare(configured('Bearer new'))).commit();
  await until(() => log.deliveries()[0]!.bytes === 0);
  t.equal(log.deliveries()[0]!.problem, undefined);
  await log.close();
  t.match(receiver.records(), [{ id: 'r1', seq: 1 }]);
});

t.test(
  'an export of ECS documents, out of order and with repetitions, is sorted as the page says, and verified',
  async (t) => {
    const receiver = await startReceiver(t);
    const log = await openLog(configOf([receiver.sink({ format: 'ecs' })]));
    for (let count = 1; count <= 12; count += 1) await log.write(eventOf(`r${count}`));
    await log.close();
    const exported = [...receiver.records(), ...receiver.records().slice(3, 7)].reverse();
    const lines = exported.map(({ event }) => `${event.original}\n`).join('');
    const sorted = execFileSync('sh', ['-c', 'sort -u | sort -s -t: -k2,2n'], { input: lines }).toString();
    const path = join(t.testdir({}), 'chain.jsonl');
    writeFileSync(path, sorted);
    t.equal(sorted.split('\n').length, 13);
    t.equal(await breakOf(path), undefined);
    writeFileSync(path, sorted.replace(/^.*"r5".*\n/m, ''));
    t.ok(await breakOf(path), 'a record that is missing shows');
  },
);

t.test('a url with a secret in its path or query names the sink without it', async (t) => {
  const secret = 'ZaVnC4dhaV1-canary-canary-canary';
  const key = httpSink.key(
    httpSink.schema.parse({ type: 'http', url: `https://siem.example.com/v1/${secret}?t=${secret}` }),
  );
  t.match(key, /^https:\/\/siem\.example\.com\/v1\/~[0-9a-f]{8}$/);
});

t.test('check --online asks a receiver without a record', async (t) => {
  const receiver = await startReceiver(t);
  const probe = () => httpSink.probe(receiver.sink(), environment);
  t.match(await probe(), /answers and accepts/);
  receiver.judge = () => 400;
  t.match(await probe(), /answers and accepts/, 'it misses a record');
  receiver.judge = () => 403;
  await t.rejects(probe(), { message: /answered 403: look at the credential/ });
  t.same(receiver.bodies, ['']);
});
