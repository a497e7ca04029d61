// Worker thread that reads recorded requests under the configuration file on the disk: opened once for a state of its files.
import { env } from 'node:process';
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { AuditRecord } from '../../audit/reading/record.ts';
import { stampOf } from '../../config/files/files.ts';
import { ConfigError, formatProblem } from '../../config/problem.ts';
import { messageOf } from '../../errors.ts';
import { explainRecord } from '../../review/explain/explain-record.ts';
import { type OpenPolicyFile, openPolicyFile } from '../../review/policy-file.ts';
import { type RecordReading, readingOf, type Untried } from './reading.ts';

/** A recorded request, and the file under which it is read. The thread answers each in its turn with a reading, or with why there is none. */
export interface FileQuestion {
  readonly file: string;
  readonly record: AuditRecord;
  /** The line of the record. */
  readonly line: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

interface Opened {
  readonly policyFile: OpenPolicyFile;
  readonly notes: readonly string[];
  readonly stamps: ReadonlyMap<string, string>;
}

if (parentPort !== null) answerQuestions(parentPort);

function answerQuestions(port: MessagePort): void {
  let opened: Opened | undefined;
  let now = 0;

  async function open(file: string): Promise<Opened> {
    if (opened !== undefined && (await areCurrent(opened.stamps))) return opened;
    await opened?.policyFile.close();
    opened = undefined;
    const notes: string[] = [];
    const stamps = new Map<string, string>();
    const note = (sentence: string): void => void notes.push(sentence);
    const policyFile = await openPolicyFile(file, { env, now: () => now, note, stamps });
    const { revocations } = policyFile.loaded;
    // Nothing follows the list here, as a gateway does.
    if (revocations !== undefined) stamps.set(revocations.path, revocations.stamp);
    opened = { policyFile, notes, stamps };
    return opened;
  }

  async function answer({ file, line, record, ...question }: FileQuestion): Promise<RecordReading | Untried> {
    now = question.now;
    try {
      const { notes, policyFile } = await open(file);
      return readingOf(explainRecord(policyFile, record, Buffer.from(line), notes.length === 0), notes);
    } catch (error) {
      if (error instanceof ConfigError) return { name: 'policy_refused', problems: error.problems.map(formatProblem) };
      return { name: 'failed', problems: [messageOf(error)] };
    }
  }

  port.on('message', async (question: FileQuestion) => port.postMessage(await answer(question)));
}

async function areCurrent(stamps: ReadonlyMap<string, string>): Promise<boolean> {
  const found = await Promise.all([...stamps].map(async ([path, stamp]) => (await stampOf(path)) === stamp));
  return found.every(Boolean);
}
