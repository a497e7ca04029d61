// Attack: somebody resets his connections while the console authenticates him, so that each of them is kept and asked about again for ever, with
// false refusals in the audit log; or he uses up the rate of an address, so that the streams of others there end.
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { mock } from 'node:test';
import fastify from 'fastify';
import t from 'tap';
import type { AccessSource } from '../../src/console/access/facts.ts';
import { guardConsole } from '../../src/console/access/guard.ts';
import type { ConsoleCaller, ConsoleOutcome } from '../../src/console/access/request.ts';

const caller: ConsoleCaller = {
  name: 'ada',
  key: 'ada',
  principal: {
    kind: 'oauth',
    authenticator: 'staff',
    subject: 'ada',
    scopes: [],
    claims: {},
  } as unknown as ConsoleCaller['principal'],
};
const recheckMs = 4000;

/** A console with one page that stays open, and a source that answers when it is told to. */
async function startConsole(t: Tap) {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const asked: ((outcome: ConsoleOutcome<ConsoleCaller>) => void)[] = [];
  let seen = (): void => {};
  const source = {
    authorize: () =>
      new Promise<ConsoleOutcome<ConsoleCaller>>((resolve) => {
        asked.push(resolve);
        seen();
      }),
  } as unknown as AccessSource;
  const app = fastify();
  t.teardown(() => app.close());
  const admin = { listen: '127.0.0.1:0', authenticate: 'staff' } as never;
  guardConsole(app, { admin: () => admin, isServedHost: () => false, source: () => source, now: Date.now });
  let shown = 0;
  app.get('/', (_request, reply) => {
    shown += 1;
    reply.hijack();
    reply.raw.writeHead(200).write('open\n');
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  return {
    asked,
    shown: () => shown,
    /** Sends requests on one connection; `accepted` is the gateway's end of it. */
    async send(requests = 1) {
      const arrived = once(app.server, 'connection');
      const client = connect(port, '127.0.0.1').on('error', () => {});
      t.teardown(() => client.destroy());
      const [accepted] = (await arrived) as [Socket];
      const authorized = new Promise<void>((resolve) => (seen = () => asked.length >= requests && resolve()));
      client.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(requests));
      await authorized;
      return { client, accepted };
    },
  };
}

type Tap = typeof t;
const settled = () => new Promise((resolve) => setImmediate(resolve));

for (const requests of [1, 2]) {
  t.test(`a connection that is reset while ${requests} of its requests are authenticated leaves nothing`, async (t) => {
    const { asked, send, shown } = await startConsole(t as Tap);
    const { accepted, client } = await send(requests);
    const closed = new Promise((resolve) => accepted.once('close', resolve));
    client.resetAndDestroy();
    await closed;
    for (const answer of asked.splice(0)) answer({ ok: caller });
    await settled();
    t.equal(shown(), 0, 'no page is made');
    mock.timers.tick(recheckMs);
    await settled();
    t.equal(asked.length, 0, 'nobody is asked about it again');
  });
}

t.test('what is open ends when the right is gone, also where that is answered 429, and not for a rate', async (t) => {
  const { asked, send } = await startConsole(t as Tap);
  const { client } = await send();
  const data = once(client, 'data');
  asked.pop()!({ ok: caller });
  await data;
  const recheck = async (causeStatus: number) => {
    mock.timers.tick(recheckMs);
    await settled();
    const refused = { status: 429, causeStatus, code: 'rate_limited', message: '', headers: {} };
    t.equal(asked.length, 1);
    asked.pop()!({ refused });
  };
  await recheck(429);
  await settled();
  t.notOk(client.destroyed);
  const closed = once(client, 'close');
  await recheck(401);
  await closed;
  mock.timers.tick(recheckMs);
  await settled();
  t.equal(asked.length, 0);
});
