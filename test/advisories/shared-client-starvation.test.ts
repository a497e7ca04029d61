// One person takes every slot of an upstream: with slow calls through an application whose client id everybody shares, with one client id after
// another (dynamic registration), or with calls whose connections are closed and whose answers are still read.
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { toolCall } from '../support/client.ts';
import type { Changes, Configuration } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const call = toolCall('list_dashboards');
const app = 'shared_app';

/** A gateway whose upstream answers only when told so, under the default limits and these. */
async function begin(t: Test, limits: Configuration = {}, changes: Changes = {}) {
  const waiting: ServerResponse[] = [];
  const scenario = await startScenario(
    t,
    { upstreams: { superset: { limits } }, ...changes },
    { reply: (_request, response) => void waiting.push(response) },
  );
  const person = (sub: string, client_id = app) => scenario.as({ claims: { sub, client_id }, connections: 64 });
  const heads = (count: number) =>
    until(() => {
      for (const response of waiting) {
        if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      }
      return waiting.length >= count;
    });
  /** Calls that are answered by a stream, which the client holds. */
  const holdCalls = async (caller: Awaited<ReturnType<typeof person>>, count: number) => {
    const before = waiting.length;
    const held = Array.from({ length: count }, () => caller.hold({ message: call }));
    await heads(before + count);
    return Promise.all(held);
  };
  return { ...scenario, waiting, person, holdCalls };
}

t.test(
  '8 slow calls of one person through a shared client id: others go on, and so does the person once the connections are closed',
  async (t) => {
    const scenario = await begin(t);
    const { upstream, waiting, person, holdCalls } = scenario;
    const [alice, bob] = [await person('alice'), await person('bob')];
    const calls = await holdCalls(alice, 8);
    const refused = await alice.post(call);
    t.match(refused, { status: 503, headers: { 'retry-after': '1' } });
    t.match(JSON.parse(refused.text), {
      error: { data: { code: 'overloaded' }, message: /too many requests under way/ },
    });
    t.match(await scenario.recordsOf(refused), [
      { reason: 'overloaded', status: 503, outcome: 'refused', detail: { limit: 'concurrency_per_subject' } },
    ]);
    t.equal(upstream.requests.length, 8, 'the upstream saw nothing of it');
    t.equal(await scenario.metric('portcullis_overloads_total', { limit: 'concurrency_per_subject' }), 1);

    const others = await holdCalls(bob, 8);
    t.match(others[7], { response: { statusCode: 200 } }, 'somebody else of the same client');

    for (const each of calls) each.leave();
    await until(() => waiting.slice(0, 8).filter(({ destroyed }) => destroyed).length === 4, 'four calls are ended');
    const again = await holdCalls(alice, 8);
    t.match(again[7], { response: { statusCode: 200 } }, 'the same person, with four drains beside it');
    const records = await Promise.all(calls.map((each) => scenario.recordOf(each)));
    t.same(
      records.map(({ detail }) => (detail as { limit?: string } | undefined)?.limit).filter((limit) => limit).length,
      4,
      'the records of ended calls name the limit',
    );
    t.equal(await scenario.metric('portcullis_overloads_total', { limit: 'drains_per_subject' }), 4);
    for (const response of waiting) response.end();
    await until(async () => (await scenario.status()).openRequests === 0, 'the drains end with their answers');
  },
);

t.test('one person with 30 client ids has the slots of one person, for calls and for streams', async (t) => {
  const scenario = await begin(t, { streamsPerSubject: 2 });
  const { upstream, person, holdCalls, waiting } = scenario;
  const clients = await Promise.all(Array.from({ length: 30 }, (_, index) => person('alice', `client-${index}`)));
  for (const client of clients.slice(0, 8)) await holdCalls(client, 1);
  const beyond = await Promise.all(clients.slice(8).map((client) => client.post(call)));
  t.same(new Set(beyond.map(({ status }) => status)), new Set([503]));
  t.equal(upstream.requests.length, 8);
  const opening = clients.slice(0, 2).map((client) => client.hold());
  await until(() => waiting.length === 10);
  for (const response of waiting.slice(8))
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  await Promise.all(opening);
  t.match(await clients[2]!.send({ path: '/mcp' }), { status: 503 }, 'a third stream');
  t.equal(upstream.requests.length, 10);
  t.match(await holdCalls(await person('bob'), 8), Array(8).fill({ response: { statusCode: 200 } }));
});

t.test('the calls that all people together have left behind are bounded, beside `concurrency`', async (t) => {
  const scenario = await begin(t, { concurrency: 8, drains: 3, drainsPerSubject: 2 });
  const { waiting, person, holdCalls } = scenario;
  const people = await Promise.all(['alice', 'bob', 'carol', 'dave'].map((name) => person(name)));
  for (const [index, caller] of people.entries()) {
    for (const each of await holdCalls(caller, 2)) each.leave();
    const ended = Math.max(0, 2 * (index + 1) - 3);
    await until(() => waiting.filter(({ destroyed }) => destroyed).length === ended, `${ended} calls are ended`);
  }
  t.match(await holdCalls(await person('erin'), 8), Array(8).fill({ response: { statusCode: 200 } }));
});

t.test('an address without a credential has the slots of one person', async (t) => {
  const { as, upstream, waiting } = await begin(t, { concurrencyPerSubject: 1 });
  const anybody = await as({ connections: 4 });
  const first = anybody.send({ path: '/open/x' });
  await upstream.received(1);
  t.match(await anybody.send({ path: '/open/x' }), { status: 503 });
  t.equal(upstream.requests.length, 1);
  waiting[0]!.end();
  t.match(await first, { status: 200 });
});

t.test('the addresses of one IPv6 /64 have the slots of one person', async (t) => {
  const limits = { concurrencyPerSubject: 1 };
  const scenario = await begin(t, limits, { server: { trustedProxies: ['127.0.0.1'] } });
  const { as, upstream, waiting } = scenario;
  const anybody = await as({ connections: 4 });
  const from = (address: string) => anybody.send({ path: '/open/x', headers: { 'x-forwarded-for': address } });
  const first = from('2001:db8:1:2::1');
  await upstream.received(1);
  const refused = await from('2001:db8:1:2:ffff::9');
  t.match(refused, { status: 503 });
  t.match(await scenario.recordsOf(refused), [
    { client: { address: '2001:db8:1:2:ffff::9' }, detail: { limit: 'concurrency_per_subject' } },
  ]);
  t.equal(upstream.requests.length, 1);
  const other = from('2001:db8:1:3::1');
  await upstream.received(2);
  for (const response of waiting) response.end();
  t.match(await Promise.all([first, other]), [{ status: 200 }, { status: 200 }]);
});

t.test('a file that sets the limits of a client alone keeps its meaning', async (t) => {
  const { person, holdCalls, upstream } = await begin(t, { concurrencyPerClient: 12, streamsPerClient: 1 });
  const [alice, bob] = [await person('alice'), await person('bob')];
  await holdCalls(alice, 12);
  t.match(await bob.post(call), { status: 503 }, 'the whole client is bounded');
  t.equal(upstream.requests.length, 12);
});
