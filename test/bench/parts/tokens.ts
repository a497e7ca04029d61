// Part `tokens`: the kinds that cost a gateway something else: read by their issuer, bound to a certificate, bound to a key that proves itself each time.
import { createDpopKey } from '../../support/dpop.ts';
import { type Contest, type Entry, same } from '../contest.ts';
import { callOf, type Request, requestOf } from '../requests.ts';
import type { Scene } from '../scene.ts';
import { bare, yardsticks } from './calls.ts';

const body = callOf();
const gateway = { script: 'dist/main.js', base: bare } as const;
const byProof = 'portcullis, DPoP-bound token';

export const tokens: Contest = {
  scene: { allTokens: true },
  entries: async (scene) => [
    ...yardsticks(scene),
    same(scene, { name: 'portcullis, plain token', ...gateway }, { body }),
    // Not readable by the gateway: asked about at its issuer, and then remembered for `cacheFor`.
    withToken('portcullis, introspected token', scene.opaqueToken),
    await boundByCertificate(scene),
    boundByProof(scene),
  ],
  bounds: [{ of: byProof, to: bare, atMost: 1.4 }],
};

function withToken(name: string, token: string): Entry {
  const request = requestOf(body, { authorization: `Bearer ${token}` });
  return { name, ...gateway, prepare: async () => () => request };
}

/** RFC 8705: held against the certificate of the connection on each request. */
async function boundByCertificate(scene: Scene): Promise<Entry> {
  const { certificatePem, keyPem, thumbprint } = await scene.issueClientCertificate();
  const token = await scene.signToken({ cnf: { 'x5t#S256': thumbprint } });
  const certificate = { cert: certificatePem, key: keyPem };
  return { ...withToken('portcullis, certificate-bound token', token), certificate };
}

/** RFC 9449: a proof for each request, signed before the clock runs and verified by the gateway. A key for each turn, as clients are many. */
function boundByProof(scene: Scene): Entry {
  return {
    name: byProof,
    ...gateway,
    async prepare(count) {
      const key = await createDpopKey();
      const token = await scene.signToken(key.binding);
      const requests: Request[] = [];
      for (let index = 0; index < count; index++) {
        const dpop = await key.proof({ token, method: 'POST', url: scene.resource });
        requests.push(requestOf(body, { authorization: `DPoP ${token}`, dpop }));
      }
      return (index) => requests[index]!;
    },
  };
}
