// Authorization server of the benchmarks: one key, tokens signed with it, and introspection that knows every token.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, type JWTPayload, SignJWT } from 'jose';

/** Publishes one key, and signs tokens for `audience` with it; anything that is posted is an active opaque token. */
export async function startIssuer(audience: string | string[]) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256', use: 'sig' }] });
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
      .setProtectedHeader({ alg: 'ES256', kid: 'bench', typ: 'at+jwt' })
      .setIssuer(url)
      .setAudience(audience)
      .setIssuedAt()
      .setJti('bench-token')
      .setExpirationTime('1h')
      .sign(privateKey);
  const token = await sign({});
  return { url, token, sign, close: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}
