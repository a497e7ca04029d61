// Position file of a spool: where delivery stands, for the next start.
import { join } from 'node:path';
import type { Log } from '../../../log.ts';
import { replaceFile } from '../../../replace-file.ts';
import type { ChainHead } from '../../hash-chain.ts';
import { codeOf } from '../file/errno.ts';
import { createTurns } from './turns.ts';

/** Where delivery stands, and the end of the chain, which outlives the segments. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
  readonly head: ChainHead;
}

/** Saves the position of a spool. */
export interface PositionFile {
  /** The position has changed. */
  move(): void;
  /** Writes what has changed. */
  save(): Promise<void>;
  /** The same; a failure is logged, a lasting one once. */
  saveOrTell(): Promise<void>;
}

/** The path of the file. */
export function positionPath(folder: string): string {
  return join(folder, 'position.json');
}

/** Creates it. `current` yields nothing before the spool is open. */
export function createPositionFile(folder: string, log: Log, current: () => Position | undefined): PositionFile {
  const inTurn = createTurns();
  let isMoved = false;
  /** The failure of the last save. */
  let unsaved: string | undefined;

  async function write(): Promise<void> {
    const position = current();
    if (!isMoved || position === undefined) return;
    isMoved = false;
    try {
      await replaceFile(positionPath(folder), JSON.stringify(position), 0o600);
      unsaved = undefined;
    } catch (error) {
      isMoved = true;
      throw error;
    }
  }

  return {
    move() {
      isMoved = true;
    },
    save: () => inTurn(write),
    saveOrTell: () =>
      inTurn(write).catch((error: Error) => {
        const problem = String(codeOf(error) ?? error.message);
        if (problem !== unsaved)
          log.error({ path: folder, problem: error.message }, 'the position of the spool cannot be saved');
        unsaved = problem;
      }),
  };
}
