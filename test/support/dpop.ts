// A DPoP client for tests (RFC 9449), made with jose: a key, the binding that a token needs, and a proof for each request.
import { createHash, type KeyObject, randomUUID, type webcrypto } from 'node:crypto';
import { CompactSign, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';

/** What challenges say behind Bearer on routes that take tokens, as long as `dpop` has its defaults. */
export const dpopChallenge = 'DPoP algs="ES256 EdDSA Ed25519 PS256 RS256"';

export interface ProofOptions {
  readonly token: string;
  readonly method: string;
  readonly url: string;
  /** Milliseconds since 1970; default now. */
  readonly now?: number;
  readonly nonce?: string | undefined;
  /** Laid over; `undefined` takes a member out. */
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Signs instead of its own key. */
  readonly signer?: KeyObject | webcrypto.CryptoKey;
}

export interface DpopKey {
  readonly publicJwk: JWK;
  readonly privateJwk: JWK;
  readonly privateKey: webcrypto.CryptoKey;
  /** For the issuer to put into the token. */
  readonly binding: { readonly cnf: { readonly jkt: string } };
  proof(options: ProofOptions): Promise<string>;
}

export async function createDpopKey(algorithm = 'ES256'): Promise<DpopKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const publicJwk = await exportJWK(publicKey);
  const jkt = await calculateJwkThumbprint(publicJwk);
  return {
    publicJwk,
    privateJwk: await exportJWK(privateKey),
    privateKey,
    binding: { cnf: { jkt } },
    proof({ token, method, url, now, nonce, header, claims, signer }) {
      const payload = {
        jti: randomUUID(),
        htm: method,
        htu: url,
        iat: Math.floor((now ?? Date.now()) / 1000),
        ath: createHash('sha256').update(token).digest('base64url'),
        ...(nonce !== undefined && { nonce }),
        ...claims,
      };
      return new CompactSign(Buffer.from(JSON.stringify(payload)))
        .setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk: publicJwk, ...header } as never)
        .sign(signer ?? privateKey);
    },
  };
}
