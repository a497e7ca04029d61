// Console source: the functions by which a page asks one gateway process.
import type { AccessSource } from './access/facts.ts';
import type { ConnectSource } from './connect/facts.ts';
import type { CredentialsSource } from './credentials/facts.ts';
import type { DecisionsSource } from './decisions/facts.ts';
import type { OverviewSource } from './overview/facts.ts';
import type { PolicySource } from './policy/facts.ts';
import type { StreamsSource } from './streams/facts.ts';

/**
 * Functions of one gateway process. Arguments and results are values of JSON (structured clone), as the process may be another one. A page adds its
 * own here and in `process-source.ts`.
 */
export interface ConsoleSource
  extends AccessSource,
    OverviewSource,
    DecisionsSource,
    PolicySource,
    CredentialsSource,
    StreamsSource,
    ConnectSource {}

/** A gateway process that the console can show. */
export interface ConsoleProcess {
  /** The worker's number; undefined for a gateway of one process. */
  readonly worker: number | undefined;
  /** Undefined while it cannot be asked; then `problem` says why. */
  readonly source: ConsoleSource | undefined;
  readonly problem?: string | undefined;
}
