// A real Redis of Debian as a process of its own: unpacked, not installed. It can be killed, started again, stopped for a time and replaced.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../deploy/scene.ts';
import { debianFolder } from '../deploy/tools.ts';
import { until } from '../support/until.ts';
import { packages } from './lacks.ts';

const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu'];

/** One server. Its port and folder stay when it is killed and started again. */
export interface RedisServer {
  readonly port: number;
  /** `redis://127.0.0.1:PORT/0`. */
  readonly url: string;
  readonly directory: string;
  /** Starts it, again too, and waits until it answers. It is empty: it keeps nothing on disk. */
  start(): Promise<void>;
  /** Sends a signal: SIGKILL ends it, SIGSTOP lets it hang, SIGCONT lets it go on. Resolves at its end for SIGKILL. */
  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Sends one command in words, on a connection of its own, and yields the raw answer. */
  command(...words: readonly string[]): Promise<string>;
  /** Sends commands one after the other on one connection, and yields the raw answers. */
  session(...commands: readonly (readonly string[])[]): Promise<string>;
  close(): Promise<void>;
}

/** Starts a server with these further options (`--maxmemory`, `1mb`). Throws `Lacking` where Debian's packages cannot be had. */
export async function startRedis(options: readonly string[] = []): Promise<RedisServer> {
  const folder = debianFolder(packages.redis);
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-redis-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}/0`,
    directory,
    async start() {
      // Debian's redis-server is a link from another package to this program, which looks at its name.
      child = spawn(join(folder, 'usr/bin/redis-check-rdb'), argumentsOf(port, directory, options), {
        argv0: 'redis-server',
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...process.env, LD_LIBRARY_PATH: libraries.map((name) => join(folder, name)).join(':') },
      });
      await until(async () => {
        if (child?.exitCode !== null) throw new Error(`redis-server ended with ${child?.exitCode}`);
        return /PONG|NOAUTH/.test(await server.command('PING').catch(() => ''));
      }, 'redis-server answers');
    },
    async signal(name) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = name === 'SIGKILL' ? once(child, 'exit') : undefined;
      child.kill(name);
      await ended;
    },
    command: (...words) => ask(port, [words]),
    session: (...commands) => ask(port, commands),
    async close() {
      await server.signal('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

function argumentsOf(port: number, directory: string, options: readonly string[]): string[] {
  // A file of options has to be the first.
  return [...options, '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', directory];
}

function ask(port: number, commands: readonly (readonly string[])[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const left = [...commands];
    let answer = '';
    const next = (): void => {
      const words = left.shift();
      if (words === undefined) return void socket.end();
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
    };
    socket.setEncoding('utf8').setTimeout(5000, () => socket.destroy(new Error('redis-server did not answer')));
    socket.on('data', (text: string) => {
      answer += text;
      next();
    });
    socket.on('error', reject).on('close', () => resolve(answer));
    next();
  });
}
