// The files that gateway.example.yaml and deploy/superset/gateway.yaml name, made for the occasion.
import { generateKeyPairSync, hash, randomBytes } from 'node:crypto';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { now } from './support.ts';

/** Contents by the names that the example gives them, valid for half an hour and more from `at`. */
export async function exampleFiles(at: number = now): Promise<Record<string, string>> {
  const validity = { notBefore: new Date(at - 86_400_000), notAfter: new Date(at + 86_400_000) };
  const clients = await createCertificateAuthority({ commonName: 'Clients', ...validity });
  const internal = await createCertificateAuthority({ commonName: 'Internal', ...validity });
  const server = await internal.issue({
    commonName: 'mcp.example.com',
    dnsNames: ['mcp.example.com'],
    server: true,
    ...validity,
  });
  const alias = await internal.issue({
    commonName: 'alias',
    dnsNames: ['alias.example.com'],
    server: true,
    ...validity,
  });
  const gateway = await internal.issue({ commonName: 'gateway', ...validity });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    'revoked.yaml': 'clientIds: [corp-oauth/former_agent]\n',
    'tls/tls.crt': server.certificatePem,
    'tls/tls.key': server.keyPem,
    'tls/alias.crt': alias.certificatePem,
    'tls/alias.key': alias.keyPem,
    'tls/clients-ca.crt': clients.certificatePem,
    'tls/clients.crl': await clients.revoke([], { nextUpdate: new Date(at + 1_800_000) }),
    'tls/issuer-ca.crt': internal.certificatePem,
    'tls/superset-ca.crt': internal.certificatePem,
    'tls/gateway.crt': gateway.certificatePem,
    'tls/gateway.key': gateway.keyPem,
    'secrets/introspection': 'the-secret-of-the-gateway\n',
    'keys/client.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'keys/assertion.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'secrets/audit.pem': generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'secrets/superset-api': 'a-token-of-the-gateway\n',
    'secrets/sessions.key': `${randomBytes(32).toString('base64')}\n`,
  };
}

/** The same for deploy/superset/gateway.yaml. */
export async function supersetFiles(at: number = now): Promise<Record<string, string>> {
  const authority = await createCertificateAuthority({
    notBefore: new Date(at - 86_400_000),
    notAfter: new Date(at + 86_400_000),
  });
  const server = await authority.issue({
    commonName: 'mcp.example.com',
    dnsNames: ['mcp.example.com'],
    server: true,
  });
  const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
  const key = `{id: k1, hash: "sha256:${hash('sha256', 'sk_a-key-of-the-reporting-tool')}", clientId: reporting_tool, scopes: ["dashboards:read"], expires: 2999-01-01}`;
  return {
    'tls/tls.crt': server.certificatePem,
    'tls/tls.key': server.keyPem,
    'keys.yaml': `[${key}]`,
    'keys/assertion.pem': privateKey,
  };
}

/** gateway.example.yaml without the demands of its rule `sql`. */
export function withoutRequire(example: string): string {
  return example.replace(/(allow: \{tools: \[execute_sql\]\}\n) +require:\n(?: {12}.*\n)+/, '$1');
}
