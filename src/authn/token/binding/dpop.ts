// DPoP proofs (RFC 9449 §4.3): the sender of a request possesses the key that its token is bound to.
import { createSecretKey, hash, type KeyObject, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { timeout } from '../../../config/schema/values.ts';
import { createExpiringSet, type ExpiringSet } from '../../../oauth/expiring-set.ts';
import { type CompactJws, hasForbiddenHeader, isJsonObject, isSignedBy, parseCompactJws } from '../compact-jws.ts';
import { parseVerificationKey, signatureAlgorithm } from '../jwk.ts';
import { createNonceMint, type NonceMint } from './dpop-nonce.ts';

const maxProofAgeMs = 300_000;

/** `dpop` of every authenticator of access tokens. */
export const dpopSchema = z
  .union([
    z.literal('off'),
    z.strictObject({
      algorithms: z
        .array(signatureAlgorithm)
        .min(1)
        .default(['ES256', 'EdDSA', 'PS256', 'RS256'])
        .describe('Accepted signature algorithms of proofs.'),
      maxAge: timeout
        .refine((ms) => ms <= maxProofAgeMs, 'expected at most 5m')
        .prefault('60s')
        .describe('How old a proof may be.'),
      nonce: z
        .enum(['off', 'required'])
        .default('off')
        .describe('required: proofs must hold a nonce that this gateway gave out.'),
    }),
  ])
  .prefault({})
  .describe('How the senders of DPoP-bound tokens prove themselves (RFC 9449); off: such tokens are refused.');
export type DpopConfig = z.output<typeof dpopSchema>;

const refusals = [
  'proof_missing',
  'proof_format',
  'proof_algorithm',
  /** Not that of the token, private, or weak. */
  'proof_key',
  /** Made for another method or URL. */
  'proof_request',
  /** Made too long ago, or in the future. */
  'proof_time',
  /** Made for another token. */
  'proof_token',
  'proof_nonce',
  'proof_signature',
  'proof_replayed',
] as const;

/** Reasons of a refused proof, a part of the closed list. */
export type ProofRefusal = (typeof refusals)[number];

/** True for a reason of this list. */
export function isProofRefusal(reason: string): reason is ProofRefusal {
  return (refusals as readonly string[]).includes(reason);
}

/** `nonce`: what the answer should hand to the client. `full` is a failure of ours: the proof may be good. */
export type ProofVerification =
  | { readonly proven: true; readonly nonce: string | undefined }
  | { readonly proven: false; readonly reason: ProofRefusal | 'full'; readonly nonce?: string | undefined };

/** A proof and the request that it must fit. */
export interface ProofRequest {
  /** The value of the DPoP header; undefined when there was none. */
  readonly proof: string | undefined;
  readonly token: string;
  /** The `jkt` of the token. */
  readonly thumbprint: string;
  /** Whom the token names, with however many keys. */
  readonly caller: string;
  readonly method: string;
  /** The public URL of what was asked for, from the configuration and the path, without a query. */
  readonly url: string;
  readonly now: number;
}

/** Verifies DPoP proofs. */
export interface ProofVerifier {
  /** Never throws. */
  verify(request: ProofRequest): Promise<ProofVerification>;
  /** The `alg` values that proofs may have. */
  readonly algorithms: readonly string[];
}

/** Process-wide state of proofs: a reload neither drops used proofs nor makes nonces invalid. */
export interface ProofMemory {
  /** Digests of used proofs (RFC 9449 §11.1). A proof that cannot be stored is not accepted: it may have been used. */
  readonly replays: ExpiringSet;
  readonly nonces: NonceMint;
}

/** At 65 s for each proof these are 3,000 proofs a second, of one caller a quarter of that. */
const replayLimits = { entries: 200_000, entriesPerCaller: 50_000 };

/** The key never leaves the process, so that a proof with one of its nonces is of no use at any other. */
export function createProofMemory(replays: ExpiringSet = createExpiringSet(replayLimits)): ProofMemory {
  return { replays, nonces: createNonceMint(createSecretKey(randomBytes(32))) };
}

interface ProofKey {
  readonly key: KeyObject;
  readonly thumbprint: string;
  readonly algorithm: string;
}

/** Room for a URL of 8 KiB beside the largest key. */
const maxProofLength = 16_384;
const maxIdLength = 256;
const maxUrlLength = 8192;
/** Tolerated lead of a client's clock. */
const toleranceMs = 5000;
const maxCachedKeys = 1000;
/** Of the headers in that cache: those of the largest keys are shorter. */
const maxCachedHeaderLength = 4096;

/** Creates the verifier of proofs beside the tokens of one authenticator; undefined with `dpop: off`. */
export function createProofVerifier(config: DpopConfig, memory: ProofMemory): ProofVerifier | undefined {
  if (config === 'off') return undefined;
  // RFC 9864 gives EdDSA with Ed25519 a name of its own.
  const algorithms = config.algorithms.flatMap((name) => (name === 'EdDSA' ? [name, 'Ed25519'] : [name]));
  /** By the text of the proof's header, which a client repeats with every proof. Only what proved a token is in it. */
  const keys = new LRUCache<string, ProofKey>({ max: maxCachedKeys });
  const keepMs = config.maxAge + 2 * toleranceMs;

  async function verifySignature(proof: CompactJws, key: ProofKey, request: ProofRequest, nonce: string | undefined) {
    if (!(await isSignedBy(proof, key.key, key.algorithm))) return refused('proof_signature');
    const id = hash('sha256', `${key.thumbprint} ${String(proof.claims.jti)}`, 'base64url');
    const added = memory.replays.add(request.caller, id, keepMs, request.now);
    if (added !== 'added') return refused(added === 'full' ? 'full' : 'proof_replayed');
    const header = headerTextOf(proof);
    if (header.length <= maxCachedHeaderLength) keys.set(header, key);
    return { proven: true, nonce } as const;
  }

  return {
    algorithms,
    async verify(request) {
      const current = config.nonce === 'required' ? memory.nonces.current(request.now) : undefined;
      if (request.proof === undefined) return refused('proof_missing', current);
      const proof = request.proof.length > maxProofLength ? undefined : parseCompactJws(request.proof);
      if (proof === undefined) return refused('proof_format');
      const key = keys.get(headerTextOf(proof)) ?? keyOf(proof.header, algorithms);
      if (typeof key === 'string') return refused(key);
      const reason = verifyClaims(proof.claims, request, config.maxAge);
      if (reason !== undefined) return refused(reason);
      if (key.thumbprint !== request.thumbprint) return refused('proof_key');
      if (current === undefined) return verifySignature(proof, key, request, undefined);
      const { nonce } = proof.claims;
      const age = typeof nonce === 'string' ? memory.nonces.verify(nonce, request.now) : 'refused';
      if (age === 'refused') return refused('proof_nonce', current);
      return verifySignature(proof, key, request, age === 'stale' ? current : undefined);
    },
  };
}

/** The key in the header of a proof, or why there is none. Nothing of it is trusted before its thumbprint is that of the token. */
function keyOf(header: CompactJws['header'], algorithms: readonly string[]): ProofKey | ProofRefusal {
  const { alg, jwk, typ } = header;
  if (typ !== 'dpop+jwt' || hasForbiddenHeader(header)) return 'proof_format';
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'proof_algorithm';
  if (!isJsonObject(jwk)) return 'proof_format';
  const key = parseVerificationKey(jwk);
  if (typeof key === 'string') return 'proof_key';
  const fits = key.algorithms.has(alg === 'Ed25519' ? 'EdDSA' : alg);
  return fits ? { key: key.key, thumbprint: key.thumbprint, algorithm: alg } : 'proof_algorithm';
}

function verifyClaims(
  { ath, htm, htu, iat, jti }: CompactJws['claims'],
  request: ProofRequest,
  maxAgeMs: number,
): ProofRefusal | undefined {
  if (typeof jti !== 'string' || jti === '' || jti.length > maxIdLength) return 'proof_format';
  if (typeof iat !== 'number' || typeof htm !== 'string' || typeof htu !== 'string') return 'proof_format';
  if (htm !== request.method || !isSameUrl(htu, request.url)) return 'proof_request';
  const issuedMs = iat * 1000;
  // Both ends are negated comparisons, so that what is no number is refused.
  if (!(issuedMs <= request.now + toleranceMs && issuedMs > request.now - maxAgeMs - toleranceMs)) return 'proof_time';
  return ath === hash('sha256', request.token, 'base64url') ? undefined : 'proof_token';
}

/** RFC 9449 §4.3: without query and fragment; scheme, host and default port as RFC 3986 §6.2 makes them alike. */
function isSameUrl(stated: string, url: string): boolean {
  if (stated === url) return true;
  if (stated.length > maxUrlLength || !/^https?:\/\/[^\s\\@]+$/i.test(stated)) return false;
  const [bare = ''] = stated.split(/[?#]/);
  if (!URL.canParse(bare)) return false;
  const { origin, pathname } = new URL(bare);
  return `${origin}${pathname}` === url;
}

function headerTextOf({ text }: CompactJws): string {
  return text.slice(0, text.indexOf('.'));
}

function refused(reason: ProofRefusal | 'full', nonce?: string): ProofVerification {
  return { proven: false, reason, nonce };
}
