// The gateway of deploy/superset/gateway.yaml, with this machine's addresses in it, and a client that calls through it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { stringify } from 'yaml';
import { createApiKey } from '../../../src/cli/keys/new-key.ts';
import { createCertificateAuthority } from '../../../src/pki/authority.ts';
import { type ClientAnswer, createClient, type TestClient, toolCall } from '../../support/client.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { createSigningKey, type SigningKey, signToken } from '../../support/issuer.ts';
import { publicUrl, repository } from './install.ts';
import { reporting } from './keycloak.ts';
import type { Servers } from './servers.ts';

/** Recorded of this Superset. Stands in deploy/superset and beside the gateway's file. */
export const catalogFile = 'superset-6.1.0.catalog.json';

export interface World {
  readonly servers: Servers;
  readonly gateway: TestGateway;
  readonly client: TestClient;
  readonly caPem: string;
  /** The YAML that the gateway runs with. */
  readonly yaml: string;
  /** API keys: Superset knows each under the client's name. */
  readonly keys: Readonly<Record<keyof typeof keyHolders, string>>;
  /** Calls a tool at `/mcp`. */
  call(credential: string, tool: string, args?: unknown): Promise<Called>;
  /** A request of the REST API. */
  rest(credential: string, method: string, path: string, body?: unknown): Promise<ClientAnswer>;
  /** Any message at `/mcp`. */
  send(credential: string, message: object): Promise<Called>;
  /** What the gateway would tell Superset of a user, for calls past the gateway; `claims` are added. */
  assertionFor(username: string, claims?: Readonly<Record<string, unknown>>): Promise<string>;
  /** `/readyz`. */
  ready(): Promise<{ readonly status: number; readonly text: string }>;
  close(): Promise<void>;
}

/** What came of a message. */
export interface Called {
  readonly answer: ClientAnswer;
  readonly result?: { readonly isError?: boolean; readonly [name: string]: unknown };
  /** The text of a tool's result. */
  readonly text: string;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: { readonly code?: string } };
}

const keyHolders = {
  reporting: { clientId: reporting.id, scopes: ['dashboards:read', 'queries:read', 'exports:create'] },
  everything: {
    clientId: 'admin',
    scopes: ['dashboards:read', 'dashboards:write', 'queries:read', 'queries:execute', 'exports:create'],
  },
  viewing: { clientId: 'alice', scopes: ['dashboards:read'] },
  nothing: { clientId: 'alice', scopes: ['nothing:else'] },
};

export async function startWorld(servers: Servers): Promise<World> {
  const authority = await createCertificateAuthority();
  const certificate = await authority.issue({
    commonName: 'mcp.example.com',
    dnsNames: ['mcp.example.com'],
    server: true,
  });
  const yaml = localYaml(await readFile(join(repository, 'deploy/superset/gateway.yaml'), 'utf8'), servers);
  const catalog = await readFile(join(repository, 'deploy/superset', catalogFile), 'utf8');
  const key = await assertionKey();
  const made = Object.entries(keyHolders).map(([name, holder]) => [name, newKey(holder)] as const);
  const gateway = await startTestGateway({
    yaml,
    files: {
      'assertion.pem': key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'tls.crt': certificate.certificatePem,
      'tls.key': certificate.keyPem,
      [catalogFile]: catalog,
      'keys.yaml': stringify(made.map(([, { entry }]) => entry)),
    },
    logToFile: true,
  });
  const client = createClient({ port: gateway.port, ca: authority.certificatePem, connections: 32 });
  const send = async (credential: string, message: object): Promise<Called> =>
    readAnswer(await client.post(message, { headers: { authorization: `Bearer ${credential}` } }));
  return {
    servers,
    gateway,
    client,
    caPem: authority.certificatePem,
    yaml,
    keys: Object.fromEntries(made.map(([name, { key }]) => [name, key])) as World['keys'],
    send,
    rest: (credential, method, path, body) =>
      client.send({
        method,
        path,
        headers: {
          authorization: `Bearer ${credential}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    assertionFor: (username, claims) =>
      signToken(publicUrl, { aud: 'superset-mcp', sub: username, preferred_username: username, ...claims }, { key }),
    call: (credential, tool, args = {}) => send(credential, toolCall(tool, args)),
    ready: gateway.readiness,
    async close() {
      client.close();
      await gateway.close();
    },
  };
}

/** Named as the gateway names it: by its thumbprint (RFC 7638). */
async function assertionKey(): Promise<SigningKey> {
  const key = createSigningKey('ES256');
  return { ...key, kid: await calculateJwkThumbprint(key.publicKey.export({ format: 'jwk' }) as JWK) };
}

function newKey(holder: { readonly clientId: string; readonly scopes: readonly string[] }) {
  return createApiKey({ ...holder, prefix: 'sk_', expires: '2998-01-01' });
}

/** Where the file of the repository names a host, this machine's port stands instead. */
function localYaml(yaml: string, { ports, keycloak, application }: Servers): string {
  const replacements = [
    ['0.0.0.0:8443', `127.0.0.1:${ports.gateway}`],
    ['127.0.0.1:9090}', `127.0.0.1:${ports.admin}}`],
    ['tls/tls.', 'tls.'],
    ['keys/assertion.pem', 'assertion.pem'],
    ['http://127.0.0.1:5008', `http://127.0.0.1:${ports.mcp}`],
    ['http://127.0.0.1:8088', `http://127.0.0.1:${ports.web}`],
    ['https://idp.example.com/realms/portcullis', keycloak.issuer],
    ['https://app.example.com', application.issuer],
    ['sunset: 2027-03-01', 'sunset: 2999-01-01'],
  ] as const;
  return replacements.reduce((text, [from, to]) => replaced(text, from, to), yaml);
}

/** The same file with the line that pins the tools. */
export function pinnedYaml(yaml: string): string {
  return replaced(yaml, '# catalog:', 'catalog:');
}

function replaced(yaml: string, from: string, to: string): string {
  if (!yaml.includes(from)) throw new Error(`deploy/superset/gateway.yaml does not say ${from} any more`);
  return yaml.replaceAll(from, to);
}

/** A message to an MCP server of Superset itself, past the gateway. */
export async function sendDirectly(port: number, assertion: string | undefined, message: object): Promise<Called> {
  const client = createClient({ port });
  try {
    const headers = assertion === undefined ? {} : { authorization: `Bearer ${assertion}` };
    return readAnswer(await client.post(message, { headers }));
  } finally {
    client.close();
  }
}

/** The JSON-RPC message with an id, wherever it stands in the answer: alone, or behind notifications in an event stream. */
export function readAnswer(answer: ClientAnswer): Called {
  const texts = /event-stream/.test(answer.headers['content-type'] ?? '')
    ? [...answer.text.matchAll(/^data: (.+)$/gm)].map((match) => match[1]!)
    : [answer.text];
  const messages = texts.filter(Boolean).map((text) => JSON.parse(text) as Record<string, unknown>);
  const { result, error } = (messages.find((message) => 'id' in message) ?? {}) as Pick<Called, 'result' | 'error'>;
  const content = (result?.content ?? []) as readonly { readonly text?: string }[];
  return {
    answer,
    ...(result !== undefined && { result }),
    ...(error !== undefined && { error }),
    text: content.map(({ text = '' }) => text).join(''),
  };
}
