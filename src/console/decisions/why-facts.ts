// Facts of one decision: its records, and its reading under the policy in force and under another one.
import type { AuditRecord } from '../../audit/reading/record.ts';
import { ConfigError, formatProblem } from '../../config/problem.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { explainRecord, type RecordExplanation } from '../../review/explain/explain-record.ts';
import { reachedRules } from '../policy/reached-rules.ts';
import { createOtherPolicies, type Under } from './other-policies.ts';

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
  readonly why: Reading | undefined;
  /** Under the other one. */
  readonly tried: Reading | Untried | undefined;
}

/** A reading of the record. */
export interface Reading extends Omit<RecordExplanation, 'record'> {
  /** Rules behind the governing one, which are left out, by part. */
  readonly notReached: readonly number[];
  /** Sentences about what was not at hand. */
  readonly notes: readonly string[];
}

/** The reasons for which the other policy could not be used. */
export interface Untried {
  readonly problems: readonly string[];
}

/** Viewers that wait for a configuration to be opened; one is opened at a time. */
const maxWaiting = 4;

/** Creates the functions. */
export function whyFacts({
  current,
  now,
  recent,
  revocations,
}: Pick<RunningParts, 'current' | 'now' | 'recent' | 'revocations'>): WhySource {
  const open = createOtherPolicies({ current, now });
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();

  /** Opening a configuration takes the event loop for a while, so that it is done for one viewer after the other; those behind the first have it. */
  async function inTurn<T>(work: () => Promise<T>): Promise<T | Untried> {
    if (waiting >= maxWaiting) return { problems: ['Others are trying requests right now. Load the page again.'] };
    waiting += 1;
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn.finally(() => {
      waiting -= 1;
    });
  }

  async function tryUnder(under: Under, record: AuditRecord, line: Buffer): Promise<Reading | Untried> {
    try {
      const { notes, policyFile } = await open(under);
      return readingOf(explainRecord(policyFile, record, line, notes.length === 0), notes);
    } catch (error) {
      if (error instanceof ConfigError) return { problems: error.problems.map(formatProblem) };
      return { problems: [error instanceof Error ? error.message : String(error)] };
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
      const tried = under && (await inTurn(() => tryUnder(under, record, line)));
      return { ...facts, why, tried };
    },
  };
}

function readingOf({ decision, record: _, ...explanation }: RecordExplanation, notes: readonly string[]): Reading {
  if (decision === undefined) return { ...explanation, decision, notReached: [], notes };
  const { notReached, parts } = reachedRules(decision.parts);
  return { ...explanation, decision: { ...decision, parts }, notReached, notes };
}
