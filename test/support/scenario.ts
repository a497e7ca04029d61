// The scenario of the tests: a gateway between the product's three clients, an issuer and an upstream, all of them real and on port 0.
import type { Test } from 'tap';
import type { TestCertificates } from './certificates.ts';
import {
  type ClientAnswer,
  type ClientOptions,
  type ClientRequest,
  createClient,
  createInjectingClient,
  type TestClient,
  toolCall,
} from './client.ts';
import { apiKey, type Changes, type Configuration, configure, resourcesOf, yamlOf } from './configuration.ts';
import { type HeldStream, type HeldStreamOptions, holdStream } from './event-stream.ts';
import { type AuditRecord, startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { createFakeIssuer, type FakeIssuer, type TokenOptions } from './issuer.ts';
import { type Reply, startUpstream, type TestUpstream } from './upstream.ts';

/** What the gateway stands between, where it is not what the scenario would start. What is given is closed by who gave it. */
export interface Surroundings<U extends { readonly url: string } = TestUpstream>
  extends Omit<TestGatewayOptions, 'yaml'> {
  readonly upstream?: U;
  /** How the scenario's own upstream answers. */
  readonly reply?: Reply;
  readonly issuer?: FakeIssuer;
  /** Makes the public listener one of TLS. `true`: certificates of its own. */
  readonly tls?: TestCertificates | boolean;
  /** Callers without connections of their own hand their requests to the application itself: for tests in which the wire does not matter. */
  readonly inject?: boolean;
}

export interface Scenario<U extends { readonly url: string } = TestUpstream>
  extends Omit<TestGateway, 'reload' | 'close'> {
  readonly upstream: U;
  readonly issuer: FakeIssuer;
  /** Of the listener and of the clients; undefined without TLS. */
  readonly certificates: TestCertificates | undefined;
  /** `ai_agent_prod`, with a token for `dashboards:read` and `queries:execute`. */
  readonly agent: Caller;
  /** `analytics_frontend`, with a token for `dashboards:read`. */
  readonly frontend: Caller;
  /** `reporting_tool`, with its API key. */
  readonly reporting: Caller;
  /** Shows no credential. */
  readonly anybody: Caller;
  /** Somebody with other credentials. */
  as(credentials: Credentials): Promise<Caller>;
  /** Signs a token of the AI agent that is good on every route; `claims` are added, `undefined` takes one out. */
  token(claims?: Readonly<Record<string, unknown>>, options?: TokenOptions): Promise<string>;
  /** The same, as the header that carries it. */
  bearer(claims?: Readonly<Record<string, unknown>>): Promise<{ readonly authorization: string }>;
  /** A client with connections of its own. */
  connect(options?: Omit<ClientOptions, 'port' | 'ca'>): TestClient;
  /** Sends and holds the answer open. */
  hold(options?: Omit<HeldStreamOptions, 'port' | 'ca'>): Promise<HeldStream>;
  /** The record of the completed request. */
  recordOf(answer: { readonly id: string }): Promise<AuditRecord>;
  /** All records of the request, once it is complete. */
  recordsOf(answer: { readonly id: string }): Promise<AuditRecord[]>;
  /** Reloads the configuration that the scenario began with, with these changes laid over it; or a text in its place. */
  reload(changes?: Changes | string): Promise<void>;
}

export interface Credentials extends Omit<ClientOptions, 'port' | 'ca'> {
  /** For a token: laid over the AI agent's. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** For anything else. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client that shows the same credentials with every request. */
export interface Caller {
  readonly headers: Readonly<Record<string, string>>;
  send(request: ClientRequest): Promise<ClientAnswer>;
  /** POSTs a message, to `/mcp` unless the request says otherwise. */
  post(message: unknown, request?: ClientRequest): Promise<ClientAnswer>;
  /** Calls a tool. */
  call(tool: string, args?: unknown, request?: ClientRequest): Promise<ClientAnswer>;
  /** Sends and holds the answer open. */
  hold(options?: Omit<HeldStreamOptions, 'port' | 'ca' | 'certificate'>): Promise<HeldStream>;
}

/** Starts it, with these changes to its configuration, and closes it with the test. */
export async function startScenario<U extends { readonly url: string } = TestUpstream>(
  t: Test,
  changes: Changes = {},
  surroundings: Surroundings<U> = {},
): Promise<Scenario<U>> {
  const {
    upstream: givenUpstream,
    issuer: givenIssuer,
    reply,
    tls = false,
    inject = false,
    files,
    ...options
  } = surroundings;
  const closing: (() => unknown)[] = [];
  t.teardown(async () => {
    for (const close of closing.reverse()) await close();
  });
  const issuer = givenIssuer ?? (await createFakeIssuer());
  if (givenIssuer === undefined) closing.push(issuer.close);
  const ownUpstream =
    givenUpstream === undefined ? await startUpstream(reply === undefined ? {} : { reply }) : undefined;
  if (ownUpstream !== undefined) closing.push(ownUpstream.close);
  const upstream = (givenUpstream ?? ownUpstream) as U;
  const certificates = tls === true ? await freshCertificates() : tls || undefined;

  const configuration = (...more: Changes[]): Configuration =>
    configure({ upstreamUrl: upstream.url, issuer: issuer.issuer, tls: certificates !== undefined }, changes, ...more);
  const gateway = await startTestGateway({
    yaml: yamlOf(configuration()),
    files: { ...certificates?.files, ...files },
    ...options,
  });
  closing.push(gateway.close);

  const target = {
    port: gateway.port,
    ...(certificates !== undefined && { ca: certificates.authority.certificatePem }),
  };
  const connect: Scenario['connect'] = (more) => {
    const client = createClient({ ...target, ...more });
    closing.push(client.close);
    return client;
  };
  const hold: Scenario['hold'] = async (more) => {
    const stream = await holdStream({ ...target, ...more });
    closing.push(stream.leave);
    return stream;
  };
  const aud = resourcesOf(configuration());
  const token: Scenario['token'] = (claims, more) =>
    issuer.token({ aud, ...claims }, { ...(options.now !== undefined && { now: options.now() }), ...more });
  const bearer: Scenario['bearer'] = async (claims) => ({ authorization: `Bearer ${await token(claims)}` });
  const shared = inject ? createInjectingClient(gateway.gateway.app) : connect();
  const as: Scenario['as'] = async ({ claims, headers, ...connection }) => {
    const shown = { ...headers, ...(claims !== undefined && (await bearer(claims))) };
    const own = Object.keys(connection).length > 0;
    return callerOf(own ? connect(connection) : shared, shown, (more) =>
      hold({ certificate: connection.certificate, ...more }),
    );
  };
  return {
    ...gateway,
    upstream,
    issuer,
    certificates,
    agent: await as({ claims: {} }),
    frontend: await as({ claims: { client_id: 'analytics_frontend', sub: 'frontend', scope: 'dashboards:read' } }),
    reporting: await as({ headers: { authorization: `Bearer ${apiKey}` } }),
    anybody: await as({}),
    as,
    token,
    bearer,
    connect,
    hold,
    recordOf: ({ id }) => gateway.record((record) => record.id === id && record.stage === 'completed'),
    async recordsOf({ id }) {
      await gateway.record((record) => record.id === id && record.stage === 'completed');
      return (await gateway.records()).filter((record) => record.id === id);
    },
    reload: (more = {}) => gateway.reload(typeof more === 'string' ? more : yamlOf(configuration(more))),
  };
}

/** Loads the library of certificates where they are needed: a tenth of the time of a short test. */
async function freshCertificates(): Promise<TestCertificates> {
  const { createTestCertificates } = await import('./certificates.ts');
  return createTestCertificates();
}

function callerOf(client: TestClient, headers: Caller['headers'], hold: Caller['hold']): Caller {
  const shown = <R extends ClientRequest>(request: R) => ({ ...request, headers: { ...headers, ...request.headers } });
  const post: Caller['post'] = (message, request = {}) => client.post(message, shown(request));
  return {
    headers,
    send: (request) => client.send(shown(request)),
    post,
    call: (tool, args, request) => post(toolCall(tool, args), request),
    hold: (options = {}) => hold({ ...options, headers: { ...headers, ...options.headers } }),
  };
}
