// Binding of listeners: the addresses that cannot be had are named by their key, and a socket file of a dead process is replaced.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import t, { type Test } from 'tap';
import { Agent, request } from 'undici';
import { listenOn } from '../../src/gateway/listeners/listen.ts';

/** A system that refuses every address with this error. */
const refusing = (code: string) => ({
  listen: () => Promise.reject(Object.assign(new Error(`listen ${code}`), { code })),
  server: { address: () => null, close: () => {} },
  log: { level: 'silent' },
});

t.test('a port without the right to it is named with its key', async (t) => {
  await t.rejects(listenOn(refusing('EACCES'), '127.0.0.1:443', 'server.listen'), {
    message:
      'server.listen: 127.0.0.1:443 may not be used by this account: ports below 1024 need a right of their own (CAP_NET_BIND_SERVICE)',
  });
});

t.test('what nobody foresaw is told in the words of the system, with its key', async (t) => {
  await t.rejects(listenOn(refusing('EINVAL'), '127.0.0.1:443', 'admin.listen'), {
    message: 'admin.listen: 127.0.0.1:443 cannot be listened on: listen EINVAL',
  });
});

async function socketPath(t: Test, name = 'gateway.sock'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return join(directory, name);
}

/** Listens with a server of Fastify until the test ends. */
async function listen(t: Test, path: string): Promise<FastifyInstance> {
  const app = fastify({ forceCloseConnections: true });
  t.teardown(() => app.close());
  app.get('/', () => 'here');
  t.same(await listenOn(app, `unix:${path}`, 'server.listen'), { address: `unix:${path}`, family: 'unix', port: 0 });
  return app;
}

/** The status of an answer over the socket. */
async function answerOn(path: string): Promise<number> {
  const dispatcher = new Agent({ connect: { socketPath: path } });
  const { body, statusCode } = await request('http://localhost/', { dispatcher });
  await body.dump();
  await dispatcher.close();
  return statusCode;
}

t.test('a unix socket is for its owner and group, and gone at the end', async (t) => {
  const path = await socketPath(t);
  const app = await listen(t, path);
  t.equal((await stat(path)).mode & 0o777, 0o660);
  t.equal(await answerOn(path), 200);
  await app.close();
  t.notOk(existsSync(path));
});

t.test('the socket file that a dead process left behind is replaced', async (t) => {
  const path = await socketPath(t);
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  t.equal(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL');
  t.ok(existsSync(path), 'it left it behind');
  await listen(t, path);
  t.equal(await answerOn(path), 200);
});

t.test('the socket of a living process is left to it', async (t) => {
  const path = await socketPath(t);
  await listen(t, path);
  const app = fastify();
  t.teardown(() => app.close());
  await t.rejects(listenOn(app, `unix:${path}`, 'server.listen'), {
    message: `server.listen: unix:${path} is already in use`,
  });
  t.equal(await answerOn(path), 200);
});

t.test('a file that is no socket, and a directory that is not there, are named with the key', async (t) => {
  const path = await socketPath(t);
  const app = fastify();
  t.teardown(() => app.close());
  await writeFile(path, 'precious');
  await t.rejects(listenOn(app, `unix:${path}`, 'admin.listen'), {
    message: `admin.listen: unix:${path} is a file of another kind`,
  });
  t.equal(await readFile(path, 'utf8'), 'precious');
  const nowhere = join(path, '..', 'nowhere', 'gateway.sock');
  await t.rejects(listenOn(app, `unix:${nowhere}`, 'admin.listen'), {
    message: `admin.listen: unix:${nowhere} cannot be created: its directory is missing, or may not be written to`,
  });
});
