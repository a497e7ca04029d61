// Shared state: used proofs, limits and secrets that several requests, processes or replicas agree on.

/** Outcome of a claim: `added` once, and then `present`. `full` where there is no room for it. */
export type Claim = 'added' | 'present' | 'full';

/** Size of a limit: a token bucket, or a quota in fixed windows that begin at 1970 UTC. */
export type LimitSize =
  | { readonly kind: 'bucket'; readonly burst: number; readonly intervalMs: number }
  | { readonly kind: 'window'; readonly points: number; readonly windowMs: number };

/** Answer of a limit to a request, and the rest that it leaves. */
export interface Consumption {
  readonly allowed: boolean;
  readonly remaining: number;
  /** Time until the next request is allowed; 0 for an allowed one. */
  readonly retryAfterMs: number;
  /** Time until the limit is whole again. */
  readonly resetMs: number;
  /** There was no room for a bucket of this key alone: it shares one, or is refused. */
  readonly isShared?: boolean;
}

/**
 * Origin of a key of a limit: it holds nothing that a caller makes up (`given`), or something, and then only its `holder` has it, or it is `common` to
 * all who make up the same. One key is always of one origin.
 */
export type KeyOrigin = 'given' | 'holder' | 'common';

/** A limit for each key. */
export interface Limiter {
  /** Takes one where it is left. A refused request takes nothing. `holder` is the caller, who has a share of the room for the keys that callers make up. */
  consume(key: string, holder: string, origin: KeyOrigin): Promise<Consumption>;
  /** Gives back what a request took that was not carried out. Not for a window that has ended since. */
  giveBack(key: string, holder: string, origin: KeyOrigin): Promise<void>;
}

/** State of this process, of all workers, or of all replicas. Each method throws GatewayError `state_unavailable` while it cannot be asked. */
export interface SharedState {
  /** Takes what is good once. `space` is a name of ours, `caller` has a share of the room, `id` should be a digest; it is kept for `keepMs`. */
  claim(space: string, caller: string, id: string, keepMs: number): Promise<Claim>;
  /** The limit of this name. Another size of the same name goes on with what was used. */
  limiter(name: string, size: LimitSize): Limiter;
  /** 32 random bytes, the same for all who ask for this name within `keepMs`. */
  secret(name: string, keepMs: number): Promise<Buffer>;
}
