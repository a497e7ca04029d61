// Fixtures of the audit tests: events, logs over files of their own, and reading back the lines.
import type { KeyObject } from 'node:crypto';
import fs from 'node:fs';
import { createAuditLog } from '../../src/audit/audit-log.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { headKeyOf } from '../../src/audit/heads/signed-head.ts';
import type { AuditRuntime } from '../../src/audit/reconfigurable-audit-log.ts';
import type { AuditConfig } from '../../src/audit/schema.ts';
import type { SinkConfig } from '../../src/audit/sinks/sink-types.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { createLog } from '../../src/log.ts';
import { wholeLines } from '../support/json-lines.ts';

export const dayMs = 86_400_000;
export const someTime = Date.UTC(2026, 10, 23, 5, 45);

export function eventOf(id: string, more: Partial<AuditEvent> = {}): AuditEvent {
  return { id, time: someTime, stage: 'completed', policy: 'p1', ...more };
}

export function fileSink(path: string, more: Partial<Extract<SinkConfig, { type: 'file' }>> = {}): SinkConfig {
  return { type: 'file', path, rotateAt: 2 ** 30, keepFor: 365 * dayMs, fsync: 'never', required: true, ...more };
}

export function configOf(sinks: SinkConfig[], more: Partial<AuditConfig> = {}): AuditConfig {
  return { sinks, timeout: 5000, onFailure: 'refuse', ...more };
}

export const silent = createLog({ level: 'silent' });

/** The part of a configuration that signs heads with this key, which `openLog` takes too. */
export function signOf(more: Partial<NonNullable<AuditConfig['sign']>> = {}): Partial<AuditConfig> {
  return { sign: { keyFile: 'audit.pem', every: 60_000, onTruncation: 'continue', ...more } };
}

export async function openLog(config: AuditConfig, more: Partial<AuditRuntime> = {}, key?: KeyObject) {
  const log = createAuditLog({
    instance: 'test',
    policy: () => 'p1',
    log: silent,
    now: () => someTime,
    tickMs: 10,
    ...more,
  });
  (await log.prepare(config, undefined, key && headKeyOf(key))).commit();
  return log;
}

export type Line = Readonly<Record<string, unknown>> & { seq: number; id: string; stage: string };

export function linesOf(path: string): Line[] {
  const text = fs.readFileSync(path, 'utf8');
  if (text !== '' && !text.endsWith('\n')) throw new Error(`${path} ends in a torn line`);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Of a file that is being written, or is not there yet: what stands in it so far. */
export function linesSoFar(path: string): Line[] {
  return fs.existsSync(path) ? wholeLines(fs.readFileSync(path, 'utf8')).map((line) => JSON.parse(line)) : [];
}

/** The ids of the records about requests, leaving out the log's own. */
export function requestIds(path: string): string[] {
  return linesOf(path)
    .filter((line) => line.stage !== 'config')
    .map((line) => line.id);
}

/** What is wrong with the chain; undefined when it holds. */
export async function breakOf(...paths: string[]): Promise<string | undefined> {
  return (await verifyChain(paths)).break?.reason;
}
