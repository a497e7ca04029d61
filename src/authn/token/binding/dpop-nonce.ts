// Nonces of DPoP proofs (RFC 9449 §9): authenticated with a key of this process, so that none has to be stored.
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

/** Makes and checks nonces. */
export interface NonceMint {
  /** The nonce to hand out now. */
  current(nowMs: number): string;
  /** `stale`: good, but the client should have the current one for its next proof. */
  verify(nonce: string, nowMs: number): 'current' | 'stale' | 'refused';
}

/** Time for which one nonce is handed out, and the number of these steps for which it is accepted: four to five minutes. */
const stepMs = 60_000;
const acceptedSteps = 5;
const checkBytes = 16;

/** `<step>.<check>`: the step in base 36, check = HMAC-SHA-256(key, "dpop-nonce" step), 128 bits of it. */
export function createNonceMint(key: KeyObject): NonceMint {
  let known = { step: -1, nonce: '' };

  function nonceOf(step: number): string {
    if (known.step === step) return known.nonce;
    const check = createHmac('sha256', key).update(`dpop-nonce ${step}`).digest().subarray(0, checkBytes);
    return `${step.toString(36)}.${check.toString('base64url')}`;
  }

  return {
    current(nowMs) {
      const step = Math.floor(nowMs / stepMs);
      if (known.step !== step) known = { step, nonce: nonceOf(step) };
      return known.nonce;
    },
    verify(nonce, nowMs) {
      const now = Math.floor(nowMs / stepMs);
      const step = /^[0-9a-z]{1,10}\./.test(nonce) ? Number.parseInt(nonce, 36) : Number.NaN;
      if (!(step <= now && step > now - acceptedSteps)) return 'refused';
      const expected = Buffer.from(nonceOf(step));
      const presented = Buffer.from(nonce);
      if (presented.length !== expected.length || !timingSafeEqual(presented, expected)) return 'refused';
      return step === now ? 'current' : 'stale';
    },
  };
}
