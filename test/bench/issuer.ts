// Authorization server of the benchmarks: one key, tokens signed with it, and introspection that knows every token.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, type JWTPayload, SignJWT } from 'jose';

export type Algorithm = 'ES256' | 'RS256';

/** Publishes one key, and signs tokens for `audience` with it; anything that is posted is an active opaque token. */
export async function startIssuer(audience: string | string[], alg: Algorithm = 'ES256') {
  const { publicKey, privateKey } = keyPairOf(alg);
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg, use: 'sig' }] });
  const granted = { scope: 'dashboards:read queries:execute', client_id: 'ai_agent_prod', sub: 'ai_agent_prod' };
  const server = createServer((request, response) => {
    const active = { ...granted, active: true, aud: audience, exp: Math.floor(Date.now() / 1000) + 3600 };
    response.setHeader('content-type', 'application/json');
    response.end(request.method === 'POST' ? JSON.stringify(active) : keys);
    request.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sign = (claims: JWTPayload): Promise<string> =>
    new SignJWT({ ...granted, ...claims })
      .setProtectedHeader({ alg, kid: 'bench', typ: 'at+jwt' })
      .setIssuer(url)
      .setAudience(audience)
      .setIssuedAt()
      .setJti('bench-token')
      .setExpirationTime('1h')
      .sign(privateKey);
  const token = await sign({});
  const publicKeyPem = String(publicKey.export({ type: 'spki', format: 'pem' }));
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { url, token, sign, keys, publicKeyPem, close };
}

function keyPairOf(alg: Algorithm) {
  return alg === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
}
