// State file of signed heads (`audit.sign.stateFile`): the last head of each chain, replaced atomically.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { fileProblem } from '../../errors.ts';
import { replaceFile } from '../../replace-file.ts';
import { codeOf } from '../file/errno.ts';
import type { ChainHead } from '../hash-chain.ts';
import type { SinkTarget } from '../sink-type.ts';
import type { SinkHead } from './signed-head.ts';

const seq = z.int().positive();
const digest = z.string().regex(/^[0-9a-f]{64}$/);

const stateSchema = z.object({
  version: z.literal(1),
  heads: z.array(
    z.object({
      sink: z.string(),
      instance: z.string(),
      seq,
      hash: digest,
      count: z.int().nonnegative(),
      time: z.iso.datetime({ precision: 3 }),
      key: z.string(),
      signature: z.string(),
      record: z.object({ seq, hash: digest }),
    }),
  ),
});

/** The content of a state file. */
export type HeadState = z.output<typeof stateSchema>;

/** A difference between the state file and the chain of a sink. */
export interface Truncation {
  /** The key of the sink; undefined where the state file cannot be read. */
  readonly sink: string | undefined;
  readonly problem: string;
  /** Of the record of the last head, by the state file. */
  readonly expected?: ChainHead;
  /** The end of the chain. */
  readonly found?: ChainHead;
}

/** Parses a state file. Undefined for anything else. */
export function parseHeadState(text: string): HeadState | undefined {
  try {
    return stateSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Reads a state file; undefined when there is none. Throws an Error with a public message for one that cannot be read. */
export async function readHeadState(path: string): Promise<HeadState | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new Error(fileProblem(error), { cause: error });
  }
  const state = parseHeadState(text);
  if (state === undefined) throw new Error('it is no state file of audit.sign');
  return state;
}

/** Replaces a state file: whoever reads it sees the old heads or the new ones, also after a power loss. */
export async function writeHeadState(path: string, heads: readonly SinkHead[]): Promise<void> {
  const state: HeadState = { version: 1, heads: [...heads] };
  await replaceFile(path, `${JSON.stringify(state, undefined, 2)}\n`, 0o600);
}

/** The differences between a state file and chains; `missing` without a state file. */
export type StateFinding = readonly Truncation[] | 'missing';

/** A chain that was opened; `end` is undefined where that failed. */
interface OpenedChain {
  readonly sink: string;
  readonly target: SinkTarget;
  readonly end: ChainHead | undefined;
}

/** Holds chains to the heads that a state file has of them. One that does not outlive the process is not held to any. */
export async function checkHeadState(path: string, chains: readonly OpenedChain[]): Promise<StateFinding> {
  let state: HeadState | undefined;
  try {
    state = await readHeadState(path);
  } catch (error) {
    return [{ sink: undefined, problem: `${path} cannot be read: ${(error as Error).message}` }];
  }
  if (state === undefined) return 'missing';
  const truncations: Truncation[] = [];
  for (const chain of chains) {
    const expected = state.heads.find(({ sink }) => sink === chain.sink)?.record;
    const truncation = expected && (await findTruncation(chain, expected));
    if (truncation !== undefined) truncations.push(truncation);
  }
  return truncations;
}

async function findTruncation(
  { sink, target, end }: OpenedChain,
  expected: ChainHead,
): Promise<Truncation | undefined> {
  if (target.hashAt === undefined || end === undefined) return undefined;
  const differs = (problem: string) => ({ sink, problem, expected, found: end });
  if (end.seq < expected.seq)
    return differs(`the chain ends at seq ${end.seq}, before its head at seq ${expected.seq}`);
  const hash = await target.hashAt(expected.seq);
  if (hash === expected.hash) return undefined;
  return differs(
    hash === undefined
      ? `the record of its head at seq ${expected.seq} is in none of its files`
      : `at seq ${expected.seq} stands another record than its head`,
  );
}
