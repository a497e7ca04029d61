// Log-in of the SDKs' clients from the URL of an endpoint alone: challenge, discovery, registration, approval, token, call, refresh and step-up.
import { Client, type FetchLike, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as FirstGenerationClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as FirstGenerationTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { Agent, fetch as undiciFetch } from 'undici';
import { approve } from '../dev/browser.ts';
import { type Scene, type SceneOptions, startScene } from '../e2e/clients/scene.ts';
import { until } from '../support/until.ts';

type Provider = NonNullable<ConstructorParameters<typeof StreamableHTTPClientTransport>[1]>['authProvider'] & {
  redirectToAuthorization(url: URL): void;
};

interface Setting {
  readonly scene: Scene;
  /** Sends as a client's machine would, and notes what. */
  readonly send: FetchLike;
  /** `METHOD path status` of everything sent to the gateway and to the authorization server since the last time. */
  readonly sent: () => string[];
  /** Comes about when all that was sent is answered: the client opens its event stream beside its calls. */
  readonly answered: () => Promise<void>;
  /** Every token that is there ends; new ones are good again. */
  readonly expireTokens: () => void;
}

async function arrange(t: Test, options: SceneOptions = {}): Promise<Setting> {
  let skewMs = 0;
  let lifetimeSeconds = 60;
  const scene = await startScene({
    ...options,
    now: () => Date.now() + skewMs,
    accessTokenLifetimeSeconds: () => lifetimeSeconds,
  });
  const dispatcher = new Agent({ connect: { ca: scene.caPem } });
  t.teardown(async () => {
    await dispatcher.destroy();
    await scene.close();
  });
  let log: string[] = [];
  let unanswered = 0;
  return {
    scene,
    async send(url, init) {
      const { pathname, origin } = new URL(url);
      unanswered += 1;
      const response = await undiciFetch(url, { ...init, dispatcher } as Parameters<typeof undiciFetch>[1]);
      unanswered -= 1;
      const whose = origin === scene.origin ? '' : 'issuer ';
      log.push(`${whose}${init?.method ?? 'GET'} ${pathname} ${response.status}`);
      return response as unknown as Response;
    },
    sent() {
      const so = log;
      log = [];
      return so;
    },
    answered: () => until(() => unanswered === 0),
    expireTokens() {
      skewMs += (lifetimeSeconds + 10) * 1000;
      lifetimeSeconds += 3600;
    },
  };
}

/** What a client keeps of its log-in, and the pages that it would have opened in a browser. */
function createLogin(grants: readonly string[] = ['authorization_code', 'refresh_token']) {
  const pages: URL[] = [];
  const kept: {
    discovery?: object;
    client?: never;
    tokens?: { access_token: string; refresh_token?: string; scope?: string };
    verifier?: string;
  } = {};
  let state = 0;
  const provider = {
    redirectUrl: 'http://localhost:33418/callback',
    clientMetadata: {
      client_name: 'Test client',
      redirect_uris: ['http://localhost:33418/callback'],
      grant_types: grants,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => `state-${++state}`,
    clientInformation: () => kept.client,
    saveClientInformation: (client: never) => void Object.assign(kept, { client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens: object) => void Object.assign(kept, { tokens }),
    redirectToAuthorization: (url: URL) => void pages.push(url),
    saveDiscoveryState: (discovery: object) => void Object.assign(kept, { discovery }),
    discoveryState: () => kept.discovery,
    saveCodeVerifier: (verifier: string) => void Object.assign(kept, { verifier }),
    codeVerifier: () => kept.verifier ?? '',
  };
  return {
    provider: provider as unknown as Provider,
    pages,
    /** What the access token says. */
    claims: () => decodeJwt(kept.tokens?.access_token ?? ''),
    tokens: () => kept.tokens,
    /** A person approves on the page that was opened last; gives what the browser brings back. */
    async approve(t: Test): Promise<URLSearchParams> {
      const page = pages.at(-1)!;
      t.match(Object.fromEntries(page.searchParams), {
        response_type: 'code',
        code_challenge_method: 'S256',
        state: `state-${state}`,
      });
      const { searchParams } = await approve(page);
      t.equal(searchParams.get('state'), `state-${state}`);
      return searchParams;
    },
  };
}

/** A client of either generation, by what both have in common. */
interface AnyClient {
  connect(): Promise<void>;
  finish(callback: URLSearchParams): Promise<void>;
  listTools(): Promise<string[]>;
  call(name: string): Promise<string>;
}

type Generation = (t: Test, url: URL, login: ReturnType<typeof createLogin>, send: FetchLike) => () => AnyClient;

// A stream that ends with its token is not opened anew: that would be a log-in beside the one of the test.
const reconnectionOptions = {
  maxRetries: 0,
  initialReconnectionDelay: 1000,
  maxReconnectionDelay: 1000,
  reconnectionDelayGrowFactor: 1,
};

const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? '';

const first: Generation =
  (t, url, { provider }, send) =>
  () => {
    const client = new FirstGenerationClient({ name: 'test', version: '1' });
    t.teardown(() => client.close());
    const transport = new FirstGenerationTransport(url, {
      fetch: send,
      authProvider: provider as never,
      reconnectionOptions,
    });
    return {
      connect: () => client.connect(transport as Parameters<typeof client.connect>[0]),
      finish: (callback) => transport.finishAuth(callback.get('code') ?? ''),
      listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
    };
  };

const second =
  (mode: 'auto' | 'legacy'): Generation =>
  (t, url, { provider }, send) =>
  () => {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
    t.teardown(() => client.close());
    const transport = new StreamableHTTPClientTransport(url, {
      fetch: send,
      authProvider: provider,
      reconnectionOptions,
    });
    return {
      connect: () => client.connect(transport),
      finish: (callback) => transport.finishAuth(callback),
      listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
    };
  };

const plain = ['test_simple_text', 'This is a simple text response for testing.'] as const;
const scoped = ['test_tool_with_progress', 'Tool with progress executed successfully'] as const;

/** From the URL to the first call: what was sent on the way, and the client. */
async function logIn(
  t: Test,
  { scene, send, sent, answered }: Setting,
  path: string,
  generation: Generation,
  login: ReturnType<typeof createLogin>,
): Promise<AnyClient> {
  const create = generation(t, new URL(scene.origin + path), login, send);
  const knocking = create();
  await t.rejects(knocking.connect(), { message: 'Unauthorized' });
  t.strictSame(sent(), [
    `POST ${path} 401`,
    `GET /.well-known/oauth-protected-resource${path} 200`,
    'issuer GET /.well-known/oauth-authorization-server 200',
    'issuer POST /reg 201',
  ]);
  const page = login.pages[0]!;
  t.equal(login.pages.length, 1);
  t.equal(page.origin, scene.issuer);
  t.equal(page.searchParams.get('resource'), scene.origin + path);
  t.match(page.searchParams.get('scope'), /^dashboards:read( offline_access)?$/, 'what the challenge names');
  await knocking.finish(await login.approve(t));
  t.equal(sent().at(-1), 'issuer POST /token 200');
  t.match(login.claims(), { iss: scene.issuer, aud: scene.origin + path, sub: 'analyst' });

  const client = create();
  await client.connect();
  t.equal(await client.call(plain[0]), plain[1]);
  t.ok((await client.listTools()).includes(plain[0]));
  t.notOk((await client.listTools()).includes(scoped[0]), 'not usable with the scope of the first log-in');
  await answered();
  t.notOk(
    sent().some((line) => /40[13]|issuer/.test(line)),
    'nothing more is asked for',
  );
  return client;
}

/** A call that needs more scope: the client is sent to the page for it, and then the call succeeds. */
async function stepUp(
  t: Test,
  { scene, sent }: Setting,
  path: string,
  client: AnyClient,
  login: ReturnType<typeof createLogin>,
): Promise<void> {
  const pages = login.pages.length;
  await t.rejects(client.call(scoped[0]), { message: 'Unauthorized' });
  t.ok(sent().includes(`POST ${path} 403`));
  t.equal(login.pages.length, pages + 1);
  t.match(login.pages.at(-1)!.searchParams.get('scope'), /\bqueries:execute\b/);
  await client.finish(await login.approve(t));
  t.equal(await client.call(scoped[0]), scoped[1]);
  t.match(login.claims(), { aud: scene.origin + path, scope: /\bqueries:execute\b/ });
  const denied = await scene.gateway.record(
    ({ reason, mcp }) => reason === 'insufficient_scope' && mcp?.tool === scoped[0],
  );
  t.match(denied, {
    status: 403,
    scopes: { required: ['queries:execute'], missing: ['queries:execute'] },
    upstream: undefined,
  });
}

for (const [title, path, generation] of [
  ['second generation, 2026-07-28', '/v2', second('auto')],
  ['second generation, an older revision with sessions', '/v1', second('legacy')],
] as const) {
  t.test(`${title}: log-in, refresh without a person, step-up for what is missing besides what it has`, async (t) => {
    const setting = await arrange(t);
    const login = createLogin();
    const client = await logIn(t, setting, path, generation, login);
    const { access_token: old } = login.tokens()!;
    setting.expireTokens();
    t.equal(await client.call(plain[0]), plain[1]);
    t.not(login.tokens()?.access_token, old);
    t.strictSame(
      setting.sent().filter((line) => !/well-known/.test(line)),
      [`POST ${path} 401`, 'issuer POST /token 200', `POST ${path} 200`],
    );
    t.equal(login.pages.length, 1, 'nobody was asked again');
    await stepUp(t, setting, path, client, login);
    t.match(login.pages.at(-1)!.searchParams.get('scope'), /\bdashboards:read\b/, 'what it had is asked for too');
    t.equal(await client.call(plain[0]), plain[1], 'and it can still do what it could');
    setting.expireTokens();
    t.equal(await client.call(scoped[0]), scoped[1], 'the refreshed token has all of it');
    t.equal(login.pages.length, 2);
  });
}

t.test('first generation: log-in, step-up, and a new log-in when the token has ended', async (t) => {
  const setting = await arrange(t);
  const login = createLogin();
  const client = await logIn(t, setting, '/v1', first, login);
  t.equal(login.tokens()?.refresh_token, undefined, 'this generation never asks for one');
  await stepUp(t, setting, '/v1', client, login);
  setting.expireTokens();
  await t.rejects(client.call(scoped[0]), { message: 'Unauthorized' });
  await client.finish(await login.approve(t));
  t.equal(await client.call(plain[0]), plain[1]);
});

t.test(
  'first generation with a refresh token: refreshed without a person; a step-up ends after one attempt',
  async (t) => {
    const setting = await arrange(t, { refreshTokens: 'registered' });
    const login = createLogin();
    const client = await logIn(t, setting, '/v1', first, login);
    setting.expireTokens();
    t.equal(await client.call(plain[0]), plain[1]);
    t.equal(login.pages.length, 1);
    setting.sent();
    // It refreshes where it should ask for more, sees that the challenge is the same to the byte, and gives up.
    await t.rejects(client.call(scoped[0]), /403 after trying upscoping/);
    t.equal(setting.sent().filter((line) => line === 'POST /v1 403').length, 2);
    t.equal(await client.call(plain[0]), plain[1]);
  },
);

t.test('https://…/mcp/ typed for route /mcp: both generations log in from that URL and call there', async (t) => {
  for (const [path, generation] of [
    ['/v1/', first],
    ['/v2/', second('auto')],
  ] as const) {
    const setting = await arrange(t);
    const login = createLogin();
    const client = await logIn(t, setting, path, generation, login);
    await stepUp(t, setting, path, client, login);
  }
});

t.test('a client that knows the discovery of 2025-03-26 only finds the authorization server on the host', async (t) => {
  const setting = await arrange(t);
  const { scene, send, sent } = setting;
  const login = createLogin();
  const withoutResourceMetadata: FetchLike = async (url, init) => {
    if (new URL(url).pathname.startsWith('/.well-known/oauth-protected-resource'))
      return new Response('', { status: 404 });
    const response = await send(url, init);
    const headers = new Headers(response.headers);
    headers.delete('www-authenticate');
    const body = response.status === 401 ? await response.text() : response.body;
    return new Response(body, { status: response.status, headers });
  };
  const create = first(t, new URL(`${scene.origin}/v1`), login, withoutResourceMetadata);
  const knocking = create();
  await t.rejects(knocking.connect(), { message: 'Unauthorized' });
  t.ok(sent().includes('GET /.well-known/oauth-authorization-server 200'));
  t.equal(login.pages[0]?.origin, scene.issuer);
  await knocking.finish(await login.approve(t));
  t.match(login.claims(), { iss: scene.issuer, aud: `${scene.origin}/v1` });

  const client = create();
  await client.connect();
  t.equal(await client.call(plain[0]), plain[1]);
  t.equal(await client.call(scoped[0]), scoped[1], 'it asked for no scope, and was offered all');
});
