// Development environment on loopback: certificates, configuration, authorization server, demo upstream and gateway.
import { hash, randomBytes } from 'node:crypto';
import { access, constants, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { createCertificateAuthority, type IssuedCertificate } from '../pki/authority.ts';
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts';
import {
  configFile,
  configFileMark,
  type DevelopmentClient,
  type DevelopmentPolicy,
  generalPolicy,
  supersetPolicy,
} from './config-file.ts';
import { choosePort, type PortChoice } from './ports.ts';
import { startDemoSuperset } from './superset/server.ts';

/** Options of `startDevelopmentEnvironment`. */
export interface EnvironmentOptions {
  /** URL of the upstream's MCP endpoint; default: the demo Superset. */
  readonly upstream?: string | undefined;
  /** Directory of the written files; default: a temporary one that `close` removes. */
  readonly directory?: string | undefined;
  /** TCP ports. 0 takes a free one. Without a number: the usual port, or a free one if that is taken. */
  readonly ports?: Partial<Record<PortName, number | undefined>> | undefined;
  readonly startGateway: (configFile: string) => Promise<{ close(): Promise<void> }>;
  readonly now?: () => number;
}

export type PortName = 'gateway' | 'admin' | 'issuer' | 'upstream';

/** A running development environment. */
export interface DevelopmentEnvironment {
  readonly directory: string;
  readonly configFile: string;
  readonly auditFile: string;
  readonly caFile: string;
  /** `https://localhost:<port>`. */
  readonly publicUrl: string;
  readonly mcpUrl: string;
  readonly adminUrl: string;
  readonly issuer: string;
  readonly upstreamUrl: string;
  readonly isDemo: boolean;
  readonly policy: DevelopmentPolicy;
  readonly clientSecrets: Readonly<Record<OAuthClient, string>>;
  readonly apiKey: string;
  readonly notes: readonly string[];
  /** Stops the gateway first and the upstream last, then removes a temporary directory. */
  close(): Promise<void>;
}

/** OAuth clients of the environment. `short_lived` gets tokens that live for one second. */
export type OAuthClient = Exclude<DevelopmentClient, 'reporting_tool'> | 'short_lived';

const usualPorts = { gateway: 8443, admin: 9090, issuer: 9400, upstream: 5008 } as const;
const dayMs = 86_400_000;

/** Starts all parts or none: a failure stops those that have started. Throws errors of one line. */
export async function startDevelopmentEnvironment(options: EnvironmentOptions): Promise<DevelopmentEnvironment> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return { ...(await start(options, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  options: EnvironmentOptions,
  closers: (() => Promise<void>)[],
): Promise<Omit<DevelopmentEnvironment, 'close'>> {
  const given = options.upstream === undefined ? undefined : parseUpstream(options.upstream);
  const ports = await choosePorts(options.ports ?? {}, given === undefined);
  const directory = await prepareDirectory(options.directory, closers);
  const demo = given === undefined ? await startDemoSuperset({ port: ports.upstream.port }) : undefined;
  if (demo !== undefined) closers.push(demo.close);
  const policy = given === undefined ? supersetPolicy(demo?.url ?? '') : generalPolicy(given);
  const clientSecrets = {
    ai_agent_prod: randomSecret(),
    analytics_frontend: randomSecret(),
    short_lived: randomSecret(),
  };
  const publicUrl = `https://localhost:${ports.gateway.port}`;
  const mcpUrl = `${publicUrl}${policy.mcpPath}`;
  const resources = ['dashboards', 'queries', 'exports'].map((name) => `${publicUrl}/api/${name}`);
  const issuer = await startIssuer(ports.issuer.port, [mcpUrl, ...resources], policy, clientSecrets);
  closers.push(issuer.close);
  const facts = {
    directory,
    configFile: join(directory, 'gateway.yaml'),
    auditFile: join(directory, 'audit.jsonl'),
    caFile: join(directory, 'pki', 'ca.crt'),
    publicUrl,
    mcpUrl,
    adminUrl: `http://127.0.0.1:${ports.admin.port}`,
    issuer: issuer.issuer,
    upstreamUrl: demo === undefined ? (options.upstream ?? '') : `${demo.url}/mcp`,
    isDemo: demo !== undefined,
    policy,
    clientSecrets,
    apiKey: `sk_${randomSecret()}`,
    notes: notesOf(ports, policy),
  };
  await writeCertificates(join(directory, 'pki'));
  await writeConfigFile(facts, ports, options.now?.() ?? Date.now());
  const gateway = await options.startGateway(facts.configFile);
  closers.push(gateway.close);
  return facts;
}

function startIssuer(
  port: number,
  resources: readonly [string, ...string[]],
  policy: DevelopmentPolicy,
  secrets: Readonly<Record<OAuthClient, string>>,
): Promise<AuthorizationServer> {
  const { ai_agent_prod: agentScopes, analytics_frontend: frontendScopes } = policy.scopes;
  return startAuthorizationServer({
    port,
    resources,
    scopes: policy.allScopes,
    clients: [
      { clientId: 'ai_agent_prod', clientSecret: secrets.ai_agent_prod, scopes: agentScopes },
      { clientId: 'analytics_frontend', clientSecret: secrets.analytics_frontend, scopes: frontendScopes },
      {
        clientId: 'short_lived',
        clientSecret: secrets.short_lived,
        scopes: frontendScopes,
        accessTokenLifetimeSeconds: 1,
      },
    ],
  });
}

async function writeConfigFile(
  facts: Pick<DevelopmentEnvironment, 'configFile' | 'issuer' | 'apiKey' | 'policy'>,
  ports: Record<PortName, PortChoice>,
  now: number,
): Promise<void> {
  const text = configFile({
    gatewayPort: ports.gateway.port,
    adminPort: ports.admin.port,
    issuer: facts.issuer,
    apiKeyHash: `sha256:${hash('sha256', facts.apiKey, 'hex')}`,
    deprecation: day(now - 7 * dayMs),
    sunset: day(now + 90 * dayMs),
    policy: facts.policy,
  });
  await writeFile(facts.configFile, text, { mode: 0o600 });
}

function parseUpstream(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error(`--upstream must be the http(s) URL of an MCP endpoint, such as http://127.0.0.1:3000/mcp`);
  }
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    throw new Error('--upstream must be a URL without query, fragment and credentials');
  }
  return url;
}

async function choosePorts(
  wanted: Partial<Record<PortName, number | undefined>>,
  withUpstream: boolean,
): Promise<Record<PortName, PortChoice>> {
  return {
    gateway: await choosePort('gateway', '--port', usualPorts.gateway, wanted.gateway),
    admin: await choosePort('admin listener', '--admin-port', usualPorts.admin, wanted.admin),
    issuer: await choosePort('authorization server', '--issuer-port', usualPorts.issuer, wanted.issuer),
    upstream: withUpstream
      ? await choosePort('demo Superset', '--upstream-port', usualPorts.upstream, wanted.upstream)
      : { port: 0 },
  };
}

function notesOf(ports: Record<PortName, PortChoice>, policy: DevelopmentPolicy): string[] {
  const notes = Object.values(ports).flatMap(({ note }) => note ?? []);
  if (policy.upstreamInsecure) notes.push(`the upstream ${policy.upstreamOrigin} is reached over plain HTTP`);
  return notes;
}

async function prepareDirectory(wanted: string | undefined, closers: (() => Promise<void>)[]): Promise<string> {
  if (wanted === undefined) {
    const directory = await mkdtemp(join(tmpdir(), 'portcullis-dev-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }
  const directory = resolve(wanted);
  try {
    await createDirectory(directory);
    await access(join(directory, sep), constants.W_OK);
  } catch (cause) {
    throw new Error(`--directory cannot be used: ${(cause as Error).message}`, { cause });
  }
  const existing = await readFile(join(directory, 'gateway.yaml'), 'utf8').catch(() => configFileMark);
  if (!existing.startsWith(configFileMark)) {
    throw new Error(`${directory} holds a gateway.yaml of its own; choose another --directory`);
  }
  return directory;
}

/** Not recursive: Node's recursive form never returns on file systems that refuse new directories with ENOENT, such as /proc. */
async function createDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** Writes the server's certificate and one client certificate for each case of the printed instructions. */
async function writeCertificates(directory: string): Promise<void> {
  await createDirectory(directory);
  const authority = await createCertificateAuthority();
  const other = await createCertificateAuthority({ commonName: 'Another development CA' });
  const server = { commonName: 'localhost', dnsNames: ['localhost'], ips: ['127.0.0.1', '::1'], server: true };
  const revoked = await authority.issue({ commonName: 'client-ai-agent-1' });
  const issued: Record<string, IssuedCertificate> = {
    server: await authority.issue(server),
    'client-ai-agent-1': await authority.issue({ commonName: 'client-ai-agent-1' }),
    'client-unlisted': await authority.issue({ commonName: 'client-unlisted' }),
    'client-revoked': revoked,
    'client-other-ca': await other.issue({ commonName: 'client-ai-agent-1' }),
  };
  await writeFile(join(directory, 'ca.crt'), authority.certificatePem);
  await writeFile(join(directory, 'clients.crl'), await authority.revoke([revoked.serialNumber]));
  for (const [name, { certificatePem, keyPem }] of Object.entries(issued)) {
    await writeFile(join(directory, `${name}.crt`), certificatePem);
    await writeFile(join(directory, `${name}.key`), keyPem, { mode: 0o600 });
  }
}

function randomSecret(): string {
  return randomBytes(32).toString('base64url');
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
