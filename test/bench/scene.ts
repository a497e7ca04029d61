// Surroundings of the targets of a benchmark: certificates, a token, the upstream in a process of its own, and the gateway's configuration.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, type JWTPayload, SignJWT } from 'jose';
import { createCertificateAuthority } from '../../src/dev/pki.ts';
import type { Pinning } from './pinning.ts';

export interface Scene {
  readonly configFile: string;
  readonly caPem: string;
  /** What clients ask for. */
  readonly resource: string;
  /** For the MCP route and for the path route. */
  readonly token: string;
  /** For the introspection endpoint to know. */
  readonly opaqueToken: string;
  /** A token of the agent with further claims. */
  signToken(claims: JWTPayload): Promise<string>;
  /** A certificate that the gateway trusts, with its RFC 8705 thumbprint. */
  issueClientCertificate(): Promise<{ certificatePem: string; keyPem: string; thumbprint: string }>;
  /** About 1 KiB: a tools/call. */
  readonly body: string;
  readonly answerBytes: number;
  readonly environment: Record<string, string>;
  portOf(script: string): number;
  close(): Promise<void>;
}

const answerBytes = 1024;

/** With `allTokens` the gateway also asks for client certificates, and takes opaque tokens. */
export async function prepareScene(directory: string, pinning: Pinning, { allTokens = false } = {}): Promise<Scene> {
  const { certFile, keyFile, caFile, caPem, issueClientCertificate } = await certificateFiles(directory);
  const [upstreamPort, plainPort, barePort, gatewayPort, adminPort] = await freePorts(5);
  const environment = {
    CERT_FILE: certFile,
    KEY_FILE: keyFile,
    CA_FILE: caFile,
    UPSTREAM: `https://localhost:${upstreamPort}`,
    ANSWER_BYTES: String(answerBytes),
  };
  const upstream = pinning.startNode(
    ['test/bench/upstream.ts'],
    { ...environment, PORT: String(upstreamPort) },
    'beside',
  );
  const resource = `https://localhost:${gatewayPort}/mcp`;
  const issuer = await startIssuer([resource, `https://localhost:${gatewayPort}/exports`]);
  const configFile = join(directory, 'gateway.yaml');
  writeFileSync(
    configFile,
    configuration({
      gatewayPort: gatewayPort!,
      adminPort: adminPort!,
      issuer: issuer.url,
      upstreamPort: upstreamPort!,
      allTokens,
    }),
  );
  return {
    configFile,
    caPem,
    resource,
    token: issuer.token,
    opaqueToken,
    signToken: issuer.sign,
    issueClientCertificate,
    body: callOfAboutOneKibibyte(),
    answerBytes,
    environment,
    portOf: (script) => (script.includes('plain') ? plainPort! : script.includes('bare') ? barePort! : gatewayPort!),
    async close() {
      upstream.kill('SIGKILL');
      await issuer.close();
    },
  };
}

/** An authority and a certificate for localhost, as files: `ca.crt`, `tls.crt`, `tls.key`. */
export async function certificateFiles(directory: string) {
  const authority = await createCertificateAuthority({ commonName: 'bench CA' });
  const certificate = await authority.issue({
    commonName: 'localhost',
    dnsNames: ['localhost'],
    ips: ['127.0.0.1'],
    server: true,
  });
  const file = (name: string, content: string): string => {
    const path = join(directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const caFile = file('ca.crt', authority.certificatePem);
  const certFile = file('tls.crt', certificate.certificatePem);
  const keyFile = file('tls.key', certificate.keyPem);
  const issueClientCertificate = async () => {
    const { certificatePem, keyPem } = await authority.issue({ commonName: 'client-ai-agent-1' });
    return { certificatePem, keyPem, thumbprint: thumbprintOf(certificatePem) };
  };
  return { caFile, certFile, keyFile, caPem: authority.certificatePem, issueClientCertificate };
}

/** RFC 8705 §3.1. */
function thumbprintOf(certificatePem: string): string {
  return Buffer.from(new X509Certificate(certificatePem).fingerprint256.replaceAll(':', ''), 'hex').toString(
    'base64url',
  );
}

function callOfAboutOneKibibyte(): string {
  const sql = `SELECT region, SUM(amount) AS total FROM sales WHERE region IN (${Array.from({ length: 60 }, (_, index) => `'r${index}'`).join(', ')}) GROUP BY region`;
  const call = {
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'execute_sql', arguments: { request: { database_id: 1, sql, limit: 100 } } },
  };
  const text = JSON.stringify(call);
  return text.replace('GROUP BY', `${' '.repeat(Math.max(0, 1024 - text.length))}GROUP BY`);
}

function configuration(of: {
  gatewayPort: number;
  adminPort: number;
  issuer: string;
  upstreamPort: number;
  allTokens: boolean;
}): string {
  const clients = of.allTokens ? ', clientCertificates: optional, clientCaFile: ca.crt' : '';
  const partner = of.allTokens
    ? `\n  partner: {type: introspection, endpoint: "${of.issuer}/introspect", issuer: "${of.issuer}/partner", clientId: portcullis, clientSecret: bench}`
    : '';
  return `version: 1
server:
  listen: 127.0.0.1:${of.gatewayPort}
  publicUrl: https://localhost:${of.gatewayPort}
  tls: {certFile: tls.crt, keyFile: tls.key${clients}}
admin: {listen: 127.0.0.1:${of.adminPort}}
authenticators:
  corp: {type: jwt, issuer: "${of.issuer}", jwksUri: "${of.issuer}/jwks"}${partner}
upstreams:
  superset: {url: "https://localhost:${of.upstreamPort}", tls: {caFile: ca.crt}, limits: {concurrency: 64, concurrencyPerClient: 64}}
routes:
  - path: /mcp
    upstream: superset
    authenticate: ${of.allTokens ? '{anyOf: [corp, partner]}' : 'corp'}
    mcp:
      rules:
        - deny: {tools: ["delete_*"]}
        - allow: {tools: [list_dashboards, get_dashboard_info]}
          require: {scopes: [dashboards:read]}
        - name: sql
          allow: {tools: [execute_sql]}
          require: {scopes: [queries:execute]}
  - path: /exports/*
    upstream: superset
    authenticate: corp
    rules:
      - name: exports
        allow: {methods: [POST], paths: ["/exports/*"]}
        require: {scopes: [queries:execute]}
audit: {sinks: [{type: file, path: audit.jsonl}]}
`;
}

const opaqueToken = 'opaque-bench-token';

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

/** Ports that were free a moment ago; good enough on a machine of one's own. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
