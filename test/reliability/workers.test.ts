// Two workers under load: reloads, SIGTERM and SIGKILL of workers, the share of each, and the CPU time of a request.
// RELIABILITY_FULL=1: 200 reloads, 20 ends of each kind, and the bound of the CPU time.
import { strict as assert } from 'node:assert';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { listDashboards } from '../support/configuration.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';
import { allowedCall, createRig, type Rig } from './rig.ts';

const isFull = process.env.RELIABILITY_FULL === '1';
const reloads = isFull ? 200 : 12;
const ends = isFull ? 20 : 2;
/** For each client: each process compiles its code for itself. */
const measuredRequests = isFull ? 600 : 50;
const warmUpRequests = isFull ? 1200 : 30;
/** Of `measuredRequests`. */
const rounds = isFull ? 10 : 1;
const connectionsOfWorker = 16;

interface Answer {
  readonly id: string;
  /** Equal numbers, same connection. */
  readonly connection: number;
}

interface Load {
  readonly answers: Answer[];
  /** Answers other than 200. */
  readonly refusals: string[];
  /** Requests without an answer: the connection that they were sent on; undefined where there was none. */
  readonly failures: { readonly connection: number | undefined; readonly cause: Error }[];
  stop(): Promise<void>;
}

/** Clients of these workers: each calls one after the other, on a connection of its own that is kept alive. One begins when the one before is answered. */
function startLoad(
  { authorization, publicUrl }: Rig,
  workers: number,
  requestsOfClient = Number.POSITIVE_INFINITY,
): Load {
  const load = { answers: [] as Answer[], refusals: [] as string[], failures: [] as Load['failures'] };
  let isStopped = false;
  const headers = {
    authorization,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'content-length': Buffer.byteLength(allowedCall),
  };
  const sockets = new Map<object, number>();
  const numberOf = (socket: object): number => {
    const number = sockets.get(socket) ?? sockets.size;
    sockets.set(socket, number);
    return number;
  };
  async function client(begun: () => void): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let sent = 0; !isStopped && sent < requestsOfClient; sent += 1) {
      const outgoing = request(`${publicUrl}/mcp`, { agent, method: 'POST', headers });
      try {
        outgoing.end(allowedCall);
        const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
        const connection = numberOf(response.socket);
        const text = (await response.setEncoding('utf8').toArray()).join('');
        const status = response.statusCode!;
        if (status !== 200) load.refusals.push(`${status} ${text}`);
        load.answers.push({ id: String(response.headers['x-request-id']), connection });
      } catch (cause) {
        const connection = outgoing.socket === null ? undefined : numberOf(outgoing.socket);
        load.failures.push({ connection, cause: cause as Error });
      }
      begun();
    }
    begun();
    agent.destroy();
  }
  async function run(): Promise<void> {
    const clients: Promise<void>[] = [];
    for (let index = 0; index < workers * connectionsOfWorker; index += 1)
      await new Promise<void>((begun) => clients.push(client(begun)));
    await Promise.all(clients);
  }
  const running = run();
  return {
    ...load,
    async stop() {
      isStopped = requestsOfClient === Number.POSITIVE_INFINITY;
      await running;
    },
  };
}

const withWorkers = (workers: number) =>
  createRig({
    changes: { server: { workers, drainTimeout: '2s' }, upstreams: { superset: { limits: { concurrency: 64 } } } },
  });

/** The processes that a supervisor has started. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** Processor time in milliseconds, in user and system mode. */
function cpuMs(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, each) => sum + each, 0) * 10;
}

/** Gives the process a processor of its own, where the machine has two. */
function pin(pid: number, processor: number): void {
  spawnSync('taskset', ['-a', '-cp', String(processor), String(pid)]);
}

/** By request id, the worker that has recorded it. */
async function workersById(rig: Rig): Promise<Map<string, number>> {
  const workers = new Map<string, number>();
  for (const file of await rig.auditFiles())
    for (const { id, instance } of await readJsonLines<{ id: string; instance: string }>(file))
      workers.set(id, Number(instance.split('.').at(-1)));
  return workers;
}

async function verifyChains(rig: Rig): Promise<void> {
  const files = await rig.auditFiles();
  const { status, stderr, stdout } = spawnSync(process.execPath, ['dist/main.js', 'audit', 'verify', ...files], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
}

async function isUp(rig: Rig, workers: number): Promise<boolean> {
  const text = await (await fetch(`${rig.adminUrl}/metrics`)).text();
  return [...text.matchAll(/^portcullis_worker_up\{[^}]*\} 1$/gm)].length === workers;
}

test(`${reloads} reloads and ${ends} workers ended by SIGTERM fail no request; the chains are whole`, {
  timeout: 600_000,
}, async () => {
  const rig = await withWorkers(2);
  try {
    const supervisor = await rig.start();
    const load = startLoad(rig, 2);
    const policy = async () => ((await (await fetch(`${rig.adminUrl}/status`)).json()) as { policy: string }).policy;
    for (let round = 0; round < reloads; round += 1) {
      const before = await policy();
      await rig.configure([listDashboards, { name: `round-${round}`, deny: { tools: [`none-${round}`] } }]);
      supervisor.kill('SIGHUP');
      await until(async () => (await policy()) !== before, `reload ${round}`);
    }
    for (let round = 0; round < ends; round += 1) {
      const workers = childrenOf(supervisor.pid!);
      assert.equal(workers.length, 2);
      const ended = workers[round % 2]!;
      process.kill(ended, 'SIGTERM');
      await until(
        async () => !childrenOf(supervisor.pid!).includes(ended) && (await isUp(rig, 2)),
        'another worker',
        90_000,
      );
    }
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.ok(load.answers.length > reloads, `${load.answers.length} requests were answered`);
    assert.deepEqual(load.refusals, []);
    supervisor.kill('SIGINT');
    await once(supervisor, 'exit');
    await verifyChains(rig);
  } finally {
    await rig.close();
  }
});

test(`${ends} workers ended by SIGKILL: only requests on their own connections are lost, and no record`, {
  timeout: 600_000,
}, async () => {
  const rig = await withWorkers(2);
  try {
    const supervisor = await rig.start();
    const load = startLoad(rig, 2);
    const lost: { readonly failures: Load['failures'] }[] = [];
    for (let round = 0; round < ends; round += 1) {
      const answered = load.answers.length;
      await until(() => load.answers.length >= answered + 500, 'load');
      const before = load.failures.length;
      const workers = childrenOf(supervisor.pid!);
      const ended = workers[round % 2]!;
      process.kill(ended, 'SIGKILL');
      await until(
        async () => !childrenOf(supervisor.pid!).includes(ended) && (await isUp(rig, 2)),
        'another worker',
        90_000,
      );
      lost.push({ failures: load.failures.slice(before) });
    }
    await load.stop();
    assert.deepEqual(load.refusals, []);
    supervisor.kill('SIGINT');
    await once(supervisor, 'exit');
    const worker = await workersById(rig);
    assert.equal(
      load.answers.every(({ id }) => worker.has(id)),
      true,
      'each answered request has its records',
    );
    const unrecorded = rig.seen.filter((id) => !worker.has(id));
    assert.deepEqual(unrecorded, [], 'so has each request that the upstream got');
    const workerOf = new Map(load.answers.map(({ connection, id }) => [connection, worker.get(id)]));
    for (const { failures } of lost) {
      assert.ok(failures.length <= 2 * connectionsOfWorker, `${failures.length} requests were lost at once`);
      const owners = new Set(
        failures.map(({ connection }) => (connection === undefined ? undefined : workerOf.get(connection))),
      );
      owners.delete(undefined);
      assert.ok(owners.size <= 1, `the lost requests were those of workers ${[...owners]}`);
    }
    await verifyChains(rig);
  } finally {
    await rig.close();
  }
});

/** A gateway whose processor time is measured. */
interface Measured {
  readonly rig: Rig;
  readonly workers: number;
  readonly gateway: ChildProcess;
  readonly pids: readonly number[];
  readonly answers: Answer[];
  cpuMs: number;
}

async function startMeasured(workers: number): Promise<Measured> {
  const rig = await withWorkers(workers);
  const gateway = await rig.start();
  const pids = [gateway.pid!, ...childrenOf(gateway.pid!)];
  if (isFull) for (const pid of pids) pin(pid, 0);
  await startLoad(rig, workers, warmUpRequests).stop();
  return { rig, workers, gateway, pids, answers: [], cpuMs: 0 };
}

/** A round of requests, each worker with as many clients as the others. */
async function measureRound(measured: Measured): Promise<void> {
  const { answers, pids, rig, workers } = measured;
  const before = cpuMs(pids);
  const load = startLoad(rig, workers, measuredRequests / rounds);
  await load.stop();
  measured.cpuMs += cpuMs(pids) - before;
  answers.push(...load.answers);
  assert.deepEqual([load.failures, load.refusals], [[], []]);
}

const bound = isFull ? ', at 1.1 of the CPU time of one at most' : '';
test(`two workers share the load within a fifth${bound}`, { timeout: 600_000 }, async (t) => {
  const one = await startMeasured(1);
  const two = await startMeasured(2);
  try {
    // In turns, so that other work on the machine burdens both.
    for (let round = 0; round < rounds; round += 1) for (const each of [one, two]) await measureRound(each);
    two.gateway.kill('SIGINT');
    await once(two.gateway, 'exit');
    const byId = await workersById(two.rig);
    const shares = [1, 2].map((worker) => two.answers.filter(({ id }) => byId.get(id) === worker).length);
    const [least, most] = [Math.min(...shares), Math.max(...shares)];
    t.diagnostic(`requests of each worker: ${shares.join(', ')}`);
    // The clients are alike, so this is how their connections are shared.
    assert.ok(most - least <= (most + least) / 10, `the workers had ${shares.join(' and ')} requests`);
    const [single, double] = [one, two].map(({ answers, cpuMs }) => (cpuMs * 1000) / answers.length) as [
      number,
      number,
    ];
    const ratio = double / single;
    t.diagnostic(`CPU µs of a request: one ${single.toFixed(0)}, two ${double.toFixed(0)}, ratio ${ratio.toFixed(3)}`);
    if (isFull) assert.ok(ratio <= 1.1, `${ratio}`);
  } finally {
    await one.rig.close();
    await two.rig.close();
  }
});
