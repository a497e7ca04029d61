// Surroundings of the targets of a benchmark: certificates, tokens, the upstream in a process of its own, and the gateway's configuration.
import type { ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JWTPayload } from 'jose';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import type { Configuration } from '../support/configuration.ts';
import { type Algorithm, startIssuer } from './issuer.ts';
import type { Pinning } from './pinning.ts';
import { accepts, freePorts, until } from './ports.ts';

export type Script = 'test/bench/plain.ts' | 'test/bench/bare.ts' | 'dist/main.js';

/** A program of others, its configuration written. It logs into files. */
export interface Program {
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly port: number;
}

export interface SceneOptions {
  /** Of the tokens that are JWTs. */
  readonly alg?: Algorithm;
  /** Laid over the first sink of the audit. */
  readonly auditFile?: Configuration;
  /** The gateway also asks for client certificates, and takes opaque tokens. */
  readonly allTokens?: boolean;
  /** Rules of further MCP routes, by path. */
  readonly routes?: Readonly<Record<string, readonly Configuration[]>>;
}

export interface Scene {
  readonly configFile: string;
  readonly caPem: string;
  /** What clients ask for. */
  readonly resource: string;
  readonly adminUrl: string;
  /** For every route. */
  readonly token: string;
  /** For the introspection endpoint to know. */
  readonly opaqueToken: string;
  /** A token of the agent with further claims. */
  signToken(claims: JWTPayload): Promise<string>;
  /** A certificate that the gateway trusts, with its RFC 8705 thumbprint. */
  issueClientCertificate(): Promise<{ certificatePem: string; keyPem: string; thumbprint: string }>;
  /** For configurations of other programs. */
  readonly surroundings: Surroundings;
  portOf(target: Script | Program): number;
  /** Starts one of those that are measured. */
  start(target: Script | Program, options?: StartOptions): ChildProcess;
  /** Ends everything that was started, and removes the directory. */
  close(): Promise<void>;
}

export interface Surroundings {
  readonly directory: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** TLS, on localhost. */
  readonly upstreamPort: number;
  readonly issuer: string;
  readonly audience: string;
  /** The key set of the issuer, in JSON. */
  readonly keys: string;
  readonly publicKeyPem: string;
}

export interface StartOptions {
  /** Of a script. */
  readonly nodeOptions?: readonly string[];
  readonly onOutput?: (text: string) => void;
}

/** Node options with which SIGUSR2 is a full collection. */
export const collectOnSignal: readonly string[] = [
  '--expose-gc',
  "--import=data:text/javascript,process.on('SIGUSR2',()=>gc())",
];

/** Node options with which the image and the systemd units start the gateway. */
export const deployedOptions: readonly string[] = ['--max-semi-space-size=16'];

/** Of the upstream, unless the query of the request says another number. */
export const defaultAnswerBytes = 1024;
const opaqueToken = 'opaque-bench-token';

/** The upstream runs when this resolves; the targets do not. */
export async function prepareScene(pinning: Pinning, options: SceneOptions = {}): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const { certFile, keyFile, caFile, caPem, issueClientCertificate } = await certificateFiles(directory);
  const [upstreamPort, plainPort, barePort, gatewayPort, adminPort] = await freePorts(5);
  const environment = {
    CERT_FILE: certFile,
    KEY_FILE: keyFile,
    CA_FILE: caFile,
    UPSTREAM: `https://localhost:${upstreamPort}`,
    ANSWER_BYTES: String(defaultAnswerBytes),
    NODE_ENV: 'production',
  };
  const origin = `https://localhost:${gatewayPort}`;
  const paths = ['/mcp', '/exports', ...Object.keys(options.routes ?? {})];
  const issuer = await startIssuer(
    paths.map((path) => `${origin}${path}`),
    options.alg,
  );
  const configFile = join(directory, 'gateway.yaml');
  const addresses = { origin, admin: `127.0.0.1:${adminPort}`, issuer: issuer.url, upstream: environment.UPSTREAM };
  // JSON is YAML.
  writeFileSync(configFile, JSON.stringify(configurationOf(addresses, options)));
  const ports = { 'test/bench/plain.ts': plainPort!, 'test/bench/bare.ts': barePort!, 'dist/main.js': gatewayPort! };
  const upstreamEnvironment = { ...environment, PORT: String(upstreamPort) };
  const children = [pinning.start([process.execPath, 'test/bench/upstream.ts'], upstreamEnvironment, 'beside')];
  // Plain Node ends when its upstream is not there.
  await until(() => accepts(upstreamPort!), 'the upstream');
  const audience = `${origin}/mcp`;
  return {
    configFile,
    caPem,
    resource: audience,
    adminUrl: `http://${addresses.admin}`,
    token: issuer.token,
    opaqueToken,
    signToken: issuer.sign,
    issueClientCertificate,
    surroundings: {
      directory,
      certFile,
      keyFile,
      caFile,
      upstreamPort: upstreamPort!,
      issuer: issuer.url,
      audience,
      keys: issuer.keys,
      publicKeyPem: issuer.publicKeyPem,
    },
    portOf: (target) => (typeof target === 'string' ? ports[target] : target.port),
    start(target, { nodeOptions = [], onOutput } = {}) {
      const serve = target === 'dist/main.js' ? ['serve', '-c', configFile, '--log-level', 'error'] : [];
      const [command, env] =
        typeof target === 'string'
          ? [[process.execPath, ...nodeOptions, target, ...serve], { ...environment, PORT: String(ports[target]) }]
          : [target.command, target.env];
      const child = pinning.start(command, env, 'measured', onOutput);
      children.push(child);
      return child;
    },
    async close() {
      for (const child of children) child.kill('SIGKILL');
      await issuer.close();
      rmSync(directory, { recursive: true, force: true });
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

function configurationOf(
  addresses: { readonly origin: string; readonly admin: string; readonly issuer: string; readonly upstream: string },
  { allTokens = false, routes = {}, auditFile = {} }: SceneOptions,
): Configuration {
  const { origin, admin, issuer, upstream } = addresses;
  const partner = {
    type: 'introspection',
    endpoint: `${issuer}/introspect`,
    issuer: `${issuer}/partner`,
    clientId: 'portcullis',
    clientSecret: 'bench',
  };
  const toSuperset = { upstream: 'superset', authenticate: allTokens ? { anyOf: ['corp', 'partner'] } : 'corp' };
  return {
    version: 1,
    server: {
      listen: new URL(origin).host.replace('localhost', '127.0.0.1'),
      publicUrl: origin,
      tls: {
        certFile: 'tls.crt',
        keyFile: 'tls.key',
        ...(allTokens && { clientCertificates: 'optional', clientCaFile: 'ca.crt' }),
      },
    },
    admin: { listen: admin },
    authenticators: { corp: { type: 'jwt', issuer, jwksUri: `${issuer}/jwks` }, ...(allTokens && { partner }) },
    upstreams: {
      superset: {
        url: upstream,
        tls: { caFile: 'ca.crt' },
        limits: { concurrency: 64, concurrencyPerClient: 64 },
      },
    },
    routes: [
      {
        path: '/mcp',
        ...toSuperset,
        mcp: {
          rules: [
            { deny: { tools: ['delete_*'] } },
            {
              allow: { tools: ['list_dashboards', 'get_dashboard_info'] },
              require: { scopes: ['dashboards:read'] },
            },
            { name: 'sql', allow: { tools: ['execute_sql'] }, require: { scopes: ['queries:execute'] } },
          ],
        },
      },
      {
        path: '/exports/*',
        ...toSuperset,
        rules: [
          {
            name: 'exports',
            allow: { methods: ['POST'], paths: ['/exports/*'] },
            require: { scopes: ['queries:execute'] },
          },
        ],
      },
      ...Object.entries(routes).map(([path, rules]) => ({ path, ...toSuperset, mcp: { rules } })),
    ],
    audit: { sinks: [{ type: 'file', path: 'audit.jsonl', ...auditFile }] },
  };
}
