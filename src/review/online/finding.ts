// Findings of an online check.

/** A finding about one part of the configuration. */
export interface OnlineFinding {
  /** The place in the configuration, such as `authenticators.corp`. */
  readonly path: string;
  readonly level: 'ok' | 'warning' | 'error';
  /** For the operator: what was found, and what to do. */
  readonly message: string;
}

/** A finding without its place. */
export type CheckResult = Omit<OnlineFinding, 'path'>;

/** All is well. */
export const ok = (message: string): CheckResult => ({ level: 'ok', message });

/** The gateway could not work with it. */
export const failed = (message: string): CheckResult => ({ level: 'error', message });
