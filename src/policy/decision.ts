// What policy says. There is no third answer, and a decision that was never made is a denial.

export type DenialReason = 'denied' | 'insufficient_scope' | 'condition_error';

export type Decision =
  | { readonly allow: true; readonly rule: string; readonly requiredScopes: readonly string[] }
  | {
      readonly allow: false;
      readonly reason: DenialReason;
      /** The governing rule; undefined when none matched. */
      readonly rule: string | undefined;
      readonly requiredScopes: readonly string[];
      readonly missingScopes: readonly string[];
    };
