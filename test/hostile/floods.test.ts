// Floods of strangers: meanwhile a good client is served, the gateway is ready, and its memory and its audit log stay bounded.
import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent } from 'undici';
import { allowedCall, createRig, type Rig, type RigOptions } from '../reliability/rig.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import type { FloodKind, FloodOptions, FloodReport } from './flood.ts';

/** The heap that Node gives itself in a container of 1 GiB. */
const heapLimit = '--max-old-space-size=512';
const maxResidentBytes = 400 * 1024 * 1024;
const maxAuditBytesPerMinute = 1024 * 1024;

interface Scene extends RigOptions {
  readonly kind: FloodKind;
  readonly flood: Omit<FloodOptions, 'port'>;
  /** The credential of each call of the good client; by default the key that every route takes. */
  readonly credential?: (call: number) => string;
  /** A connection for each call of the good client. */
  readonly reconnect?: boolean;
}

interface Outcome {
  readonly report: FloodReport;
  readonly calls: number;
  readonly slowestMs: number;
  readonly peakBytes: number;
  /** Of the records that name the busiest address of the flood. */
  readonly auditBytesPerMinute: number;
}

/** Runs the flood; asserts what holds for each. */
async function endure({ kind, flood, credential, reconnect, ...options }: Scene): Promise<Outcome> {
  const rig = await createRig({ ...options, changes: { ...options.changes, server: { limits: undefined } } });
  try {
    const gateway = await rig.start({ nodeOptions: [heapLimit] });
    const client = startClient(rig, credential ?? (() => rig.authorization), reconnect ?? false);
    await delay(1000);
    const report = await runFlood(kind, { ...flood, port: Number(new URL(rig.publicUrl).port) });
    await delay(2000);
    const { failures, unready, calls, slowestMs } = await client.stop();
    const peakBytes = await peakResidentBytes(gateway.pid!);
    assert.equal(gateway.exitCode, null, 'the gateway lives');
    assert.deepEqual(failures, [], 'no call of the good client failed');
    assert.equal(unready, 0, 'it was ready throughout');
    assert.ok(calls > 20, `the good client called ${calls} times`);
    assert.ok(peakBytes < maxResidentBytes, `${mebibytes(peakBytes)} MiB resident`);
    const auditBytes = await bytesOfRecords(rig, flood.addresses);
    return { report, calls, slowestMs, peakBytes, auditBytesPerMinute: Math.round((auditBytes * 60) / flood.seconds) };
  } finally {
    await rig.close();
  }
}

interface GoodClient {
  readonly calls: number;
  readonly slowestMs: number;
  readonly failures: readonly unknown[];
  /** Answers of /readyz other than 200. */
  readonly unready: number;
}

/** A call every 50 ms, or as soon as the one before is answered, and a look at the readiness beside it. */
function startClient(
  rig: Rig,
  credential: (call: number) => string,
  reconnect: boolean,
): { stop(): Promise<GoodClient> } {
  const dispatcher = new Agent({
    connections: 1,
    pipelining: reconnect ? 0 : 1,
    connect: rig.caPem === undefined ? {} : { ca: rig.caPem },
  });
  const failures: unknown[] = [];
  let [calls, slowestMs, unready] = [0, 0, 0];
  let stopped = false;
  const call = async () => {
    const started = performance.now();
    const { statusCode, body } = await dispatcher.request({
      origin: rig.publicUrl,
      path: '/mcp',
      method: 'POST',
      headers: {
        authorization: credential(calls),
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: allowedCall,
    });
    const text = await body.text();
    calls += 1;
    slowestMs = Math.max(slowestMs, performance.now() - started);
    if (statusCode !== 200) failures.push(`${statusCode} ${text}`);
    const readiness = await fetch(`${rig.adminUrl}/readyz`);
    if (readiness.status !== 200) unready += 1;
    await readiness.text();
  };
  const running = (async () => {
    while (!stopped) {
      await call().catch((cause) => failures.push(cause));
      await delay(50);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await running;
      await dispatcher.close();
      return { calls, slowestMs: Math.round(slowestMs), failures, unready };
    },
  };
}

async function runFlood(kind: FloodKind, options: FloodOptions): Promise<FloodReport> {
  const program = resolve(import.meta.dirname, 'flood.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [program, kind, JSON.stringify(options)]);
  return JSON.parse(stdout) as FloodReport;
}

/** Of the address that has most. */
async function bytesOfRecords(rig: Rig, addresses: readonly string[]): Promise<number> {
  const bytes = new Map(addresses.map((address) => [`"${address}"`, 0]));
  for (const file of await rig.auditFiles()) {
    for (const line of (await readFile(file, 'utf8')).split('\n')) {
      for (const [address, sum] of bytes) if (line.includes(address)) bytes.set(address, sum + line.length + 1);
    }
  }
  return Math.max(...bytes.values());
}

async function peakResidentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1]) * 1024;
}

const mebibytes = (bytes: number) => Math.round(bytes / 1024 / 1024);

/** A row of the table in docs/operations.md. */
function print(name: string, { report, calls, slowestMs, peakBytes, auditBytesPerMinute }: Outcome): void {
  const { connected, ended, sent, answers } = report;
  const flood = `${connected} connections, ${ended} ended, ${sent} sent, ${answers} answered`;
  const audit = `${(auditBytesPerMinute / 1024 / 1024).toFixed(2)} MiB`;
  process.stdout.write(
    `| ${name} | ${flood} | ${calls} | ${slowestMs} ms | ${mebibytes(peakBytes)} MiB | ${audit} |\n`,
  );
}

const strangers = ['127.0.0.2'];

test('24 connections with 40,000 pipelined requests each, whose answers are never read', {
  timeout: 120_000,
}, async (t) => {
  const outcome = await endure({
    kind: 'pipelined',
    flood: { connections: 24, seconds: 15, addresses: strangers },
  });
  print(t.name, outcome);
  assert.ok(outcome.auditBytesPerMinute < maxAuditBytesPerMinute, `${outcome.auditBytesPerMinute} bytes a minute`);
});

test('250 connections with 40,000 pipelined requests of 18 bytes each', { timeout: 120_000 }, async (t) => {
  const outcome = await endure({
    kind: 'pipelined',
    flood: { connections: 250, seconds: 15, addresses: strangers, request: 'GET / HTTP/1.1\r\n\r\n' },
  });
  print(t.name, outcome);
  assert.ok(outcome.auditBytesPerMinute < maxAuditBytesPerMinute, `${outcome.auditBytesPerMinute} bytes a minute`);
});

test('1,000 connections with bodies in chunks of one byte', { timeout: 120_000 }, async (t) => {
  const otherKey = `sk_${'w'.repeat(43)}`;
  const outcome = await endure({
    kind: 'chunks',
    flood: {
      connections: 1000,
      seconds: 20,
      addresses: ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.6'],
      authorization: `Bearer ${otherKey}`,
    },
    changes: {
      authenticators: {
        keys: {
          keys: [
            keyEntry('k1', apiKey, { expires: undefined }),
            keyEntry('k2', otherKey, { clientId: 'weak', expires: undefined }),
          ],
        },
      },
    },
  });
  print(t.name, outcome);
});

test('refusals as fast as they can be sent', { timeout: 120_000 }, async (t) => {
  const outcome = await endure({ kind: 'refusals', flood: { connections: 64, seconds: 20, addresses: strangers } });
  print(t.name, outcome);
  assert.ok(outcome.report.answers > 1000, `${outcome.report.answers} refusals`);
  assert.ok(outcome.auditBytesPerMinute < maxAuditBytesPerMinute, `${outcome.auditBytesPerMinute} bytes a minute`);
});

test('400 random opaque tokens at once, again and again', { timeout: 120_000 }, async (t) => {
  const resource = 'https://mcp.example.com/mcp';
  const introspection = await startIntrospection();
  for (let call = 0; call < 2000; call += 1) {
    introspection.answers.set(`good-${call}`, {
      active: true,
      client_id: 'reporting_tool',
      sub: 'reporting_tool',
      scope: 'dashboards:read',
      aud: resource,
      exp: 4_000_000_000,
    });
  }
  try {
    const outcome = await endure({
      kind: 'tokens',
      flood: { connections: 400, seconds: 15, addresses: [...strangers, '127.0.0.3'] },
      credential: (call) => `Bearer good-${call}`,
      changes: {
        authenticators: { partner: introspection.authenticator },
        routes: [
          {
            path: '/mcp',
            resource,
            authenticate: { anyOf: ['partner', 'keys'] },
            mcp: { rules: [{ allow: { tools: ['list_dashboards'] } }] },
          },
        ],
      },
    });
    print(t.name, outcome);
    assert.ok(outcome.auditBytesPerMinute < maxAuditBytesPerMinute, `${outcome.auditBytesPerMinute} bytes a minute`);
  } finally {
    await introspection.close();
  }
});

test('500 silent handshakes', { timeout: 120_000 }, async (t) => {
  const outcome = await endure({
    kind: 'silence',
    tls: true,
    reconnect: true,
    flood: { connections: 500, seconds: 15, addresses: [...strangers, '127.0.0.3'] },
  });
  print(t.name, outcome);
  assert.equal(outcome.report.ended, 500, 'all of them were ended within the time of the flood');
  assert.ok(outcome.auditBytesPerMinute < maxAuditBytesPerMinute, `${outcome.auditBytesPerMinute} bytes a minute`);
});
