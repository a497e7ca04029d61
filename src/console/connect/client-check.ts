// Check of an endpoint as an MCP client begins: TLS, the challenge (RFC 9728 §5.1), the metadata (RFC 9728 §3, RFC 8414).
import { type IncomingMessage, request as requestPlainly } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from 'node:tls';

/** Steps in their order; the first that fails is the last. */
export interface ClientCheck {
  readonly url: string;
  readonly steps: readonly CheckStep[];
}

/** A step with what was seen. */
export interface CheckStep {
  readonly name: string;
  readonly state: 'good' | 'warn' | 'bad';
  /** A sentence; of a failure also what to do. */
  readonly says: string;
  /** The bytes that came over the wire. */
  readonly seen?: string | undefined;
}

/** The listener and what is known of the endpoint. */
export interface CheckOptions {
  readonly url: string;
  readonly address: AddressInfo;
  readonly isTls: boolean;
  /** The metadata of an issuer as JSON; undefined where they are not at hand. */
  readonly metadataOf: (issuer: string) => string | undefined;
}

const timeoutMs = 5000;
const maxBytes = 64 * 1024;

/** Asks the listener itself, with the host name of the URL: what stands in front of it is not seen. */
export async function checkAsClient(options: CheckOptions): Promise<ClientCheck> {
  const steps: CheckStep[] = [];
  try {
    await check(options, steps);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const wantsCertificate = code?.startsWith('ERR_SSL_') === true;
    steps.push({
      name: 'Connection',
      state: 'bad',
      says: wantsCertificate
        ? 'The handshake failed: the listener demands a client certificate, and this check has none.'
        : 'The listener did not answer. Look at its log, and at server.listen.',
      seen: message,
    });
  }
  return { url: options.url, steps };
}

async function check(options: CheckOptions, steps: CheckStep[]): Promise<void> {
  const { isTls, url } = options;
  const first = await ask(options, new URL(url), initialize);
  steps.push(isTls ? tlsStep(new URL(url).hostname, first) : { name: 'TLS', state: 'warn', says: plainly });
  const header = first.headers['www-authenticate'];
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(header ?? '')?.[1];
  const seen = `${first.status}${header === undefined ? '' : `\nwww-authenticate: ${header}`}`;
  if (first.status !== 401) {
    const says = `An unknown caller should get 401, and got ${first.status}. Is publicUrl the address of this gateway?`;
    steps.push({ name: 'Challenge', state: 'bad', says, seen });
    return;
  }
  if (metadataUrl === undefined) {
    const says = 'The route takes no tokens: there is no log-in, and clients bring their key or certificate.';
    steps.push({ name: 'Challenge', state: 'warn', says, seen });
    return;
  }
  steps.push({ name: 'Challenge', state: 'good', says: 'The answer says where to log in.', seen });
  const document = await ask(options, new URL(metadataUrl));
  const metadata = readJson(document.body);
  const isOwn = document.status === 200 && metadata?.resource === url;
  steps.push({
    name: 'Resource metadata',
    state: isOwn ? 'good' : 'bad',
    says: isOwn
      ? 'They name this resource, its scopes and its authorization servers.'
      : 'They are not those of this URL, and a client refuses them. Does publicUrl say how clients reach the gateway?',
    seen: `${document.status}\n${document.body}`,
  });
  const servers: unknown = metadata?.authorization_servers;
  for (const issuer of Array.isArray(servers) ? servers.slice(0, 8) : [])
    steps.push(serverStep(String(issuer), options.metadataOf(String(issuer))));
}

const plainly =
  'The listener speaks plain HTTP: TLS has to be ended in front of it. Clients refuse http:// but for localhost.';

const initialize = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'console', version: '1' } },
});

function tlsStep(hostname: string, { certificate, trustError }: Seen): CheckStep {
  const problem =
    certificate === undefined ? undefined : checkServerIdentity(hostname.replace(/^\[|\]$/g, ''), certificate);
  if (problem !== undefined) {
    const says = `The certificate is not for ${hostname}, and clients refuse it. Issue it for that name, or correct publicUrl.`;
    return { name: 'TLS', state: 'bad', says, seen: problem.message };
  }
  return trustError === undefined
    ? { name: 'TLS', state: 'good', says: `The certificate is for ${hostname}, and its authority is a public one.` }
    : {
        name: 'TLS',
        state: 'warn',
        says: `The certificate is for ${hostname}. Its authority is not a public one: clients have to be given it.`,
        seen: trustError,
      };
}

function serverStep(issuer: string, text: string | undefined): CheckStep {
  const name = 'Authorization server';
  const metadata = text === undefined ? undefined : readJson(text);
  if (metadata === undefined)
    return { name, state: 'warn', says: `${issuer}: its metadata is not at hand here; a client asks for it itself.` };
  const methods = metadata.code_challenge_methods_supported;
  if (!Array.isArray(methods) || !methods.includes('S256'))
    return { name, state: 'bad', says: `${issuer} does not announce PKCE with S256, and MCP clients refuse it.` };
  return metadata.registration_endpoint === undefined
    ? { name, state: 'warn', says: `${issuer}: clients cannot register by themselves; give each of them a client id.` }
    : { name, state: 'good', says: `${issuer}: clients register by themselves, and a person approves.` };
}

/** An answer, and the TLS that it came over. */
interface Seen {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly certificate: PeerCertificate | undefined;
  /** The reason for which the chain is not trusted without being told. */
  readonly trustError: string | undefined;
}

/** A POST of `body`, or a GET. Whatever the certificate is, the answer is read. */
async function ask({ address, isTls }: CheckOptions, url: URL, body?: string): Promise<Seen> {
  const where =
    address.family === 'unix'
      ? { socketPath: address.address.replace(/^unix:/, '') }
      : { host: reachable(address.address), port: address.port };
  const servername = isIP(url.hostname) === 0 ? url.hostname : '';
  const send = isTls ? requestSecurely : requestPlainly;
  return new Promise((resolve, reject) => {
    const outgoing = send({
      ...where,
      ...(isTls && { servername, rejectUnauthorized: false }),
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      path: url.pathname + url.search,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        host: url.host,
        accept: 'application/json, text/event-stream',
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const { certificate, trustError } = isTls ? tlsOf(response.socket as TLSSocket) : noTls;
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > maxBytes) response.destroy(new Error(`the answer is longer than ${maxBytes} bytes`));
      });
      response.on('end', () =>
        resolve({
          ...{ status: response.statusCode ?? 0, headers: response.headers },
          ...{ body: text, certificate, trustError },
        }),
      );
    });
    outgoing.end(body);
  });
}

const noTls = { certificate: undefined, trustError: undefined };

function tlsOf(socket: TLSSocket): Pick<Seen, 'certificate' | 'trustError'> {
  const { authorizationError } = socket;
  return {
    certificate: socket.getPeerCertificate(),
    trustError: authorizationError ? String(authorizationError) : undefined,
  };
}

/** The address of this machine at which a listener on all interfaces is reached. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return address === '::' ? '::1' : address;
}

function readJson(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
