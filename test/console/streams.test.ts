// Streams page of the console: what is open and until when, its filters and bounds, and the orders of an operator.
import { rename, symlink, unlink } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { maxTemporaryRevocations, temporaryRevocationMs } from '../../src/authn/caller/temporary-revocations.ts';
import { maxStreams, type StreamsQuery, streamsFacts } from '../../src/console/streams/facts.ts';
import { firstOf } from '../../src/console/streams/first-of.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

let now = Date.now();
const open: ServerResponse[] = [];
const sunset = '2098-01-01';
const scenario = await startScenario(
  t,
  {
    authenticators: { keys: { type: 'apiKey', sunset, keys: [keyEntry('k1', apiKey)] } },
    audit: { sinks: [{ type: 'file', path: 'audit.jsonl', fsync: 'never' }], timeout: '2s' },
  },
  {
    now: () => now,
    streamTickMs: 10,
    revocationPollMs: 10,
    reply(request, response) {
      const isStream = request.method === 'GET' || request.body.includes('"stream":true');
      const session = request.body.includes('initialize') ? { 'mcp-session-id': 's1' } : {};
      response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json', ...session });
      if (!isStream) return void response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
      open.push(response);
      response.write('data: 1\n\n');
    },
  },
);
const source = streamsFacts(scenario.gateway.parts);
const all: StreamsQuery = { client: '', route: '', sort: 'since' };
const listed = async (query: Partial<StreamsQuery> = {}) => (await source.streams({ ...all, ...query })).streams;
const page = async (query = '') => (await scenario.admin(`/streams${query}`)).text();
/** Of the AI agent, from the first test on. */
const session: Record<string, string> = {};
const listen = () => scenario.agent.hold({ headers: session });
const hostile = '<img src=x onerror=alert(1)>';

t.test(
  'a GET stream, a streamed answer and a session of three clients: whose, since when, how much, until when',
  async (t) => {
    const agent = await scenario.as({ claims: { jti: 'j1', exp: Math.floor(now / 1000) + 600 } });
    const initialized = await agent.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
    session['mcp-session-id'] = String(initialized.headers['mcp-session-id']);
    const listening = await agent.hold({ headers: session });
    const other = await scenario.as({ claims: { client_id: hostile, sub: hostile, jti: undefined } });
    const answering = await other.hold({ message: toolCall('list_dashboards', { stream: true }) });
    const reporting = await scenario.reporting.hold({ path: '/api/x' });
    await Promise.all([listening, answering, reporting].map((stream) => stream.saw('data: 1')));
    const streams = await listed();
    t.match(streams, [
      {
        id: listening.id,
        route: '/mcp',
        kind: 'listening',
        client: 'ai_agent_prod',
        credential: { kind: 'oauth', authenticator: 'corp', id: 'j1' },
        address: '127.0.0.1',
        bytes: 9,
        end: { at: Math.floor(now / 1000) * 1000 + 600_000, why: 'token' },
        isEnding: false,
      },
      { id: answering.id, kind: 'answer', client: hostile, credential: { kind: 'oauth', id: undefined } },
      {
        id: reporting.id,
        route: '/api/*',
        client: 'reporting_tool',
        credential: { kind: 'api-key', authenticator: 'keys', id: 'k1' },
        end: { at: Date.parse(sunset), why: 'sunset' },
      },
    ]);
    t.ok(Math.abs(streams[0]!.since - now) < 120_000);
    const { sessions } = await source.streams(all);
    t.match(sessions, [{ mark: streams[0]!.session, client: 'ai_agent_prod', streams: 1 }]);
    t.match(await scenario.recordOf(initialized), { detail: { session: { id: streams[0]!.session } } });

    t.same(
      (await listed({ client: 'REPORT' })).map(({ id }) => id),
      [reporting.id],
    );
    t.same(
      (await listed({ route: '/mcp', sort: 'client' })).map(({ id }) => id),
      [answering.id, listening.id],
    );
    t.same(
      (await listed({ sort: 'ends' })).map(({ end }) => end?.why),
      ['token', 'token', 'sunset'],
    );
    const text = await page(`?client=agent&sort=bytes`);
    t.match(text, '3 open, 1 of them as asked for');
    t.match(text, /value="agent"/);
    t.notMatch(text, 'reporting_tool');
    const whole = await page();
    t.match(whole, /&(lt|#60);img src/);
    t.notMatch(whole, hostile);
    t.match(whole, 'without an id');
    t.match(await page(`?client=${encodeURIComponent(hostile)}`), /&(lt|#60);img/);
    for (const stream of [listening, answering, reporting]) stream.leave();
    await until(async () => (await source.streams(all)).open === 0, 'they are gone');
    t.match(await page(), 'No stream is open.');
  },
);

t.test(
  'without admin.authenticate the page has no button, and a posted order is 403, does nothing and says what to configure',
  async (t) => {
    const stream = await listen();
    const text = await page(`?stream=${stream.id}`);
    t.match(text, stream.id);
    t.notMatch(text, /<form method="post"/);
    t.match(text, 'admin.authenticate');
    for (const [path, form] of [
      ['/streams/end', { id: stream.id }],
      ['/streams/revoke', { kind: 'api-key', authenticator: 'keys', id: 'k1' }],
    ] as const) {
      const { payload, statusCode } = await scenario.gateway.admin.inject({
        method: 'POST',
        url: path,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams(form).toString(),
      });
      t.equal(statusCode, 403, path);
      t.match(payload, 'admin.authenticate', path);
    }
    open.at(-1)!.write('data: on\n\n');
    await stream.saw('data: on');
    t.equal((await scenario.reporting.call('list_dashboards')).status, 200);
    stream.leave();
  },
);

t.test(
  'a stream that an operator ends: the client sees its end, the records say who, another stream goes on',
  async (t) => {
    const [stream, bystander] = [await listen(), await listen()];
    t.same(await source.endStream({ id: stream.id, by: 'ops@example.com' }), { outcome: 'ended' });
    t.equal(await stream.ended(), 'clean');
    const ended = await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream');
    t.match(ended, { reason: 'operator', detail: { event: 'ended', by: 'ops@example.com' } });
    const ordered = await scenario.record(({ detail }) => detail?.event === 'stream end ordered');
    t.match(ordered, {
      stage: 'config',
      detail: { by: 'ops@example.com', stream: stream.id, route: '/mcp', clientId: 'ai_agent_prod' },
    });
    t.ok(ordered.seq < ended.seq, 'before it is done');
    await scenario.recordOf(stream);
    t.same(await source.endStream({ id: stream.id, by: 'ops' }), { outcome: 'stream_gone' });
    t.same(await source.endStream({ id: 'made-up', by: 'ops' }), { outcome: 'stream_gone' });
    open.at(-1)!.write('data: on\n\n');
    await bystander.saw('data: on');
    bystander.leave();
  },
);

t.test(
  'a key that is revoked for an hour: refused with its code, its streams ended, told everywhere, good again after the hour',
  async (t) => {
    const stream = await scenario.reporting.hold({ path: '/api/x' });
    const bystander = await listen();
    const seen = scenario.upstream.requests.length;
    const credential = { kind: 'api-key', authenticator: 'keys', id: 'k1' } as const;
    const until = now + temporaryRevocationMs;
    t.same(await source.revokeCredential({ credential, by: 'ops' }), { outcome: 'revoked', until, late: [] });
    const refused = await scenario.reporting.call('list_dashboards');
    t.equal(refused.status, 401);
    t.match(await scenario.recordOf(refused), {
      reason: 'invalid_api_key',
      outcome: 'refused',
      detail: { credential: { problem: 'revoked', revokedBy: 'keyId' } },
    });
    t.equal(scenario.upstream.requests.length, seen, 'the upstream saw nothing');
    t.equal(await stream.ended(), 'clean');
    t.match(await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream'), { reason: 'revoked' });
    t.match(await scenario.record(({ detail }) => detail?.event === 'credential revoked'), {
      stage: 'config',
      detail: { by: 'ops', ...credential, until: new Date(until).toISOString() },
    });
    t.match(await scenario.status(), { temporaryRevocations: [{ ...credential, until }] });
    t.equal(await scenario.metric('portcullis_temporary_revocations'), 1);
    t.equal(await scenario.metric('portcullis_authentications_total', { authenticator: 'keys', reason: 'revoked' }), 1);
    t.match(await page(), /key <code>k1<\/code>/);
    open.at(-1)!.write('data: on\n\n');
    await bystander.saw('data: on');
    bystander.leave();
    await scenario.reload({ server: { drainTimeout: '31s' } });
    t.equal((await scenario.reporting.call('list_dashboards')).status, 401, 'after a reload too');
    await scenario.reload();
    now = until;
    await endOfRevocations();
    t.equal((await scenario.reporting.call('list_dashboards')).status, 200);
    t.equal(await scenario.metric('portcullis_temporary_revocations'), 0);
    t.match(await page(), 'No credential is revoked for an hour.');
  },
);

t.test(
  'an authenticator or kind that is none, an empty id, and one too many: nothing is revoked, and the outcome has a name',
  async (t) => {
    const { revocations } = scenario.gateway.parts;
    const key = { kind: 'api-key', authenticator: 'keys', id: 'k1' } as const;
    const token = { kind: 'oauth', authenticator: 'corp', id: 't1' } as const;
    for (const credential of [
      { ...key, authenticator: 'nobody' },
      { ...key, kind: 'oauth' as const },
      { ...key, kind: '__proto__' as 'oauth' },
      { ...key, id: '' },
      { ...key, id: 'x'.repeat(578) },
      { ...key, id: 'no-such-key' },
      { ...token, id: '' },
      { ...token, id: 'x'.repeat(578) },
      { ...token, id: 'a\nb' },
    ])
      t.same(await source.revokeCredential({ credential, by: 'ops' }), { outcome: 'credential_unknown' });
    const many = Array.from({ length: maxTemporaryRevocations }, (_, index) => ({
      ...key,
      id: `other-${index}`,
      by: 'ops',
      until: now + 1,
    }));
    revocations.setTemporary(many);
    t.same(await source.revokeCredential({ credential: key, by: 'ops' }), { outcome: 'revocations_full' });
    await scenario.record(
      ({ detail }) => detail?.event === 'order not carried out' && detail.reason === 'revocations_full',
    );
    t.equal((await scenario.reporting.call('list_dashboards')).status, 200);
    now += 1;
    await endOfRevocations();
  },
);

t.test(
  'orders that cannot be recorded are not carried out, and the records say so once they can be written',
  async (t) => {
    const stream = await scenario.reporting.hold({ path: '/api/x' });
    const file = join(scenario.directory, 'audit.jsonl');
    await rename(file, `${file}-kept`);
    // A link to a device that is full.
    await symlink('/dev/full', file);
    await until(async () => (await scenario.readiness()).status === 503, 'the sink has failed');
    t.same(await source.endStream({ id: stream.id, by: 'ops' }), { outcome: 'audit_unavailable' });
    const credential = { kind: 'api-key', authenticator: 'keys', id: 'k1' } as const;
    t.same(await source.revokeCredential({ credential, by: 'ops' }), { outcome: 'audit_unavailable' });
    t.same(scenario.gateway.parts.revocations.temporary(), []);
    t.match(await source.stream(stream.id), { isEnding: false });
    await unlink(file);
    await rename(`${file}-kept`, file);
    await until(async () => (await scenario.readiness()).status === 200, 'it has mended');
    open.at(-1)!.write('data: on\n\n');
    await stream.saw('data: on');
    stream.leave();
    const orders = await scenario.matchingRecords(
      2,
      ({ detail }) => detail?.event === 'order not carried out' && detail.reason === 'audit_unavailable',
    );
    t.match(
      orders.map(({ detail }) => detail?.order),
      ['stream end ordered', 'credential revoked'],
    );
  },
);

t.test('500 streams in one answer: the first ones of the order, and the count of all that match', (t) => {
  const members = Array.from({ length: 500 }, (_, index) => (index * 7919) % 500);
  const { first, matching } = firstOf(
    members,
    maxStreams,
    (each) => each % 2 === 0,
    (one, other) => other - one,
  );
  t.equal(matching, 250);
  t.same(
    first,
    Array.from({ length: maxStreams }, (_, index) => 498 - 2 * index),
  );
  t.same(
    firstOf(
      [],
      3,
      () => true,
      () => 0,
    ),
    { matching: 0, first: [] },
  );
  t.end();
});

function endOfRevocations(): Promise<void> {
  return until(() => scenario.gateway.parts.revocations.temporary().length === 0, 'the revocations have ended');
}
