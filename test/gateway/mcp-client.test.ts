// The official MCP client over TLS, through the gateway, to the demo Superset: what an agent developer's client meets.
import type { ServerResponse } from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike, Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  type CallToolResult,
  LoggingMessageNotificationSchema,
  McpError,
  type Progress,
} from '@modelcontextprotocol/sdk/types.js';
import t, { type Test } from 'tap';
import { Agent, fetch as undiciFetch } from 'undici';
import { startDemoSuperset } from '../../src/dev/superset/server.ts';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { startScenario } from '../support/scenario.ts';
import { type RecordedRequest, startUpstream } from '../support/upstream.ts';

const superset = await startDemoSuperset();
const certificates = await createTestCertificates();
/** Holds each stream after its first event until the test lets it go on. */
let goOn: Promise<void> = Promise.resolve();
const sessions = await startUpstream({ reply: answerWithSession });
t.teardown(() => Promise.all([sessions.close(), superset.close()]));
const scenario = await startScenario(
  t,
  {
    authenticators: {
      workloads: {
        allow: [
          {
            commonName: 'client-ai-agent-1',
            clientId: 'ai_agent_prod',
            scopes: ['dashboards:read', 'queries:execute'],
          },
        ],
      },
    },
    upstreams: { sessions: { url: sessions.url } },
    routes: [
      {
        name: 'superset-mcp',
        path: '/mcp',
        authenticate: { anyOf: ['corp'], optional: ['workloads'] },
        mcp: {
          rules: [
            { name: 'no-deletes', deny: { tools: ['delete_*'] } },
            {
              name: 'sql',
              allow: { tools: ['execute_sql'] },
              require: {
                scopes: ['queries:execute'],
                when: 'has(args.request) && has(args.request.limit) && args.request.limit <= 1000',
              },
            },
            { name: 'exports', allow: { tools: ['get_chart_data'] }, require: { scopes: ['exports:create'] } },
            {
              name: 'reads',
              allow: { tools: ['list_*', 'get_*', 'health_check'] },
              require: { scopes: ['dashboards:read'] },
            },
            { name: 'metadata', allow: { resources: ['instance://*'] }, require: { scopes: ['dashboards:read'] } },
            { name: 'prompts', allow: { prompts: ['quickstart'] } },
          ],
        },
      },
      {
        name: 'sessions',
        path: '/sessions',
        upstream: 'sessions',
        mcp: { rules: [{ allow: { tools: ['slow'] } }] },
      },
    ],
  },
  { upstream: superset, tls: certificates },
);
const { issuer } = scenario;

/** A server with sessions, whose one tool reports progress and then waits. */
async function answerWithSession(request: RecordedRequest, response: ServerResponse): Promise<void> {
  if (request.method === 'DELETE') return void response.writeHead(200).end();
  if (request.method !== 'POST') return void response.writeHead(405, { allow: 'POST, DELETE' }).end();
  const message = JSON.parse(request.body.toString());
  if (message.id === undefined) return void response.writeHead(202).end();
  const answer = (result: object) => JSON.stringify({ jsonrpc: '2.0', id: message.id, result });
  if (message.method === 'initialize') {
    const { protocolVersion } = message.params;
    response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'session-1' });
    const serverInfo = { name: 'sessions', version: '1' };
    return void response.end(answer({ protocolVersion, capabilities: { tools: {} }, serverInfo }));
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const progress = { progressToken: message.params._meta.progressToken, progress: 1, total: 2 };
  const notification = { jsonrpc: '2.0', method: 'notifications/progress', params: progress };
  response.write(`event: message\ndata: ${JSON.stringify(notification)}\n\n`);
  await goOn;
  response.end(`event: message\ndata: ${answer({ content: [{ type: 'text', text: 'done' }] })}\n\n`);
}

const agentToken = await scenario.token({ jti: 'agent-1' });
const readerToken = await scenario.token({
  sub: 'frontend',
  client_id: 'analytics_frontend',
  scope: 'dashboards:read',
});

interface Connection {
  readonly client: Client;
  readonly transport: StreamableHTTPClientTransport;
  /** What the transport complained about. */
  readonly errors: readonly Error[];
  readonly fetch: FetchLike;
}

async function connect(
  t: Test,
  token: string | undefined,
  options: { readonly path?: string; readonly certificate?: IssuedCertificate } = {},
): Promise<Connection> {
  const { certificate, path = '/mcp' } = options;
  const dispatcher = new Agent({
    connect: {
      ca: certificates.authority.certificatePem,
      servername: 'mcp.example.com',
      ...(certificate && { cert: certificate.certificatePem, key: certificate.keyPem }),
    },
  });
  const send: FetchLike = (url, init) =>
    undiciFetch(url, { ...init, dispatcher } as Parameters<typeof undiciFetch>[1]) as unknown as Promise<Response>;
  const transport = new StreamableHTTPClientTransport(new URL(`https://127.0.0.1:${scenario.port}${path}`), {
    fetch: send,
    ...(token !== undefined && { requestInit: { headers: { authorization: `Bearer ${token}` } } }),
  });
  const errors: Error[] = [];
  const client = new Client({ name: 'test', version: '1' });
  client.onerror = (error) => void errors.push(error);
  t.teardown(async () => {
    await client.close();
    await dispatcher.destroy();
  });
  // The SDK's own transport declares its optional members without `| undefined`, which exactOptionalPropertyTypes minds.
  await client.connect(transport as Transport);
  return { client, transport, errors, fetch: send };
}

const textOf = (result: unknown): string => {
  const [first] = (result as CallToolResult).content;
  return first?.type === 'text' ? first.text : '';
};
const sql = (request: object) => ({ name: 'execute_sql', arguments: { request: { database_id: 1, ...request } } });

t.test('it initializes, lists, calls, reads and asks for prompts', async (t) => {
  const { client, errors } = await connect(t, agentToken);
  t.equal(client.getServerVersion()?.name, 'Demo Superset MCP Server');
  const { tools } = await client.listTools();
  t.ok(tools.some(({ name }) => name === 'execute_sql'));
  const dashboards = JSON.parse(textOf(await client.callTool({ name: 'list_dashboards', arguments: { request: {} } })));
  t.ok(dashboards.dashboards.length > 0, 'real dashboards');
  const { resources } = await client.listResources();
  t.ok(resources.some(({ uri }) => uri === 'instance://metadata'));
  t.equal((await client.readResource({ uri: 'instance://metadata' })).contents.length, 1);
  t.equal((await client.getPrompt({ name: 'quickstart' })).messages.length, 1);
  await client.ping();
  t.same(errors, [], 'and the transport has nothing to complain about, GET included');
});

t.test('the server learns who is calling: token alone, and token with certificate', async (t) => {
  for (const certificate of [undefined, certificates.agent]) {
    const { client } = await connect(t, agentToken, certificate && { certificate });
    const result = await client.callTool({ name: 'get_instance_info', arguments: {} });
    t.same(JSON.parse(textOf(result)).current_user, {
      username: 'ai-agent',
      client_id: 'ai_agent_prod',
      scopes: ['dashboards:read', 'queries:execute'],
      authenticated_with: certificate === undefined ? 'oauth' : 'mtls+oauth',
      issuer: issuer.issuer,
    });
  }
  const record = await scenario.record(
    ({ mcp, credentials, stage }) =>
      stage === 'completed' && mcp?.tool === 'get_instance_info' && credentials?.length === 2,
  );
  t.match(record, {
    principal: { kind: 'oauth', clientId: 'ai_agent_prod', credentialId: 'agent-1' },
    credentials: [
      { kind: 'client-certificate', authenticator: 'workloads', id: fingerprintOf(certificates.agent) },
      { kind: 'access-token', authenticator: 'corp', id: 'agent-1' },
    ],
  });
});

t.test('two clients at once each stay who they are', async (t) => {
  const [agent, reader] = await Promise.all([connect(t, agentToken), connect(t, readerToken)]);
  const names = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const { client } = index % 2 === 0 ? agent : reader;
      const result = await client.callTool({ name: 'get_instance_info', arguments: {} });
      return JSON.parse(textOf(result)).current_user.client_id;
    }),
  );
  t.same(
    names,
    Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'ai_agent_prod' : 'analytics_frontend')),
  );
});

t.test('a streamed result: messages and progress come before it, and the rows are real', async (t) => {
  const { client } = await connect(t, agentToken);
  const seen: string[] = [];
  client.setNotificationHandler(
    LoggingMessageNotificationSchema,
    ({ params }) => void seen.push(`log ${params.level}`),
  );
  const onprogress = ({ progress, total }: Progress) => void seen.push(`progress ${progress}/${total}`);
  const query = 'SELECT country, COUNT(*) AS customers FROM customers GROUP BY country ORDER BY country';
  const result = await client.callTool(sql({ sql: query, limit: 3 }), undefined, { onprogress });
  seen.push('result');
  t.same(seen, ['log info', 'progress 0/2', 'progress 1/2', 'log info', 'progress 2/2', 'result']);
  const { rows } = JSON.parse(textOf(result));
  t.equal(rows.length, 3);
  t.ok(rows.every((row: { customers: number }) => row.customers > 0));
  const record = await scenario.record(({ mcp, stage }) => stage === 'completed' && mcp?.tool === 'execute_sql');
  t.match(record, {
    rule: 'sql',
    decision: 'allow',
    outcome: 'completed',
    status: 200,
    upstream: { name: 'superset', status: 200 },
  });
  t.match(await scenario.metrics(), 'portcullis_active_streams{route="superset-mcp"} 0\n');
});

t.test('a stream is passed on as it comes, not when it is whole; the upstream sees its own session id', async (t) => {
  const { client, transport, errors } = await connect(t, agentToken, { path: '/sessions' });
  t.match(transport.sessionId, /^[\w-]{64}\.session-1$/, 'sealed for the client');
  let release = () => {};
  goOn = new Promise((resolve) => {
    release = resolve;
  });
  let ended = false;
  const progressed = new Promise<Progress>((resolve) => {
    const called = client.callTool({ name: 'slow', arguments: {} }, undefined, { onprogress: resolve });
    t.resolves(
      called
        .then((result) => t.equal(textOf(result), 'done'))
        .finally(() => {
          ended = true;
        }),
    );
  });
  t.same(await progressed, { progress: 1, total: 2 });
  t.notOk(ended, 'the first event is here while the upstream still holds the second');
  t.match(await scenario.metrics(), 'portcullis_active_streams{route="sessions"} 1\n');
  const decided = (await scenario.records()).filter(({ mcp }) => mcp?.tool === 'slow');
  t.same(
    decided.map(({ stage }) => stage),
    ['decided'],
    'recorded before it is forwarded, completed when it is',
  );
  release();
  await scenario.record(({ mcp, stage }) => mcp?.tool === 'slow' && stage === 'completed');
  t.same(sessions.requests.at(-1)?.header('mcp-session-id'), ['session-1']);
  await transport.terminateSession();
  const ending = sessions.requests.at(-1)!;
  t.same([ending.method, ending.url, ending.header('mcp-session-id')], ['DELETE', '/sessions', ['session-1']]);
  t.same([ending.header('x-forwarded-user'), ending.header('authorization')], [['ai-agent'], []]);
  t.same(errors, []);
});

t.test('a tool that fails is a result with isError, and an unknown resource is a JSON-RPC error', async (t) => {
  const { client } = await connect(t, agentToken);
  const failed = await client.callTool(sql({ sql: 'DROP TABLE customers', limit: 1 }));
  t.equal(failed.isError, true);
  t.match(textOf(failed), /SQL refused/);
  await t.rejects(client.readResource({ uri: 'instance://nothing' }), { code: -32602 });
  await scenario.record(
    ({ mcp, stage, outcome }) =>
      mcp?.target === 'instance://nothing' && stage === 'completed' && outcome === 'completed',
  );
});

t.test('a scope that is missing is 403 with a challenge, which the client reports', async (t) => {
  const { client, fetch } = await connect(t, readerToken);
  const refused = client.callTool(sql({ sql: 'SELECT 1', limit: 1 }));
  await t.rejects(refused, { code: 403 });
  await refused.catch((error: Error) => {
    t.ok(error instanceof StreamableHTTPError);
    t.match(error.message, /"insufficient_scope"/);
    t.match(error.message, /needs the scope queries:execute\. Ask for a token with this scope and call again/);
  });
  t.match(await scenario.record(({ mcp, reason }) => mcp?.tool === 'execute_sql' && reason === 'insufficient_scope'), {
    status: 403,
    rule: 'sql',
    scopes: { missing: ['queries:execute'] },
    principal: { clientId: 'analytics_frontend' },
  });
  t.same((await client.callTool({ name: 'list_charts', arguments: {} })).isError, undefined, 'and it can go on');
  const challenged = await fetch(`https://127.0.0.1:${scenario.port}/mcp`, {
    method: 'POST',
    headers: { authorization: `Bearer ${readerToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'get_chart_data' } }),
  });
  t.equal(
    challenged.headers.get('www-authenticate'),
    'Bearer error="insufficient_scope", scope="exports:create", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"',
  );
  await challenged.body?.cancel();
});

t.test('a denied call is a JSON-RPC error that the model can read', async (t) => {
  const { client, errors } = await connect(t, agentToken);
  for (const [name, call] of [
    ['a deny', client.callTool({ name: 'delete_dashboard', arguments: {} })],
    ['no rule', client.callTool({ name: 'generate_dashboard', arguments: {} })],
    ['too many rows', client.callTool(sql({ sql: 'SELECT 1', limit: 5000 }))],
  ] as const) {
    await t.rejects(call, McpError, name);
    await call.catch((error: McpError) => {
      t.equal(error.code, 403);
      t.match(error.data, { code: 'denied', requestId: /^[0-9a-f-]{36}$/ });
      t.match(error.message, /No rule of this gateway allows this client to make this call/);
    });
  }
  t.same(errors, [], 'no failure of the transport');
  t.match(await scenario.record(({ mcp }) => mcp?.tool === 'generate_dashboard'), { decision: 'deny', status: 200 });
});

t.test('without a token, or with a bad one, it does not even connect', async (t) => {
  await t.rejects(connect(t, undefined), { code: 401 });
  await t.rejects(connect(t, await scenario.token({ exp: 1 })), { code: 401 });
  await t.rejects(connect(t, agentToken, { certificate: certificates.otherAuthority }), { code: 401 });
});

t.test('GET and DELETE reach the server and come back as it answers them', async (t) => {
  const { fetch } = await connect(t, agentToken);
  const url = `https://127.0.0.1:${scenario.port}/mcp`;
  const headers = { authorization: `Bearer ${agentToken}`, accept: 'text/event-stream' };
  const get = await fetch(url, { headers });
  t.same([get.status, get.headers.get('allow')], [405, 'POST, DELETE'], 'as Superset: no stream to open');
  await get.body?.cancel();
  t.match(await scenario.record(({ id, stage }) => id === get.headers.get('x-request-id') && stage === 'completed'), {
    decision: 'allow',
    rule: 'open',
    status: 405,
    upstream: { name: 'superset', status: 405 },
  });
  const ended = await fetch(url, { method: 'DELETE', headers });
  await ended.body?.cancel();
  t.match(await scenario.record(({ id, stage }) => id === ended.headers.get('x-request-id') && stage === 'completed'), {
    decision: 'allow',
    upstream: { name: 'superset', status: ended.status },
  });
  const refused = await fetch(url, { method: 'DELETE' });
  t.equal(refused.status, 401);
  await refused.body?.cancel();
});
