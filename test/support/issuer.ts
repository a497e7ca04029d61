// Fake authorization server on loopback: metadata, a key set, tokens, and a fault on demand.
import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { CompactSign } from 'jose';

/** What the server does instead of answering well. */
export type IssuerFault =
  | 'down'
  | 'error'
  | 'slow'
  | 'drip'
  | 'huge'
  | 'redirect'
  | 'endless'
  | 'encoded'
  | 'no-object'
  | 'garbage'
  | 'empty'
  | 'wrong-issuer'
  | 'not-found';

export type SigningAlgorithm = 'ES256' | 'ES384' | 'RS256' | 'PS256' | 'EdDSA';

export interface SigningKey {
  readonly kid: string;
  readonly algorithm: SigningAlgorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** As it is published. */
  readonly jwk: JsonWebKey & { readonly kid: string };
}

export interface TokenOptions {
  /** Added to the header; `undefined` takes a member out. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Default: the issuer's first key. */
  readonly key?: SigningKey;
  /** Milliseconds since 1970 that `iat` and `exp` count from; default now. */
  readonly now?: number;
}

export interface FakeIssuer {
  /** Also its origin. */
  readonly issuer: string;
  readonly jwksUri: string;
  /** Requests so far, by what they asked for. */
  readonly requests: { metadata: number; keys: number; readonly others: string[] };
  /** The key that signs by default. */
  readonly key: SigningKey;
  fault: IssuerFault | undefined;
  /** What of it the fault befalls; default both. */
  faulty: readonly ('metadata' | 'keys')[];
  /** Which of the two metadata forms it has. */
  metadataForms: readonly ('oauth' | 'openid')[];
  /** The `jwks_uri` in the metadata. */
  advertisedJwksUri: string;
  /** Replaces what the key set holds. */
  publish(keys: readonly unknown[]): void;
  /** Replaces the signing key, and publishes the new one alone. */
  rotate(algorithm?: SigningAlgorithm): SigningKey;
  /** A good token of the AI agent for `https://mcp.example.com/mcp`; `claims` are added, `undefined` takes one out. */
  token(claims?: Readonly<Record<string, unknown>>, options?: TokenOptions): Promise<string>;
  close(): Promise<void>;
}

/** Starts one with an ES256 key on a free port of 127.0.0.1. `path` makes an issuer with a path, `hostname` one that says it has another name. */
export async function createFakeIssuer(
  options: {
    readonly algorithm?: SigningAlgorithm;
    readonly path?: string;
    readonly hostname?: string;
    readonly tls?: TlsOptions;
  } = {},
): Promise<FakeIssuer> {
  let key = createSigningKey(options.algorithm ?? 'ES256');
  let published: readonly unknown[] = [key.jwk];
  const requests = { metadata: 0, keys: 0, others: [] as string[] };
  const path = options.path ?? '';

  const faultOf = (part: 'metadata' | 'keys') => (self.faulty.includes(part) ? self.fault : undefined);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const url = request.url ?? '';
    const isOauth = url === `/.well-known/oauth-authorization-server${path}`;
    const isOpenid = url === `${path}/.well-known/openid-configuration`;
    if (isOauth || isOpenid) {
      requests.metadata++;
      if (misbehave(response, faultOf('metadata'))) return;
      if (!self.metadataForms.includes(isOauth ? 'oauth' : 'openid')) return void response.writeHead(404).end();
      const named = faultOf('metadata') === 'wrong-issuer' ? `${self.issuer}/` : self.issuer;
      answer(response, { issuer: named, jwks_uri: self.advertisedJwksUri });
    } else if (url === '/jwks') {
      requests.keys++;
      if (!misbehave(response, faultOf('keys'))) answer(response, { keys: published });
    } else {
      requests.others.push(url);
      response.writeHead(404).end();
    }
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `${options.tls === undefined ? 'http' : 'https'}://${options.hostname ?? '127.0.0.1'}:${(server.address() as AddressInfo).port}`;

  const self: FakeIssuer = {
    issuer: origin + path,
    jwksUri: `${origin}/jwks`,
    requests,
    get key() {
      return key;
    },
    fault: undefined,
    faulty: ['metadata', 'keys'],
    metadataForms: ['oauth', 'openid'],
    advertisedJwksUri: `${origin}/jwks`,
    publish(keys) {
      published = keys;
    },
    rotate(algorithm = key.algorithm) {
      key = createSigningKey(algorithm);
      published = [key.jwk];
      return key;
    },
    token: (claims, tokenOptions) => signToken(self.issuer, claims, { key, ...tokenOptions }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}

/** A fresh key pair with its public JWK. */
export function createSigningKey(algorithm: SigningAlgorithm, kid: string = randomUUID()): SigningKey {
  const { privateKey, publicKey } = createKeyPair(algorithm);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: algorithm };
  return { kid, algorithm, privateKey, publicKey, jwk };
}

/** Signs a token as an issuer would. */
export async function signToken(
  issuer: string,
  claims: Readonly<Record<string, unknown>> = {},
  options: TokenOptions & { readonly key: SigningKey },
): Promise<string> {
  const { key, header } = options;
  const nowSeconds = Math.floor((options.now ?? Date.now()) / 1000);
  const payload = {
    iss: issuer,
    aud: 'https://mcp.example.com/mcp',
    sub: 'ai-agent',
    client_id: 'ai_agent_prod',
    scope: 'dashboards:read queries:execute',
    jti: randomUUID(),
    iat: nowSeconds,
    exp: nowSeconds + 300,
    ...claims,
  };
  const signer = new CompactSign(Buffer.from(JSON.stringify(payload)));
  return signer.setProtectedHeader({ alg: key.algorithm, typ: 'at+jwt', kid: key.kid, ...header }).sign(key.privateKey);
}

function createKeyPair(algorithm: SigningAlgorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'EdDSA':
      return generateKeyPairSync('ed25519');
    default:
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
  }
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** True when the fault took care of the answer. */
function misbehave(response: ServerResponse, fault: IssuerFault | undefined): boolean {
  switch (fault) {
    case 'down':
      response.socket?.destroy();
      return true;
    case 'error':
      response.writeHead(500).end();
      return true;
    case 'not-found':
      response.writeHead(404).end();
      return true;
    case 'slow':
      return true;
    case 'drip':
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"keys":');
      return true;
    case 'huge':
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`{"keys":[],"padding":"${'x'.repeat(600_000)}"}`);
      return true;
    case 'endless': {
      const body = new Readable({
        read() {
          this.push(Buffer.alloc(65_536, ' '));
        },
      });
      response.writeHead(200, { 'content-type': 'application/json' });
      body.pipe(response).on('close', () => body.destroy());
      return true;
    }
    case 'encoded':
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(gzipSync(`{"keys":[],"padding":"${' '.repeat(5_000_000)}"}`));
      return true;
    case 'no-object':
      answer(response, ['keys']);
      return true;
    case 'redirect':
      response.writeHead(302, { location: '/elsewhere' }).end();
      return true;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'application/json' }).end('<html>maintenance</html>');
      return true;
    case 'empty':
      answer(response, { keys: [] });
      return true;
    case 'wrong-issuer':
    case undefined:
      return false;
  }
}
