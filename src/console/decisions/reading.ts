// Reading of a recorded request under a policy, as plain values, or the reason for which there is none.
import type { RecordExplanation } from '../../review/explain/explain-record.ts';
import { reachedRules } from '../policy/reached-rules.ts';

/** A reading of the record. */
export interface RecordReading extends Omit<RecordExplanation, 'record'> {
  /** Rules behind the governing one, which are left out, by part. */
  readonly notReached: readonly number[];
  /** Sentences about what was not at hand. */
  readonly notes: readonly string[];
}

/** The reasons for which another policy could not be used. */
export interface Untried {
  readonly name: 'policy_refused' | 'opening' | 'busy' | 'timeout' | 'out_of_memory' | 'failed';
  readonly problems: readonly string[];
}

/** The reading of an explanation. */
export function readingOf(
  { decision, record: _, ...explanation }: RecordExplanation,
  notes: readonly string[],
): RecordReading {
  if (decision === undefined) return { ...explanation, decision, notReached: [], notes };
  const { notReached, parts } = reachedRules(decision.parts);
  return { ...explanation, decision: { ...decision, parts }, notReached, notes };
}
