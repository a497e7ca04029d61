// Nonces of DPoP proofs (RFC 9449 §9): authenticated with a key of the shared state, so that none has to be stored.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SharedState } from '../../../state/shared-state.ts';

/** Makes and checks nonces. Its functions throw GatewayError `state_unavailable` when the key is not to be had. */
export interface NonceMint {
  /** The nonce to hand out now. */
  current(nowMs: number): Promise<string>;
  /** `stale`: good, but the client should have the current one for its next proof. */
  verify(nonce: string, nowMs: number): Promise<'current' | 'stale' | 'refused'>;
}

/** Time for which one nonce is handed out, and the number of these steps for which it is accepted: four to five minutes. */
const stepMs = 60_000;
const acceptedSteps = 5;
/** Steps that share a key, which outlives the last nonce made with it. */
const keySteps = 60;
const keepKeyMs = (keySteps + acceptedSteps + 1) * stepMs;
/** Tolerated lead of the clock of another replica. */
const toleranceMs = 5000;
const checkBytes = 16;

/** `<step>.<check>`: the step in base 36, check = HMAC-SHA-256(key of its hour, "dpop-nonce" step), 128 bits of it. */
export function createNonceMint({ secret }: Pick<SharedState, 'secret'>): NonceMint {
  let known: { step: number; key: Buffer; nonce: string } = { step: -1, key: Buffer.alloc(0), nonce: '' };

  async function nonceOf(step: number): Promise<string> {
    const key = await secret(`dpop-nonce ${Math.floor(step / keySteps)}`, keepKeyMs);
    if (known.step === step && known.key.equals(key)) return known.nonce;
    const check = createHmac('sha256', key).update(`dpop-nonce ${step}`).digest().subarray(0, checkBytes);
    const nonce = `${step.toString(36)}.${check.toString('base64url')}`;
    if (step >= known.step) known = { step, key, nonce };
    return nonce;
  }

  return {
    current: (nowMs) => nonceOf(Math.floor(nowMs / stepMs)),
    async verify(nonce, nowMs) {
      const now = Math.floor(nowMs / stepMs);
      const latest = Math.floor((nowMs + toleranceMs) / stepMs);
      const step = /^[0-9a-z]{1,10}\./.test(nonce) ? Number.parseInt(nonce, 36) : Number.NaN;
      if (!(step <= latest && step > now - acceptedSteps)) return 'refused';
      const expected = Buffer.from(await nonceOf(step));
      const presented = Buffer.from(nonce);
      if (presented.length !== expected.length || !timingSafeEqual(presented, expected)) return 'refused';
      return step >= now ? 'current' : 'stale';
    },
  };
}
