// What all targets of a benchmark share: certificates, a token, the upstream in a process of its own, and the gateway's configuration.
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, SignJWT } from 'jose';
import { createCertificateAuthority } from '../../src/dev/pki.ts';

export interface Scene {
  readonly configFile: string;
  readonly caPem: string;
  readonly token: string;
  /** About 1 KiB: a tools/call. */
  readonly body: string;
  readonly answerBytes: number;
  readonly environment: Record<string, string>;
  portOf(script: string): number;
  close(): Promise<void>;
}

const answerBytes = 1024;

export async function prepareScene(directory: string): Promise<Scene> {
  const { certFile, keyFile, caFile, caPem } = await certificateFiles(directory);
  const [upstreamPort, plainPort, barePort, gatewayPort, adminPort] = await freePorts(5);
  const environment = {
    CERT_FILE: certFile,
    KEY_FILE: keyFile,
    CA_FILE: caFile,
    UPSTREAM: `https://localhost:${upstreamPort}`,
    ANSWER_BYTES: String(answerBytes),
  };
  const upstream = spawn(process.execPath, ['test/bench/upstream.ts'], {
    env: { ...process.env, ...environment, PORT: String(upstreamPort) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const issuer = await startIssuer(`https://localhost:${gatewayPort}/mcp`);
  const configFile = join(directory, 'gateway.yaml');
  writeFileSync(
    configFile,
    configuration({
      gatewayPort: gatewayPort!,
      adminPort: adminPort!,
      issuer: issuer.url,
      upstreamPort: upstreamPort!,
      directory,
    }),
  );
  return {
    configFile,
    caPem,
    token: issuer.token,
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
  return { caFile, certFile, keyFile, caPem: authority.certificatePem };
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
  directory: string;
}): string {
  return `version: 1
server:
  listen: 127.0.0.1:${of.gatewayPort}
  publicUrl: https://localhost:${of.gatewayPort}
  tls: {certFile: tls.crt, keyFile: tls.key}
admin: {listen: 127.0.0.1:${of.adminPort}}
authenticators:
  corp: {type: jwt, issuer: "${of.issuer}", jwksUri: "${of.issuer}/jwks"}
upstreams:
  superset: {url: "https://localhost:${of.upstreamPort}", tls: {caFile: ca.crt}, limits: {concurrency: 64, concurrencyPerClient: 64}}
routes:
  - path: /mcp
    upstream: superset
    authenticate: corp
    mcp:
      rules:
        - deny: {tools: ["delete_*"]}
        - allow: {tools: [list_dashboards, get_dashboard_info]}
          require: {scopes: [dashboards:read]}
        - name: sql
          allow: {tools: [execute_sql]}
          require: {scopes: [queries:execute]}
audit: {sinks: [{type: file, path: audit.jsonl}]}
`;
}

/** Publishes one key, and has one token for `audience` that it signed. */
export async function startIssuer(audience: string) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256', use: 'sig' }] });
  const server = createServer((_request, response) => response.setHeader('content-type', 'application/json').end(keys));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const token = await new SignJWT({ scope: 'dashboards:read queries:execute', client_id: 'ai_agent_prod' })
    .setProtectedHeader({ alg: 'ES256', kid: 'bench', typ: 'at+jwt' })
    .setIssuer(url)
    .setAudience(audience)
    .setSubject('ai_agent_prod')
    .setIssuedAt()
    .setJti('bench-token')
    .setExpirationTime('1h')
    .sign(privateKey);
  return { url, token, close: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

/** Ports that were free a moment ago; good enough on a machine of one's own. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
