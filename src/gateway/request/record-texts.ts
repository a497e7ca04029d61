// Encoded parts of a principal's last audit record: the next request most often comes the same way and meets the same rule.
import type { CallerPart, DecisionPart } from '../../audit/encode.ts';
import type { Principal } from '../../authn/principal.ts';

/** They live as long as their principals. */
export type RecordTexts = WeakMap<Principal, LastTexts>;

/** The encoded parts of the last record. */
export interface LastTexts {
  caller?: { readonly of: CallerPart; readonly text: string };
  decision?: { readonly of: DecisionPart; readonly text: string };
}
