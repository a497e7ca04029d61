// Sibling processes of a gateway: other workers, to which requests of the same clients come.
import type { KeyObject } from 'node:crypto';
import type { TemporaryRevocation } from '../authn/caller/temporary-revocations.ts';
import type { LimitShares } from '../limit-share.ts';
import type { EphemeralKeys } from '../upstream/identity/assertion-key.ts';

/** A request by what a cancellation or progress outside of a session names. */
export interface PendingRequest {
  /** JSON text. */
  readonly id: string;
  /** Name of its route. */
  readonly route: string | undefined;
  readonly subject: string;
}

/** Keys that stand in where the configuration names no files. They outlive reloads, and each process. */
export interface SharedKeys {
  /** Seals session ids. */
  readonly session: KeyObject;
  readonly assertion: EphemeralKeys;
  /** Keys of TLS session tickets (RFC 5077) under the configuration with this hash, so that tickets of another one are void. */
  tickets(hash: string): Buffer;
}

/** State that the processes have together. */
export interface Siblings {
  readonly keys: SharedKeys;
  readonly limitShares: LimitShares;
  /** True if another process has the request under way. False also where that cannot be found out. */
  isPending(request: PendingRequest): Promise<boolean>;
  /** Brings a temporary revocation into force in all processes, this one included. Rejects where that cannot be. */
  revoke(revocation: TemporaryRevocation): Promise<RevocationSpread>;
}

/** Result of a temporary revocation; `full`: it is not in force, since there are too many. */
export type RevocationSpread =
  | 'full'
  | {
      /** Processes that did not confirm in time. They get it once they answer, or end. */
      readonly late: readonly number[];
    };
