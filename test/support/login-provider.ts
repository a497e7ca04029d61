// OpenID Provider of the tests beside the fake issuer: it logs everybody in, and tells what it was asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createSigningKey, type SigningKey, signToken } from './issuer.ts';

export interface LoginProvider {
  readonly issuer: string;
  readonly key: SigningKey;
  /** Bodies of the requests to its token endpoint. */
  readonly tokenRequests: URLSearchParams[];
  /** Laid over the claims of the next ID tokens; `undefined` takes one out. */
  claims: Readonly<Record<string, unknown>>;
  /** In place of the ID token it would give. */
  idToken: ((good: Readonly<Record<string, unknown>>) => Promise<string> | string) | undefined;
  /** The answer of the token endpoint in place of a good one. */
  tokenAnswer: { readonly status: number; readonly body: unknown } | undefined;
  /** Begins a log-in as the browser does that is sent to `location`: the query of its way back. */
  authorize(location: string): string;
  close(): Promise<void>;
}

/** Starts one on a free port of 127.0.0.1. */
export async function startLoginProvider(): Promise<LoginProvider> {
  const key = createSigningKey('ES256');
  const begun = new Map<string, URLSearchParams>();
  let codes = 0;
  const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.url?.startsWith('/.well-known/') === true) {
      return void answer(200, {
        issuer: self.issuer,
        jwks_uri: `${self.issuer}/jwks`,
        authorization_endpoint: `${self.issuer}/auth`,
        token_endpoint: `${self.issuer}/token`,
      });
    }
    if (request.url?.startsWith('/auth?') === true) {
      const back = new URL(request.url, self.issuer).searchParams.get('redirect_uri');
      const location = `${back}?${self.authorize(new URL(request.url, self.issuer).href)}`;
      return void response.writeHead(303, { location }).end();
    }
    if (request.url === '/jwks') return void answer(200, { keys: [key.jwk] });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked = new URLSearchParams(Buffer.concat(chunks).toString());
    self.tokenRequests.push(asked);
    if (self.tokenAnswer !== undefined) return void answer(self.tokenAnswer.status, self.tokenAnswer.body);
    const login = begun.get(asked.get('code') ?? '');
    begun.delete(asked.get('code') ?? '');
    if (login === undefined) return void answer(400, { error: 'invalid_grant' });
    const claims = {
      ...{ client_id: undefined, scope: undefined, jti: undefined },
      aud: login.get('client_id'),
      sub: 'ada',
      nonce: login.get('nonce'),
      at_hash: 'x',
      ...self.claims,
    };
    const idToken = await (self.idToken?.(claims) ?? signToken(self.issuer, claims, { key, header: { typ: 'JWT' } }));
    answer(200, { access_token: 'opaque', token_type: 'Bearer', id_token: idToken, scope: 'openid console:read' });
  };
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const self: LoginProvider = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key,
    tokenRequests: [],
    claims: {},
    idToken: undefined,
    tokenAnswer: undefined,
    authorize(location) {
      const asked = new URL(location).searchParams;
      codes += 1;
      begun.set(`code-${codes}`, asked);
      return new URLSearchParams({ code: `code-${codes}`, state: asked.get('state') ?? '' }).toString();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}
