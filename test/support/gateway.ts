// Real gateway on port 0, for tests: its configuration, its records, and what its admin listener says.
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent } from '../../src/audit/event.ts';
import type { Schedule } from '../../src/authn/token/jwks.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Gateway, startGateway } from '../../src/gateway/gateway.ts';
import type { Pipeline } from '../../src/gateway/request/pipeline.ts';
import type { Siblings } from '../../src/gateway/siblings.ts';
import { createLog } from '../../src/log.ts';
import type { CircuitTimes } from '../../src/state/redis/circuit.ts';
import type { SharedState } from '../../src/state/shared-state.ts';
import type { StateStatus } from '../../src/state/switched-state.ts';
import { openConsole } from './console.ts';
import { followJsonLines } from './json-lines.ts';
import { until } from './until.ts';

export interface TestGateway {
  readonly gateway: Gateway;
  readonly port: number;
  readonly adminPort: number;
  readonly directory: string;
  /** Rewrites the file and reloads it. */
  reload(yaml: string): Promise<void>;
  /** Writes a file that the configuration names. */
  write(name: string, content: string): Promise<void>;
  /** All audit records so far that are about requests, oldest first. */
  records(): Promise<readonly AuditRecord[]>;
  /** Waits until a record matches; fails after ten seconds. */
  record(matches: (record: AuditRecord) => boolean): Promise<AuditRecord>;
  /** Waits until so many match, oldest first; fails after ten seconds. */
  matchingRecords(count: number, matches: (record: AuditRecord) => boolean): Promise<AuditRecord[]>;
  /** A GET of the admin application, without a socket. */
  admin(path: string): Promise<Response>;
  /** `/metrics`. */
  metrics(): Promise<string>;
  /** The sum of the samples of a metric that have these labels; 0 where there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** `/status`. */
  status(): Promise<GatewayStatus>;
  /** `/readyz`. */
  readiness(): Promise<{ readonly status: number; readonly text: string }>;
  /** The operator's log so far, where it goes to a file. */
  log(): Promise<string>;
  close(): Promise<void>;
}

/** What tests ask of `/status`. */
export interface GatewayStatus {
  readonly openRequests: number;
  readonly policy: string;
  readonly shadow?: { readonly policy: string; readonly problem?: string };
  readonly state?: StateStatus;
}

/** One line of the audit file. */
export type AuditRecord = Omit<AuditEvent, 'time'> & {
  readonly seq: number;
  readonly time: string;
  readonly instance: string;
  readonly prev: string;
  readonly hash: string;
};

export interface TestGatewayOptions {
  /** The YAML; `audit:` is added when it is not there. Listen on port 0. */
  readonly yaml: string;
  /** Files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly now?: () => number;
  /** How often the open streams are looked at; short where `now` is not the system's clock. */
  readonly streamTickMs?: number;
  /** How key sets wait for their next fetch. */
  readonly schedule?: Schedule;
  /** How often the revocation file is looked at. */
  readonly revocationPollMs?: number;
  /** Bounds of time for the server of `state`; long ones where its silence is not the subject. */
  readonly stateTimes?: CircuitTimes;
  /** The steps of a request. */
  readonly pipeline?: Pipeline;
  /** Makes it one of several workers. */
  readonly siblings?: Siblings;
  /** State that other processes share. */
  readonly state?: SharedState;
  readonly env?: NodeJS.ProcessEnv;
  /** Writes everything the operator's log says into `gateway.log` beside the configuration. */
  readonly logToFile?: boolean;
}

const defaultAudit = '\naudit: {sinks: [{type: file, path: audit.jsonl, fsync: never}]}\n';

export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  const file = join(directory, 'gateway.yaml');
  const env = options.env ?? {};
  const complete = (yaml: string): string => (/^audit:/m.test(yaml) ? yaml : yaml + defaultAudit);
  await Promise.all(
    Object.entries(options.files ?? {}).map(([name, content]) => writeFile(join(directory, name), content)),
  );
  await writeFile(file, complete(options.yaml));
  const logFd = options.logToFile === true ? openSync(join(directory, 'gateway.log'), 'a') : -1;
  const start = async () =>
    startGateway({
      loaded: await loadConfig(file, { env }),
      log:
        options.logToFile === true
          ? createLog({ level: 'trace', fd: logFd })
          : createLog({ level: process.env.TEST_LOG ?? 'silent' }),
      version: 'test',
      openConsole,
      ...(options.now !== undefined && { now: options.now }),
      ...(options.schedule !== undefined && { schedule: options.schedule }),
      ...(options.streamTickMs !== undefined && { streamTickMs: options.streamTickMs }),
      ...(options.revocationPollMs !== undefined && { revocationPollMs: options.revocationPollMs }),
      stateTimes: options.stateTimes ?? { commandMs: 30_000, connectMs: 30_000 },
      ...(options.pipeline !== undefined && { pipeline: options.pipeline }),
      ...(options.siblings !== undefined && { siblings: options.siblings }),
      ...(options.state !== undefined && { state: options.state }),
    });
  async function clear(): Promise<void> {
    if (logFd >= 0) closeSync(logFd);
    await rm(directory, { recursive: true, force: true });
  }
  const gateway = await start().catch(async (error: unknown) => {
    await clear();
    throw error;
  });
  const adminPort = gateway.adminAddress.port;
  async function admin(path: string): Promise<Response> {
    const { payload, statusCode, headers } = await gateway.admin.inject(path);
    return new Response(payload, { status: statusCode, headers: headers as Record<string, string> });
  }
  const metrics = async () => (await admin('/metrics')).text();
  const records = followJsonLines<AuditRecord>(join(directory, 'audit.jsonl'));
  async function matchingRecords(count: number, matches: (record: AuditRecord) => boolean): Promise<AuditRecord[]> {
    let found: AuditRecord[] = [];
    await until(async () => {
      found = (await records()).filter(matches);
      return found.length >= count;
    }, `${count} such audit record(s)`);
    return found;
  }
  return {
    gateway,
    port: gateway.publicAddress.port,
    adminPort,
    directory,
    records,
    async reload(yaml) {
      await writeFile(file, complete(yaml));
      await gateway.reload((reloading) => loadConfig(file, { env, ...reloading }));
    },
    write: (name, content) => writeFile(join(directory, name), content),
    record: async (matches) => (await matchingRecords(1, matches))[0]!,
    matchingRecords,
    admin,
    metrics,
    async metric(name, labels = {}) {
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const samples = (await metrics())
        .split('\n')
        .filter((line) => /^[{ ]/.test(line.slice(name.length)) && line.startsWith(name));
      const matching = samples.filter((line) =>
        wanted.every((each) => line.includes(`{${each}`) || line.includes(`,${each}`)),
      );
      return matching.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    },
    async readiness() {
      const response = await admin('/readyz');
      return { status: response.status, text: await response.text() };
    },
    log: () => readFile(join(directory, 'gateway.log'), 'utf8'),
    status: async () => (await admin('/status')).json() as Promise<GatewayStatus>,
    async close() {
      await gateway.close();
      await clear();
    },
  };
}
