// Process that writes audit records to one sink, with many callers at a time; test/scale/sinks.ts forks it.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createAuditLog } from '../../src/audit/audit-log.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/log.ts';

/** The order of the parent. */
export interface WriterOrder {
  /** A configuration with one sink, which is written to. */
  readonly file: string;
  readonly records: number;
  /** Folder and bound of the spool; undefined for a required sink. */
  readonly spool: { readonly path: string; readonly bytes: number } | undefined;
}

/** Told of now and then, and at the end. */
export interface WriterReport {
  /** Records whose promise resolved. */
  readonly written: number;
  /** The numbers of those that were refused; in the report of the end only. */
  readonly refused: readonly number[];
  readonly maxRssBytes: number;
  readonly maxSpoolBytes: number;
  /** The greatest age seen of the oldest record that waited. */
  readonly maxLagMs: number;
  readonly cpuMicroseconds: number;
  readonly elapsedMs: number;
  readonly isDone: boolean;
}

/** As many requests are under way at a time. */
const callers = 200;
const lookEveryMs = 20;

async function write({ file, records, spool }: WriterOrder, report: (report: WriterReport) => void): Promise<void> {
  const { config, egress, files } = await loadConfig(file, { env: process.env });
  const lost = { records: 0 };
  /** Records in the spool or with the receiver, those of the log's own too. */
  let taken = 0;
  const audit = createAuditLog({
    instance: 'writer',
    policy: () => 'p',
    log: createLog({ level: 'fatal' }),
    now: Date.now,
    version: '1',
    observe: {
      written(_sink, count) {
        taken += count;
      },
      failed() {},
      shed() {},
      lost: (_sink, _reason, count) => {
        lost.records += count;
      },
    },
  });
  (await audit.prepare(config.audit, undefined, undefined, { egress, files })).commit();
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  const refused: number[] = [];
  let begun = 0;
  let written = 0;
  const most = { rss: 0, spool: 0, lag: 0 };

  const state = (isDone: boolean): WriterReport => {
    const { user, system } = process.cpuUsage(cpu);
    return {
      written,
      refused: isDone ? refused : [],
      maxRssBytes: most.rss,
      maxSpoolBytes: most.spool,
      maxLagMs: most.lag,
      cpuMicroseconds: user + system,
      elapsedMs: performance.now() - startMs,
      isDone,
    };
  };

  function look(): void {
    const [delivery] = audit.deliveries();
    most.rss = Math.max(most.rss, process.memoryUsage.rss());
    if (spool !== undefined) most.spool = Math.max(most.spool, folderBytes(spool.path));
    most.lag = Math.max(most.lag, (delivery?.lagSeconds ?? 0) * 1000);
  }
  const looks = setInterval(look, lookEveryMs);
  const reports = setInterval(() => report(state(false)), lookEveryMs);

  const waitingBytes = (): number => audit.deliveries()[0]?.bytes ?? 0;

  async function call(): Promise<void> {
    while (begun < records) {
      const number = begun;
      begun += 1;
      // Nobody waits for a sink that is not required, but requests come no faster than a spool of this size is meant for.
      while (spool !== undefined && (number > taken + callers || waitingBytes() > spool.bytes / 2)) await delay(1);
      try {
        await audit.write(eventOf(number));
        written += 1;
      } catch {
        refused.push(number);
        await delay(100);
      }
    }
  }

  await Promise.all(Array.from({ length: callers }, call));
  while (spool !== undefined && (taken < records || waitingBytes() > 0)) await delay(lookEveryMs);
  look();
  clearInterval(looks);
  clearInterval(reports);
  await audit.close();
  if (lost.records > 0) throw new Error(`${lost.records} records are counted as lost`);
  report(state(true));
}

function folderBytes(path: string): number {
  let bytes = 0;
  for (const name of readdirSync(path)) bytes += statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

/** As large as the record of an ordinary call. */
function eventOf(number: number): AuditEvent {
  return {
    id: `r${number}`,
    time: Date.now(),
    stage: 'decided',
    route: 'superset-mcp',
    client: { address: '10.0.0.1', userAgent: 'agent/1.0' },
    principal: {
      kind: 'oauth',
      issuer: 'https://idp.example.com/',
      subject: `person-${number % 1000}`,
      clientId: 'ai_agent_prod',
    },
    credentials: [{ kind: 'access-token', authenticator: 'corp-oauth', id: `token-${number}` }],
    http: { method: 'POST', path: '/mcp' },
    mcp: { method: 'tools/call', tool: 'execute_sql', arguments: `sha256:${'0'.repeat(64)}` },
    scopes: { granted: ['dashboards:read', 'queries:execute'], required: ['queries:execute'], missing: [] },
    decision: 'allow',
    rule: 'sql',
    policy: 'p',
  };
}

process.on('message', (order: WriterOrder) => {
  write(order, (report) => process.send?.(report)).then(
    () => process.disconnect(),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
