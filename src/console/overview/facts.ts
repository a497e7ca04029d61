// Facts of the overview: policy in force, readiness, and the state of what the gateway depends on.
import { type RunningParts, reasonsNotReady } from '../../gateway/admin/admin-source.ts';

/** Functions of the console source that the overview asks. */
export interface OverviewSource {
  overview(): Promise<OverviewFacts>;
}

/** State of one gateway process. */
export interface OverviewFacts {
  readonly version: string;
  readonly policy: string;
  readonly configFile: string;
  /** Milliseconds since 1970. */
  readonly inForceSince: number;
  readonly notReady: readonly string[];
}

/** Creates the functions. */
export function overviewFacts(parts: RunningParts): OverviewSource {
  const { current, reloads, version } = parts;
  return {
    overview: async () => ({
      version,
      policy: current().loaded.hash,
      configFile: current().loaded.file,
      inForceSince: reloads.inForceSince,
      notReady: reasonsNotReady(parts),
    }),
  };
}
