// Checks of the `audit` section across keys: each sink has a place of its own, one of them is required, the key can sign.
import { dirname } from 'node:path';
import { attemptAt, reportUnusable, type SectionReporter } from '../config/schema/reporter.ts';
import { parsePrivateKey } from '../pem.ts';
import { headKeyOf } from './heads/signed-head.ts';
import type { AuditConfig } from './schema.ts';
import { sinkTypeOf } from './sinks/sink-types.ts';

/** Checks the section. */
export function checkAudit(audit: AuditConfig, reporter: SectionReporter): void {
  const seen = new Map<string, number>();
  audit.sinks.forEach((sink, index) => {
    const type = sinkTypeOf(sink);
    const key = type.key(sink);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else reporter.error(['audit', 'sinks', index], `writes to the same place as sinks[${first}]`);
    const at = (name: string) => ['audit', 'sinks', index, name];
    type.check?.(sink, {
      files: reporter.files,
      isRead: (path) => reporter.files.has(path),
      error: (name, message) => reporter.error(at(name), message),
      warn: (name, message) => reporter.warn(at(name), message),
      unusable: (name, path, cause) => reportUnusable(reporter, at(name), path, cause),
    });
  });
  if (audit.onFailure === 'refuse' && audit.sinks.every((sink) => !sink.required)) {
    reporter.warn(['audit', 'sinks'], 'no sink is required: requests go on while no record can be written');
  }
  if (audit.sign !== undefined) checkSign(audit.sign, audit, reporter);
}

function checkSign(
  { keyFile, stateFile }: NonNullable<AuditConfig['sign']>,
  audit: AuditConfig,
  reporter: SectionReporter,
) {
  const { files } = reporter;
  attemptAt(reporter, ['audit', 'sign', 'keyFile'], keyFile, () => headKeyOf(files.parse(keyFile, parsePrivateKey)));
  if (stateFile === undefined) return;
  const at = ['audit', 'sign', 'stateFile'];
  const paths = audit.sinks.flatMap((sink) => (sink.type === 'file' ? sink.path : []));
  if (files.has(stateFile)) reporter.error(at, 'is a file that this configuration reads; heads would destroy it');
  else if (paths.includes(stateFile)) reporter.error(at, 'is an audit file; heads would destroy it');
  else if (paths.some((path) => dirname(path) === dirname(stateFile))) {
    reporter.warn(
      at,
      'lies beside an audit file: who can cut that can put back an older state file too; take another directory',
    );
  }
}
