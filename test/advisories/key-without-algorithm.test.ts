// CVE-2026-22817 (Hono): where a published key has no `alg`, the token's own header chose it. CVE-2023-48223 and CVE-2026-34950 (fast-jwt): an RSA
// public key, with white space before its PEM header, was taken for an HMAC secret. neotoma: a token whose key was not found was only decoded.
import { createHmac } from 'node:crypto';
import t from 'tap';
import { assertRefused, attack, host, post } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { createFakeIssuer, createSigningKey, signToken } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';

t.test('the configuration and the key decide on the algorithm, never the token', async (t) => {
  const issuer = await createFakeIssuer();
  t.teardown(issuer.close);
  const key = createSigningKey('RS256');
  const { alg: _alg, use: _use, ...bare } = key.jwk as Record<string, unknown>;
  // Before the gateway asks for them: it asks again for a key that it does not know at most once in ten seconds.
  issuer.publish([bare]);
  const scenario = await startScenario(t, {}, { issuer });
  const claims = {
    iss: issuer.issuer,
    aud: 'https://mcp.example.com/mcp',
    sub: 'x',
    client_id: 'x',
    scope: 'dashboards:read',
  };
  const call = (token: string) => post(toolCall('list_dashboards'), [host, `Authorization: Bearer ${token}`]);
  const expected = { status: 401, code: 'invalid_token', http: { method: 'POST', path: '/mcp' } };
  const pem = String(key.publicKey.export({ type: 'spki', format: 'pem' }));
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const secret of [
    pem,
    `\n${pem}`,
    ` ${pem}`,
    pem.trim(),
    JSON.stringify(bare),
    key.publicKey.export({ type: 'spki', format: 'der' }),
  ]) {
    for (const alg of ['HS256', 'HS512', 'hs256']) {
      const exp = Math.floor(Date.now() / 1000) + 300;
      const signed = `${encode({ alg, typ: 'at+jwt', kid: key.kid })}.${encode({ ...claims, exp })}`;
      const signature = createHmac(alg.toLowerCase() === 'hs512' ? 'sha512' : 'sha256', secret)
        .update(signed)
        .digest('base64url');
      assertRefused(t, alg, await attack(scenario, call(`${signed}.${signature}`)), expected);
    }
  }
  const unknown = await signToken(issuer.issuer, claims, { key: createSigningKey('RS256') });
  assertRefused(t, 'a key that is not found', await attack(scenario, call(unknown)), expected);
  const good = await attack(scenario, call(await signToken(issuer.issuer, claims, { key })));
  t.equal(good.answer.status, 200, 'a key without `alg` serves the algorithms of its type');
});
