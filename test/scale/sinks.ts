// Load on one audit sink while its receiver is killed again and again: what arrived, in which order, and what it cost.
import { strict as assert } from 'node:assert';
import { fork } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import { parseLink } from '../../src/audit/hash-chain.ts';
import { freePort, launch, type Running, untilRuns } from '../deploy/scene.ts';
import type { HttpFormat } from './http-receiver.ts';
import type { WriterOrder, WriterReport } from './sink-writer.ts';
import { startSyslogServer, type syslogPrograms } from './syslog-receivers.ts';

/** A receiver in a process of its own, which appends the lines of the records to a file. */
export interface Receiver {
  /** The sink that sends to it. */
  readonly sink: Readonly<Record<string, unknown>>;
  readonly path: string;
  start(): Promise<void>;
  stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

/** Starts a receiver with its files in a folder. */
export type StartReceiver = (directory: string) => Promise<Receiver>;

/** The load. */
export interface SinkLoad {
  readonly records: number;
  readonly kills: number;
  /** Required, or not required with a spool. */
  readonly isRequired: boolean;
}

/** Figures of a load. */
export interface SinkFigures extends Omit<WriterReport, 'refused' | 'isDone'> {
  readonly refused: number;
  /** Lines that arrived, and how many of them came again. */
  readonly received: number;
  readonly repeated: number;
  readonly cpuPerRecordMicroseconds: number;
}

/** With bounds on the heap, which show that nothing is retained: without them V8 lets garbage grow to 100 MB more under this load. */
const maxRssBytes = 200 * 1024 * 1024;
const spoolBytes = 64 * 1024 * 1024;
/** The receiver is away so long. */
const awayMs = 200;

/** A syslog program of Debian. */
export function syslogReceiver(program: keyof typeof syslogPrograms, isSecure: boolean): StartReceiver {
  return async (directory) => {
    const { address, keys, ...server } = await startSyslogServer(program, isSecure, directory);
    return { ...server, sink: { type: 'syslog', address, ...keys } };
  };
}

/** A receiver of our own over HTTP. */
export function httpReceiver(format: HttpFormat): StartReceiver {
  return async (directory) => {
    const port = await freePort();
    const path = join(directory, 'received.jsonl');
    const url = `http://127.0.0.1:${port}`;
    let running: Running;
    const start = async () => {
      running = launch([process.execPath, join(import.meta.dirname, 'http-receiver.ts'), format, String(port), path]);
      await untilRuns(async () => running.output().includes('listening'), `the receiver of ${format} listens`, running);
    };
    await start();
    const sink = format === 'otlp' ? { type: 'otlp', endpoint: url } : { type: 'http', url: `${url}/in`, format };
    return { path, sink, start, stop: async (signal) => void (await running.stop(signal)) };
  };
}

/** Puts the load on the sink. Throws an AssertionError where a record is missing, out of order, altered or repeated beyond recognition, or a bound is broken. */
export async function loadSink(startReceiver: StartReceiver, load: SinkLoad): Promise<SinkFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-sink-'));
  const receiver = await startReceiver(directory);
  try {
    const spool = load.isRequired ? undefined : { path: join(directory, 'spool'), bytes: spoolBytes };
    const file = join(directory, 'gateway.yaml');
    writeFileSync(file, stringify(configurationOf(receiver.sink, spool)));
    const { refused, isDone, ...report } = await writeAll({ file, records: load.records, spool }, load.kills, receiver);
    assert(isDone, 'the writer has ended early');
    const { received, repeated } = await checkReceived(receiver.path, load.records, new Set(refused));
    assert(report.maxRssBytes < maxRssBytes, `the process took ${report.maxRssBytes} bytes`);
    assert(report.maxSpoolBytes <= spoolBytes * 1.01, `the spool took ${report.maxSpoolBytes} bytes`);
    if (!load.isRequired) assert.equal(refused.length, 0, 'a spooled record was refused');
    const cpuPerRecordMicroseconds = Math.round((report.cpuMicroseconds / load.records) * 10) / 10;
    return { ...report, refused: refused.length, received, repeated, cpuPerRecordMicroseconds };
  } finally {
    await receiver.stop('SIGKILL');
    rmSync(directory, { recursive: true });
  }
}

function configurationOf(sink: object, spool: object | undefined): object {
  return {
    version: 1,
    server: { listen: '127.0.0.1:1', publicUrl: 'http://127.0.0.1:1' },
    routes: [{ path: '/health', authenticate: 'none', respond: { status: 200 } }],
    audit: {
      sinks: [
        spool === undefined ? sink : { ...sink, required: false, spool: { path: 'spool', bytes: `${spoolBytes}B` } },
      ],
      timeout: '10s',
      onFailure: spool === undefined ? 'refuse' : 'continue',
    },
  };
}

/** Of a record, about. */
const lineBytes = 800;

/** Kills the receiver each time another part of the records has arrived. */
async function writeAll(order: WriterOrder, kills: number, receiver: Receiver): Promise<WriterReport> {
  const child = fork(join(import.meta.dirname, 'sink-writer.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: ['--max-semi-space-size=8', '--max-old-space-size=96'],
  });
  let last: WriterReport | undefined;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  child.on('exit', () => resolve());
  child.on('message', (report) => {
    last = report as WriterReport;
  });
  child.send(order);
  for (let kill = 1; kill <= kills; kill += 1) {
    const at = (order.records * lineBytes * kill) / (kills + 1);
    while (sizeOf(receiver.path) < at && child.exitCode === null) await delay(2);
    assert.equal(child.exitCode, null, 'the writer has ended before the receiver was killed');
    await receiver.stop('SIGKILL');
    await delay(awayMs);
    await receiver.start();
  }
  await ended;
  assert(last !== undefined, 'the writer said nothing');
  return last;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Reads the lines in the order of their arrival. */
async function checkReceived(path: string, records: number, refused: ReadonlySet<number>) {
  const seen = new Map<number, string>();
  const arrived = new Uint8Array(records);
  let received = 0;
  let last = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    received += 1;
    // A killed receiver may leave a part of a line, to which it appends.
    const link = parseLink(Buffer.from(line.slice(Math.max(line.lastIndexOf('{"seq":'), 0))));
    if (link === undefined) continue;
    assert(link.intact, `record ${link.seq} was altered`);
    const known = seen.get(link.seq);
    if (known !== undefined) {
      assert.equal(link.hash, known, `another record ${link.seq}`);
      continue;
    }
    assert.equal(link.seq, last + 1, 'a record is missing, or out of order');
    last = link.seq;
    seen.set(link.seq, link.hash);
    const [, number] = /^r(\d+)$/.exec(String(link.record.id)) ?? [];
    if (number !== undefined) arrived[Number(number)] = 1;
  }
  const missing = arrived.reduce((sum, each, number) => sum + (each === 1 || refused.has(number) ? 0 : 1), 0);
  assert.equal(missing, 0, 'records that were acknowledged are missing');
  return { received, repeated: received - seen.size };
}
