// Contract of stand-ins for the files and secrets that a configuration names.
import type { Path } from '../schema/reporter.ts';

/** Contents in place of named files and values that are not at hand. */
export interface StandIns {
  /** The content for the file that this key of the configuration names; undefined where nothing can stand in for it. */
  contentFor(path: Path, tree: unknown): Promise<Buffer | undefined>;
  /** In place of a secret that is put in. */
  readonly value: string;
  /** Takes the place of everything that was not at hand. */
  used(path: Path): void;
}
