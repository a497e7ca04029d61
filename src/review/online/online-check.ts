// Online check of a configuration: issuers, introspection endpoints, upstreams, shared state, audit files, ends of certificates.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type SinkConfig, sinkTypeOf } from '../../audit/sinks/sink-types.ts';
import { certificateExpiries, revocationListExpiries } from '../../config/expiries.ts';
import { fileProblem } from '../../errors.ts';
import type { PolicyFile } from '../policy-file.ts';
import { checkAuthorizationServer } from './authorization-servers.ts';
import { type CheckResult, failed, type OnlineFinding, ok } from './finding.ts';
import { checkState } from './state.ts';
import { checkUpstream, type OnlineOptions } from './upstreams.ts';

const soonMs = 30 * 86_400_000;

/** Asks all of them at once, as the gateway would. Resolves with a finding for each. */
export async function checkOnline(file: PolicyFile, options: OnlineOptions): Promise<OnlineFinding[]> {
  const { config } = file.loaded;
  const asked = [
    ...Object.entries(config.authenticators).flatMap(([name, each]) =>
      each.type === 'jwt' || each.type === 'introspection'
        ? [at(`authenticators.${name}`, checkAuthorizationServer(name, each, file, options.now))]
        : [],
    ),
    ...[...file.snapshot.upstreams].flatMap(([name, { target }]) =>
      checkUpstream(target, file, options).map((checked) => at(`upstreams.${name}`, checked)),
    ),
    ...config.audit.sinks.flatMap((sink, index) => checkSink(sink, `audit.sinks[${index}]`, file)),
    ...(config.audit.sign?.stateFile === undefined
      ? []
      : [at('audit.sign.stateFile', checkWritable(config.audit.sign.stateFile))]),
    ...(config.state === undefined ? [] : [at('state.redis', checkState(config.state, file))]),
  ];
  const ends = [...certificateExpiries(file.loaded), ...revocationListExpiries(file.loaded)];
  const ended = ends.map(({ name, expiresAtSeconds }) => ({
    path: name,
    ...endOf(expiresAtSeconds * 1000, options.now),
  }));
  return [...(await Promise.all(asked)), ...ended];
}

/** Audit files are looked at, receivers asked without a record. */
function checkSink(sink: SinkConfig, path: string, { loaded }: PolicyFile): Promise<OnlineFinding>[] {
  if (sink.type === 'file') return [at(`${path}.path`, checkWritable(sink.path))];
  const probed = sinkTypeOf(sink).probe?.(sink, loaded);
  const spool = 'spool' in sink ? sink.spool : undefined;
  return [
    ...(probed === undefined ? [] : [at(path, probed.then(ok))]),
    ...(spool === undefined ? [] : [at(`${path}.spool.path`, checkWritable(spool.path))]),
  ];
}

/** A question that throws has found an error. */
async function at(path: string, checked: Promise<CheckResult>): Promise<OnlineFinding> {
  try {
    return { path, ...(await checked) };
  } catch (error) {
    return { path, ...failed((error as Error).message) };
  }
}

/** The file, or the nearest folder above it that there is. */
async function checkWritable(file: string): Promise<CheckResult> {
  for (let path = file; ; path = dirname(path)) {
    try {
      await access(path, constants.W_OK);
      return ok(path === file ? 'can be written' : `can be created in ${path}`);
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path;
      if (!isMissing) return failed(`cannot be written: ${path}: ${fileProblem(error)}`);
    }
  }
}

/** The end of a certificate or list: past, within 30 days, or later. */
export function endOf(endMs: number, now: number): CheckResult {
  const day = new Date(endMs).toISOString().slice(0, 10);
  if (endMs <= now) return failed(`has ended on ${day}`);
  return endMs - now < soonMs ? { level: 'warning', message: `ends on ${day}` } : ok(`ends on ${day}`);
}
