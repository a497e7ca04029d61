// Facts of one decision: its records, and its reading under the policy in force and under another one.
import type { AuditRecord } from '../../audit/reading/record.ts';
import { messageOf } from '../../errors.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { explainRecord } from '../../review/explain/explain-record.ts';
import { compilePolicyFile } from '../../review/policy-file.ts';
import { createFileTrial } from './file-trial.ts';
import { type RecordReading, readingOf, type Untried } from './reading.ts';

/** The file as it is on the disk now, or the shadow. */
export type Under = 'file' | 'shadow';

/** Functions of the console source that the page of one decision asks. */
export interface WhySource {
  /** Undefined for a request whose records are not there, or no more. */
  decision(question: { readonly id: string; readonly under?: Under }): Promise<DecisionFacts | undefined>;
}

/** One decision. */
export interface DecisionFacts {
  /** Oldest first: `decided`, `completed`, and the ends of its stream. */
  readonly records: readonly AuditRecord[];
  /** Hash of the policy in force. */
  readonly policy: string;
  /** The policies under which it can be tried. */
  readonly choices: readonly Under[];
  /** Under the policy in force; undefined where the record tells of no request. */
  readonly why: RecordReading | undefined;
  /** Under the other one. */
  readonly tried: RecordReading | Untried | undefined;
}

/** Creates the functions. */
export function whyFacts({
  current,
  now,
  recent,
  revocations,
}: Pick<RunningParts, 'current' | 'now' | 'recent' | 'revocations'>): WhySource {
  const tryFile = createFileTrial();

  async function tryUnder(under: Under, record: AuditRecord, line: Buffer): Promise<RecordReading | Untried> {
    const { loaded, snapshot } = current();
    if (under === 'file') return tryFile({ file: loaded.file, record, line: line.toString(), now: now() });
    try {
      if (snapshot.shadow === undefined) throw new Error('no shadow is configured');
      const policyFile = compilePolicyFile(snapshot.shadow.loaded, now);
      const reading = readingOf(explainRecord(policyFile, record, line, true), []);
      await policyFile.close();
      return reading;
    } catch (error) {
      return { name: 'failed', problems: [messageOf(error)] };
    }
  }

  return {
    async decision({ id, under }) {
      const found = await recent.recordsOf(id);
      // The `decided` record has the facts of the decision; a refusal has one record.
      const decisive =
        found.find(({ record }) => record.stage === 'decided') ??
        found.find(({ record }) => record.stage === 'completed');
      if (found.length === 0) return undefined;
      const { loaded, snapshot } = current();
      const choices: Under[] = snapshot.shadow === undefined ? ['file'] : ['file', 'shadow'];
      const facts = { records: found.map(({ record }) => record), policy: loaded.hash, choices };
      if (decisive?.record.http === undefined) return { ...facts, why: undefined, tried: undefined };
      const { line, record } = decisive;
      const inForce = { loaded, snapshot, revocations: revocations.current() };
      const why = readingOf(explainRecord(inForce, record, line, true), []);
      const tried = under && (await tryUnder(under, record, line));
      return { ...facts, why, tried };
    },
  };
}
