// An attacker who can make the SIEM unreachable (a flood, a cut line, a stolen credential that was revoked there) acts while nobody can see it.
// With a required sink, a request whose record the receiver has not acknowledged is not carried out.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

type Line = { readonly seq: number; readonly stage: string; readonly id: string; readonly hash: string };
const records: Line[] = [];
let answer: (response: ServerResponse) => void = (response) => void response.end();
const siem = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const lines: Line[] = Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  answer(response);
  if (response.writableEnded && response.statusCode === 200) records.push(...lines);
});

/** Of the receiver. */
const faults: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'answers 503': (response) => void response.writeHead(503).end(),
  'refuses the credential': (response) => void response.writeHead(401).end(),
  'never answers': () => {},
};

t.test('a required sink http whose receiver does not acknowledge', async (t) => {
  await new Promise<void>((resolve) => siem.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    siem.closeAllConnections();
    siem.close();
  });
  const url = `http://127.0.0.1:${(siem.address() as AddressInfo).port}/in`;
  const auditOf = (timeout: string) => ({
    audit: { sinks: [{ type: 'http', url, headers: { authorization: 'Bearer canary' } }], timeout },
  });
  const s = await startScenario(t, auditOf('30s'), { inject: true, logToFile: true });
  const allowed = await s.agent.call('list_dashboards');
  t.match(
    records.filter(({ id }) => id === allowed.id),
    [{ stage: 'decided' }],
    'its record is acknowledged before it is carried out',
  );
  await s.reload(auditOf('50ms'));
  for (const [name, fault] of Object.entries(faults)) {
    await until(async () => (await s.readiness()).status === 200);
    answer = fault;
    const before = s.upstream.requests.length;
    const refused = await s.agent.call('list_dashboards');
    t.equal(refused.status, 503, name);
    t.match(refused.text, '"code":"audit_unavailable"');
    t.equal(s.upstream.requests.length, before, 'the upstream saw nothing');
    t.match((await s.readiness()).text, 'audit');
    answer = (response) => void response.end();
    siem.closeAllConnections();
  }
  await until(async () => (await s.readiness()).status === 200);
  const taken = new Map(records.map((record) => [record.hash, record.seq]));
  t.same(
    [...taken.values()],
    [...taken].map((_, index) => index + 1),
    'in order, without a gap; the hash tells what came twice',
  );
  t.notOk((await s.log()).includes('canary'), 'the credential stands in no log');
});
