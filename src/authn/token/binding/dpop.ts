// DPoP proofs (RFC 9449 §4.3): the sender of a request possesses the key that its token is bound to.
import { hash } from 'node:crypto';
import * as z from 'zod';
import { timeout } from '../../../config/schema/values.ts';
import { createSharedCache, type SharedCache } from '../../../oauth/shared-cache.ts';
import type { SharedState } from '../../../state/shared-state.ts';
import {
  type CompactJws,
  decodeSegment,
  hasForbiddenHeader,
  isJsonObject,
  parseJsonSegment,
  splitCompactJws,
} from '../compact-jws.ts';
import { parseVerificationKey, signatureAlgorithm } from '../jwk.ts';
import { createNonceMint, type NonceMint } from './dpop-nonce.ts';
import { createSignatureVerifier, type SignatureVerifier } from './proof-signature.ts';

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
  /** SHA-256 of the token, in base64url. */
  readonly ath: string;
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
  /** Throws GatewayError `state_unavailable` when it cannot be told if the proof is new. */
  verify(request: ProofRequest): Promise<ProofVerification>;
  /** The `alg` values that proofs may have. */
  readonly algorithms: readonly string[];
}

/** Process-wide state of proofs: a reload neither drops used proofs nor makes nonces invalid. */
export interface ProofMemory {
  /** Digests of used proofs (RFC 9449 §11.1). A proof that cannot be stored is not accepted: it may have been used. */
  readonly claim: SharedState['claim'];
  readonly nonces: NonceMint;
}

/** A proof is good once, and a nonce is good, for all who share the state. */
export function createProofMemory(state: SharedState): ProofMemory {
  return { claim: state.claim, nonces: createNonceMint(state) };
}

type Claims = CompactJws['claims'];

/** The key in the header of a proof. */
export interface ProofKey {
  readonly thumbprint: string;
  readonly isSigned: SignatureVerifier;
}

/** Keys by the text of the header, which a client repeats with every proof. Only what proved a token is in it. */
export type ProofKeyCache = SharedCache<ProofKey>;

/** Room for a URL of 8 KiB beside the largest key. */
const maxProofLength = 16_384;
const maxIdLength = 256;
const maxUrlLength = 8192;
/** Tolerated lead of a client's clock. */
const toleranceMs = 5000;
const keyLimits = { entries: 1000, entriesPerCaller: 250, bytes: 8 * 1024 * 1024 };
/** About what a key takes beside its header. */
const keyBytes = 4096;
/** Of the headers in that cache: those of the largest keys are shorter. */
const maxCachedHeaderLength = 4096;

/** Creates the verifier of proofs beside the tokens of one authenticator; undefined with `dpop: off`. */
export function createProofVerifier(
  config: DpopConfig,
  memory: ProofMemory,
  keys: ProofKeyCache = createSharedCache(keyLimits),
): ProofVerifier | undefined {
  if (config === 'off') return undefined;
  // RFC 9864 gives EdDSA with Ed25519 a name of its own.
  const algorithms = config.algorithms.flatMap((name) => (name === 'EdDSA' ? [name, 'Ed25519'] : [name]));
  const keepMs = config.maxAge + 2 * toleranceMs;

  function remember(caller: string, header: string, key: ProofKey): void {
    if (header.length > maxCachedHeaderLength) return;
    // Copied: a slice would keep the whole proof in memory.
    keys.set(caller, Buffer.from(header, 'latin1').toString('latin1'), key, keyBytes);
  }

  return {
    algorithms,
    async verify(request) {
      const { proof, caller, now } = request;
      const current = config.nonce === 'required' ? await memory.nonces.current(now) : undefined;
      if (proof === undefined) return refused('proof_missing', current);
      const segments = proof.length > maxProofLength ? undefined : splitCompactJws(proof);
      if (segments === undefined) return refused('proof_format');
      const signature = decodeSegment(segments.signature);
      const claims = parseJsonSegment(segments.claims);
      if (signature === undefined || claims === undefined) return refused('proof_format');
      const known = keys.get(segments.header);
      const key = known ?? parseKey(segments.header, algorithms);
      if (typeof key === 'string') return refused(key);
      const reason = verifyClaims(claims, request, config.maxAge);
      if (reason !== undefined) return refused(reason);
      if (key.thumbprint !== request.thumbprint) return refused('proof_key');
      const nonce = current === undefined ? 'current' : await verifyNonce(claims, memory.nonces, now);
      if (nonce === 'refused') return refused('proof_nonce', current);
      const signed = Buffer.from(proof.slice(0, proof.lastIndexOf('.')), 'latin1');
      if (!(await key.isSigned(signed, signature))) return refused('proof_signature');
      const id = hash('sha256', `${key.thumbprint} ${String(claims.jti)}`, 'base64url');
      const added = await memory.claim('dpop', caller, id, keepMs);
      if (added !== 'added') return refused(added === 'full' ? 'full' : 'proof_replayed');
      if (known === undefined) remember(caller, segments.header, key);
      return { proven: true, nonce: nonce === 'stale' ? current : undefined };
    },
  };
}

/** The key in the header of a proof, or why there is none. Nothing of it is trusted before its thumbprint is that of the token. */
function parseKey(text: string, algorithms: readonly string[]): ProofKey | ProofRefusal {
  const header = parseJsonSegment(text);
  if (header === undefined) return 'proof_format';
  const { alg, jwk, typ } = header;
  if (typ !== 'dpop+jwt' || hasForbiddenHeader(header)) return 'proof_format';
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'proof_algorithm';
  if (!isJsonObject(jwk)) return 'proof_format';
  const parsed = parseVerificationKey(jwk);
  if (typeof parsed === 'string') return 'proof_key';
  const { algorithms: fitting, key, thumbprint } = parsed;
  if (!fitting.has(alg === 'Ed25519' ? 'EdDSA' : alg)) return 'proof_algorithm';
  return { thumbprint, isSigned: createSignatureVerifier(key, alg) };
}

function verifyClaims(
  { ath, htm, htu, iat, jti }: Claims,
  request: ProofRequest,
  maxAgeMs: number,
): ProofRefusal | undefined {
  if (typeof jti !== 'string' || jti === '' || jti.length > maxIdLength) return 'proof_format';
  if (typeof iat !== 'number' || typeof htm !== 'string' || typeof htu !== 'string') return 'proof_format';
  if (htm !== request.method || !isSameUrl(htu, request.url)) return 'proof_request';
  const issuedMs = iat * 1000;
  // Both ends are negated comparisons, so that what is no number is refused.
  if (!(issuedMs <= request.now + toleranceMs && issuedMs > request.now - maxAgeMs - toleranceMs)) return 'proof_time';
  return ath === request.ath ? undefined : 'proof_token';
}

async function verifyNonce({ nonce }: Claims, nonces: NonceMint, now: number): ReturnType<NonceMint['verify']> {
  return typeof nonce === 'string' ? nonces.verify(nonce, now) : 'refused';
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

function refused(reason: ProofRefusal | 'full', nonce?: string): ProofVerification {
  return { proven: false, reason, nonce };
}
