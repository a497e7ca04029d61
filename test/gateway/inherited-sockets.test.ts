// Inherited listening sockets: who they are for, by the variables of the service manager, and that their address is the configured one.
import { openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastify from 'fastify';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { takeInheritedSockets } from '../../src/gateway/listeners/inherited-sockets.ts';
import { listenOn } from '../../src/gateway/listeners/listen.ts';
import { holdSocket } from '../support/held-socket.ts';

const pid = 4711;
const given = (env: NodeJS.ProcessEnv) => takeInheritedSockets({ LISTEN_PID: `${pid}`, ...env }, pid);

t.test('sockets go to the listeners of their names', async (t) => {
  t.same(given({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'public:admin' }), { public: 3, admin: 4 });
  t.same(given({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'admin:public' }), { admin: 3, public: 4 });
  t.same(given({ LISTEN_FDS: '1' }), { public: 3 }, 'a single one without a name is the public one');
  t.same(
    given({ LISTEN_FDS: '1', LISTEN_FDNAMES: 'portcullis.socket' }),
    { public: 3 },
    'as is one with the name of its unit',
  );
  t.same(given({ LISTEN_FDS: '1', LISTEN_FDNAMES: 'admin' }), { admin: 3 });
});

t.test('there are none where nothing is handed over, or to another process', async (t) => {
  t.same(takeInheritedSockets({}, pid), {});
  t.same(takeInheritedSockets({ LISTEN_FDS: '1' }, pid), {});
  t.same(takeInheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '1' }, pid), {});
});

t.test('children get none of the variables', async (t) => {
  const env = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'public', LISTEN_PIDFDID: '7', PATH: '/bin' };
  takeInheritedSockets(env, pid);
  t.same(env, { PATH: '/bin' });
});

for (const [env, message] of [
  [{ LISTEN_FDS: '0' }, /^LISTEN_FDS: expected a number above zero$/],
  [{ LISTEN_FDS: '-1' }, /^LISTEN_FDS: /],
  [{ LISTEN_FDS: '1x' }, /^LISTEN_FDS: /],
  [{ LISTEN_FDS: '1', LISTEN_PID: 'self' }, /^LISTEN_PID: /],
  [{ LISTEN_FDS: '2', LISTEN_FDNAMES: 'public' }, /^LISTEN_FDNAMES: there are 1 names for 2 sockets$/],
  [{ LISTEN_FDS: '2' }, /^LISTEN_FDNAMES: of several sockets one is called public and one admin/],
  [{ LISTEN_FDS: '2', LISTEN_FDNAMES: 'public:public' }, /^LISTEN_FDNAMES: /],
  [{ LISTEN_FDS: '2', LISTEN_FDNAMES: 'public:other' }, /^LISTEN_FDNAMES: /],
  [{ LISTEN_FDS: '3', LISTEN_FDNAMES: 'public:admin:public' }, /^LISTEN_FDNAMES: /],
] as const) {
  t.test(`${JSON.stringify(env)} is refused`, async (t) => void t.throws(() => given(env), { message }));
}

function app(t: Test) {
  const listener = fastify({ forceCloseConnections: true });
  listener.get('/', () => 'here');
  t.teardown(() => listener.close());
  return listener;
}

async function statusAt(url: string, connect: Agent.Options['connect'] = {}): Promise<number> {
  const dispatcher = new Agent({ connect });
  const { body, statusCode } = await request(url, { dispatcher });
  await body.dump();
  await dispatcher.close();
  return statusCode;
}

t.test('an inherited socket with the configured address is listened on', async (t) => {
  const { fd, port } = holdSocket('127.0.0.1');
  t.same(await listenOn(app(t), `127.0.0.1:${port}`, 'server.listen', fd), {
    address: '127.0.0.1',
    family: 'IPv4',
    port,
  });
  t.equal(await statusAt(`http://127.0.0.1:${port}`), 200);
});

t.test('a name is compared by its addresses', async (t) => {
  const { fd, port } = holdSocket('127.0.0.1');
  t.equal((await listenOn(app(t), `localhost:${port}`, 'server.listen', fd)).port, port);
  t.equal(await statusAt(`http://127.0.0.1:${port}`), 200);
});

t.test('an inherited unix socket is compared by its path, which stays', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'gateway.sock');
  const { fd } = holdSocket(path);
  const listener = app(t);
  t.same(await listenOn(listener, `unix:${path}`, 'server.listen', fd), {
    address: `unix:${path}`,
    family: 'unix',
    port: 0,
  });
  t.equal(await statusAt('http://localhost', { socketPath: path }), 200);
  const other = holdSocket(join(directory, 'other.sock'));
  await t.rejects(listenOn(app(t), `unix:${path}`, 'server.listen', other.fd), {
    message: new RegExp(
      `^server.listen: unix:${path} is not the address of the inherited socket, which is unix:.*other.sock; `,
    ),
  });
});

t.test('a socket for all interfaces is no loopback listener, which may go without TLS', async (t) => {
  const { fd, port } = holdSocket('0.0.0.0');
  await t.rejects(listenOn(app(t), `127.0.0.1:${port}`, 'server.listen', fd), {
    message: `server.listen: 127.0.0.1:${port} is not the address of the inherited socket, which is 0.0.0.0:${port}; write the same here and in ListenStream= of its unit`,
  });
  await t.rejects(statusAt(`http://127.0.0.1:${port}`), { code: 'ECONNREFUSED' }, 'nothing is served there');
});

t.test('another port, and another family, are not the configured address', async (t) => {
  const { fd, port } = holdSocket('127.0.0.1');
  await t.rejects(listenOn(app(t), '127.0.0.1:1', 'admin.listen', fd), {
    message: /^admin\.listen: 127\.0\.0\.1:1 is not /,
  });
  const again = holdSocket('127.0.0.1');
  await t.rejects(listenOn(app(t), `[::1]:${again.port}`, 'admin.listen', again.fd), {
    message: /which is 127\.0\.0\.1:/,
  });
  const third = holdSocket('127.0.0.1');
  await t.rejects(listenOn(app(t), 'unix:/run/none.sock', 'admin.listen', third.fd), {
    message: /which is 127\.0\.0\.1:/,
  });
  t.not(port, 1);
});

t.test('a descriptor that is no socket is named', async (t) => {
  const fd = openSync('/dev/null', 'r');
  await t.rejects(listenOn(app(t), '127.0.0.1:8443', 'server.listen', fd), {
    message: `server.listen: 127.0.0.1:8443 is inherited as descriptor ${fd}, which is no listening stream socket`,
  });
});
