// The MCP SDK's clients through the gateway: the second generation in each way it can settle on a revision, and how both get their tokens.
import {
  Client,
  ClientCredentialsProvider,
  type FetchLike,
  InsufficientScopeError,
  ProtocolError,
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
  UnauthorizedError,
  type VersionNegotiationMode,
} from '@modelcontextprotocol/client';
import { ClientCredentialsProvider as FirstGenerationProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client as FirstGenerationClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as FirstGenerationTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import t, { type Test } from 'tap';
import { Agent, fetch as undiciFetch } from 'undici';
import { startScene } from '../e2e/clients/scene.ts';

const scene = await startScene();
const { origin, issuer, agent, gateway } = scene;
const dispatcher = new Agent({ connect: { ca: scene.caPem } });
t.teardown(async () => {
  await dispatcher.destroy();
  await scene.close();
});

const send: FetchLike = (url, init) =>
  undiciFetch(url, { ...init, dispatcher } as Parameters<typeof undiciFetch>[1]) as unknown as Promise<Response>;

type Provider = NonNullable<StreamableHTTPClientTransportOptions['authProvider']>;
const bearer = (token: string | undefined): Provider => ({ token: async () => token });

async function connect(
  t: Test,
  path: string,
  mode: VersionNegotiationMode,
  authProvider: Provider,
  options: Pick<StreamableHTTPClientTransportOptions, 'onInsufficientScope'> = {},
) {
  const transport = new StreamableHTTPClientTransport(new URL(origin + path), {
    fetch: send,
    authProvider,
    ...options,
  });
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
  const errors: Error[] = [];
  client.onerror = (error) => void errors.push(error);
  t.teardown(() => client.close());
  await client.connect(transport);
  return { client, transport, errors };
}

const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? '';
const legacy = '2025-11-25';
const modern = '2026-07-28';

for (const [title, path, mode, revision] of [
  ['a legacy client works with a server of the first generation', '/v1', 'legacy', legacy],
  ['a legacy client works with a server of both eras', '/v2', 'legacy', legacy],
  ['a client that negotiates falls back with a server of the first generation', '/v1', 'auto', legacy],
  ['a client that negotiates finds the modern era of a server of both', '/v2', 'auto', modern],
  ['a modern client works with a server of both eras', '/v2', { pin: modern }, modern],
] as const) {
  t.test(title, async (t) => {
    const token = await scene.token(path, 'dashboards:read queries:execute');
    const { client, transport, errors } = await connect(t, path, mode, bearer(token));
    t.equal(client.getNegotiatedProtocolVersion(), revision);
    t.equal(transport.sessionId !== undefined, revision === legacy, 'sessions are of the older revisions');
    const { tools } = await client.listTools();
    const names = tools.map(({ name }) => name);
    t.ok(names.includes('test_simple_text') && names.includes('test_tool_with_progress'));
    t.notOk(names.includes('test_sampling'), 'denied by a rule');
    t.notOk(names.includes('json_schema_2020_12_tool'), 'allowed by none');
    const text = await client.callTool({ name: 'test_simple_text', arguments: {} });
    t.equal(textOf(text), 'This is a simple text response for testing.');
    const seen: number[] = [];
    const onprogress = ({ progress }: { progress: number }) => void seen.push(progress);
    const streamed = await client.callTool({ name: 'test_tool_with_progress', arguments: {} }, { onprogress });
    t.same([seen, textOf(streamed)], [[0, 50, 100], 'Tool with progress executed successfully']);
    const failed = await client.callTool({ name: 'test_error_handling', arguments: {} });
    t.same([failed.isError, textOf(failed)], [true, 'This tool intentionally returns an error for testing']);
    const { contents } = await client.readResource({ uri: 'test://static-text' });
    t.match(contents, [{ text: 'This is the content of the static text resource.' }]);
    t.equal((await client.getPrompt({ name: 'test_simple_prompt' })).messages.length, 1);
    if (revision === legacy) {
      await client.ping();
      await transport.terminateSession();
      t.equal(transport.sessionId, undefined);
    }
    t.same(errors, [], 'the transport has nothing to complain about');
  });
}

t.test('modern with a server of the first generation fails loudly', async (t) => {
  const token = await scene.token('/v1', 'dashboards:read');
  await t.rejects(connect(t, '/v1', { pin: modern }, bearer(token)));
});

t.test('a denied call is an error that says so, and the connection goes on', async (t) => {
  for (const [path, mode] of [
    ['/v1', 'legacy'],
    ['/v2', 'legacy'],
    ['/v2', 'auto'],
  ] as const) {
    const { client, errors } = await connect(t, path, mode, bearer(await scene.token(path, 'dashboards:read')));
    const denied = client.callTool({ name: 'test_sampling', arguments: { prompt: 'p' } });
    await t.rejects(denied, ProtocolError);
    await denied.catch((error: ProtocolError) => {
      t.equal(error.code, 403);
      t.match(error.data, { code: 'denied' });
      t.match(error.message, /No rule of this gateway allows/);
    });
    t.equal((await client.callTool({ name: 'test_simple_text', arguments: {} })).isError, undefined);
    t.same(errors, []);
  }
  const denials = await gateway.matchingRecords(3, ({ mcp }) => mcp?.tool === 'test_sampling');
  for (const record of denials) t.match(record, { decision: 'deny', reason: 'denied', upstream: undefined });
});

t.test('a missing scope is signalled with the scope and where to get it', async (t) => {
  for (const [path, mode] of [
    ['/v1', 'legacy'],
    ['/v2', 'auto'],
  ] as const) {
    const token = await scene.token(path, 'dashboards:read');
    const { client } = await connect(t, path, mode, bearer(token), { onInsufficientScope: 'throw' });
    const refused = client.callTool({ name: 'test_tool_with_progress', arguments: {} });
    await t.rejects(refused, InsufficientScopeError);
    await refused.catch((error: InsufficientScopeError) => {
      t.equal(error.requiredScope, 'queries:execute');
      t.equal(error.resourceMetadataUrl?.href, `${origin}/.well-known/oauth-protected-resource${path}`);
    });
  }
});

t.test('without a token: 401, discovery, a token, and more scope when a call needs it', async (t) => {
  for (const [path, mode] of [
    ['/v1', 'legacy'],
    ['/v2', 'auto'],
    ['/v2', { pin: modern }],
  ] as const) {
    const provider = new ClientCredentialsProvider({ ...agent, expectedIssuer: issuer });
    const { client } = await connect(t, path, mode, provider);
    t.equal(provider.tokens()?.scope, 'dashboards:read', 'what the first challenge names, and no more');
    t.equal((await client.callTool({ name: 'test_simple_text', arguments: {} })).isError, undefined);
    const stepped = await client.callTool({ name: 'test_tool_with_progress', arguments: {} });
    t.equal(textOf(stepped), 'Tool with progress executed successfully');
    t.same(provider.tokens()?.scope?.split(' ').sort(), ['dashboards:read', 'queries:execute']);
  }
});

t.test('the first generation finds its way from the 401 to a token as well', async (t) => {
  const provider = new FirstGenerationProvider({ ...agent, expectedIssuer: issuer, scope: 'dashboards:read' });
  const client = new FirstGenerationClient({ name: 'test', version: '1' });
  t.teardown(() => client.close());
  const transport = new FirstGenerationTransport(new URL(`${origin}/v1`), { fetch: send, authProvider: provider });
  // The SDK's own transport declares its optional members without `| undefined`, which exactOptionalPropertyTypes minds.
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  t.equal(provider.tokens()?.scope, 'dashboards:read');
  const text = await client.callTool({ name: 'test_simple_text', arguments: {} });
  t.equal(textOf(text), 'This is a simple text response for testing.');
});

t.test('a client that has no token and cannot get one learns just that; the server sees nothing', async (t) => {
  await t.rejects(connect(t, '/v1', 'legacy', bearer(undefined)), UnauthorizedError);
  await t.rejects(connect(t, '/v2', 'auto', bearer(undefined)), UnauthorizedError, 'no fallback to the older era');
  await t.rejects(connect(t, '/v2', 'auto', bearer('sk_nonsense')), UnauthorizedError);
  const refused = (await gateway.records()).filter(({ status }) => status === 401);
  t.same(
    refused.slice(-3).map(({ status, reason, upstream }) => [status, reason, upstream]),
    [
      [401, 'credentials_required', undefined],
      [401, 'credentials_required', undefined],
      [401, 'invalid_token', undefined],
    ],
  );
});

t.test('a modern client listens for changes, and hears of them at once', async (t) => {
  const { client } = await connect(t, '/v2', 'auto', bearer(await scene.token('/v2', 'dashboards:read')));
  const changed = new Promise<void>((resolve) => {
    client.setNotificationHandler('notifications/tools/list_changed', () => resolve());
  });
  const subscription = await client.listen({ toolsListChanged: true });
  t.match(subscription.honoredFilter, { toolsListChanged: true });
  await client.callTool({ name: 'test_trigger_tool_change', arguments: {} });
  await changed;
  await subscription.close();
  t.equal(await subscription.closed, 'local');
});
