// The kinds of token that cost a gateway something else: read by their issuer, bound to a certificate, bound to a key that proves itself each time.
import { createDpopKey } from '../support/dpop.ts';
import { requestOf, type Target } from './meter.ts';
import type { Scene } from './scene.ts';

export interface TokenKind extends Pick<Target, 'name' | 'prepare'> {
  /** What the connection shows, in PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/** Not readable by the gateway: asked about at its issuer, and then remembered for `cacheFor`. */
export function opaque(scene: Scene): TokenKind {
  const request = requestOf(scene, { authorization: `Bearer ${scene.opaqueToken}` });
  return { name: 'portcullis, introspected token', prepare: async () => () => request };
}

/** RFC 8705: held against the certificate of the connection on each request. */
export async function boundByCertificate(scene: Scene): Promise<TokenKind> {
  const { certificatePem, keyPem, thumbprint } = await scene.issueClientCertificate();
  const token = await scene.signToken({ cnf: { 'x5t#S256': thumbprint } });
  const request = requestOf(scene, { authorization: `Bearer ${token}` });
  return {
    name: 'portcullis, certificate-bound token',
    prepare: async () => () => request,
    certificate: { cert: certificatePem, key: keyPem },
  };
}

/** RFC 9449: a proof for each request, signed before the clock runs and verified by the gateway. A key for each turn, as clients are many. */
export async function boundByProof(scene: Scene): Promise<TokenKind> {
  return {
    name: 'portcullis, DPoP-bound token',
    async prepare(count) {
      const key = await createDpopKey();
      const token = await scene.signToken(key.binding);
      const authorization = `DPoP ${token}`;
      const requests: ReturnType<typeof requestOf>[] = [];
      for (let index = 0; index < count; index++) {
        const dpop = await key.proof({ token, method: 'POST', url: scene.resource });
        requests.push(requestOf(scene, { authorization, dpop }));
      }
      return (index) => requests[index]!;
    },
  };
}
