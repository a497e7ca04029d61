// Sessions that belong to who opened them (row S2): real sockets, the official SDK on both sides, and thieves who have the id.
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { type CallToolResult, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type ClientAnswer, type ClientRequest, toolCall } from '../support/client.ts';
import type { Changes, Configuration } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { startSessionServer } from '../support/session-server.ts';
import { until } from '../support/until.ts';
import { type RecordedRequest, startUpstream } from '../support/upstream.ts';

const issuer = await createFakeIssuer();
const partner = await createFakeIssuer();
t.teardown(async () => {
  await issuer.close();
  await partner.close();
});

const aud = ['https://mcp.example.com/mcp', 'https://mcp.example.com/other'];
const agent = { aud, sub: 'anna', client_id: 'ai_agent_prod' };
const bearer = async (claims: object) => ({ authorization: `Bearer ${await issuer.token({ ...agent, ...claims })}` });
const asAgent = await bearer({});
const key = () => `${randomBytes(32).toString('base64')}\n`;

const bothIssuers = { anyOf: ['corp', 'partner'] };
const changesWith = (mcp: Configuration): Changes => ({
  server: { plaintext: true },
  authenticators: {
    corp: { audience: aud },
    partner: { type: 'jwt', issuer: partner.issuer, audience: aud },
  },
  routes: [
    {
      name: 'mcp',
      path: '/mcp',
      authenticate: bothIssuers,
      mcp: { ...mcp, rules: [{ allow: { tools: ['whoami'] } }] },
    },
    {
      name: 'other',
      path: '/other',
      upstream: 'twin',
      authenticate: bothIssuers,
      mcp: { ...mcp, rules: [{ allow: { tools: ['whoami'] } }] },
    },
  ],
});
/** The same server is there under two names. */
const startWith = <U extends { readonly url: string }>(t: Test, upstream: U, mcp: Configuration = {}, files = {}) =>
  startScenario(t, { ...changesWith(mcp), upstreams: { twin: { url: upstream.url } } }, { upstream, issuer, files });

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};
const sessionOf = (answer: ClientAnswer): string => String(answer.headers['mcp-session-id']);

/** A gateway before a real server, and a client that sends as it is told. */
async function start(t: Test, mcp: Configuration = {}, files: Readonly<Record<string, string>> = {}) {
  const server = await startSessionServer();
  t.teardown(server.close);
  const scenario = await startWith(t, server, mcp, files);
  const client = scenario.connect({ connections: 4 });
  const open = async (headers: Readonly<Record<string, string>> = asAgent) => {
    const answer = await client.post(initialize, { headers });
    t.equal(answer.status, 200, answer.text);
    return sessionOf(answer);
  };
  return { ...scenario, server, client, open, reloadWith: (more: Configuration) => scenario.reload(changesWith(more)) };
}

/** The stream is open until the client leaves, so only its head is waited for. */
async function openStream(t: Test, port: number, headers: Readonly<Record<string, string>>): Promise<Response> {
  const leave = new AbortController();
  t.teardown(() => leave.abort());
  return fetch(`http://127.0.0.1:${port}/mcp`, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: leave.signal,
  });
}

/** What has come of a stream once `text` is in it. */
async function readUntil({ body }: Response, text: string): Promise<string> {
  let read = '';
  for await (const chunk of body ?? []) {
    read += Buffer.from(chunk).toString();
    if (read.includes(text)) break;
  }
  return read;
}

async function streamsOpen({ metric }: Scenario<object & { url: string }>, count: number): Promise<void> {
  await until(async () => (await metric('portcullis_active_streams', { route: 'mcp' })) === count);
}

const withoutIds = (text: string) =>
  text.replace(/"id":(?:\d+|"[^"]*"|null)/, '"id":0').replace(/"requestId":"[^"]*"/, '');
const notFound = {
  problem: '{"type":"about:blank","title":"Not Found","status":404,"code":"session_not_found",',
  rpc: '"data":{"code":"session_not_found",',
};

t.test(
  'the official client opens a session, listens, calls, ends it, and learns by 404 that it has ended',
  async (t) => {
    const scenario = await start(t);
    const { server, port } = scenario;
    const connect = async () => {
      const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`), {
        requestInit: { headers: asAgent },
      });
      const client = new Client({ name: 'test', version: '1' });
      const errors: Error[] = [];
      client.onerror = (error) => void errors.push(error);
      t.teardown(() => client.close());
      await client.connect(transport as Transport);
      return { client, transport, errors };
    };
    const { client, transport, errors } = await connect();
    const sealed = transport.sessionId ?? '';
    const [upstreamId = ''] = server.sessions();
    t.match(sealed, /^[\w-]{64}\.[\x21-\x7e]+$/);
    t.equal(sealed.slice(65), upstreamId);

    const notified = new Promise<void>((resolve) => {
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => resolve());
    });
    await streamsOpen(scenario, 1);
    await server.notify();
    await notified;

    const called = (await client.callTool({ name: 'whoami', arguments: {} })) as CallToolResult;
    t.same(called.content, [{ type: 'text', text: upstreamId }]);
    t.equal(transport.sessionId, sealed, 'the server echoes its id on every answer; the client’s stays what it was');
    t.same(new Set(server.requests.slice(1).map(({ sessionId }) => sessionId)), new Set([upstreamId]));
    t.same(errors, []);

    await transport.terminateSession();
    t.same(server.sessions(), []);
    const ended = client.transport as StreamableHTTPClientTransport;
    Object.assign(ended, { _sessionId: sealed });
    await t.rejects(client.callTool({ name: 'whoami', arguments: {} }), { code: 404, message: /Session not found/ });
    const again = await connect();
    t.not(again.transport.sessionId, sealed, 'and a new session begins as the first');

    await scenario.reload({ routes: { '/mcp': { name: 'renamed' } } });
    const refused = again.client.callTool({ name: 'whoami', arguments: {} });
    await t.rejects(
      refused,
      { code: 404, message: /session_not_found/ },
      'one the gateway does not know is no other error',
    );
    await refused.catch((error: unknown) => t.ok(error instanceof StreamableHTTPError));
  },
);

t.test('whoever else has the id gets nowhere with it, whatever they try, and the record names both', async (t) => {
  const scenario = await start(t);
  const { client, open, server } = scenario;
  const sealed = await open();
  const opened = await scenario.record(({ mcp, stage }) => mcp?.method === 'initialize' && stage === 'completed');
  t.match(opened, { principal: { subject: 'anna' }, detail: { session: { id: sealed.slice(0, 16) } } });
  const before = server.requests.length;

  const attempts: readonly (readonly [string, unknown, ClientRequest])[] = [
    ['a call', toolCall('whoami'), {}],
    ['a denied call', toolCall('other'), {}],
    ['a notification', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }, {}],
    ['an answer to a server’s question', { jsonrpc: '2.0', id: 1, result: {} }, {}],
    ['initialize', initialize, {}],
    ['GET', undefined, { method: 'GET' }],
    ['GET with Last-Event-ID', undefined, { method: 'GET', headers: { 'last-event-id': 'event-1' } }],
    ['DELETE', undefined, { method: 'DELETE' }],
  ];
  const thieves = [
    ['another user of the same client', 'bert', await bearer({ sub: 'bert' })],
    ['a client by the name of the user', 'anna', await bearer({ client_id: 'anna' })],
    ['the client itself', 'ai_agent_prod', await bearer({ sub: 'ai_agent_prod' })],
    ['the same names by another issuer', 'anna', { authorization: `Bearer ${await partner.token(agent)}` }],
  ] as const;
  const send = (body: unknown, options: ClientRequest, headers: Readonly<Record<string, string>>) => {
    const request = { path: '/mcp', ...options, headers: { ...options.headers, ...headers } };
    return body === undefined ? client.send(request) : client.post(body, request);
  };
  for (const [who, subject, thief] of thieves) {
    for (const [what, body, options] of attempts) {
      const stolen = await send(body, options, { ...thief, 'mcp-session-id': sealed });
      const unknown = await send(body, options, { ...thief, 'mcp-session-id': 'never-given-out' });
      t.equal(stolen.status, 404, `${who}: ${what}`);
      t.match(stolen.text, body === undefined ? notFound.problem : notFound.rpc);
      t.equal(withoutIds(stolen.text), withoutIds(unknown.text), 'the very same as for an id that nobody has');
      t.same(Object.keys(stolen.headers), Object.keys(unknown.headers));
      t.match(await scenario.recordOf(stolen), {
        decision: 'deny',
        reason: 'session_not_found',
        status: 404,
        outcome: 'refused',
        principal: { subject },
        detail: { session: { id: sealed.slice(0, 16), problem: 'another_principal' } },
      });
      t.same((await scenario.recordOf(unknown)).detail, { session: { problem: 'not_sealed' } });
    }
  }
  t.equal(server.requests.length, before, 'the server saw nothing of it');

  const anonymous = await send(toolCall('whoami'), {}, { 'mcp-session-id': sealed });
  t.equal(anonymous.status, 401, 'a session id is no credential');
  const unreadable = await send('{', {}, { ...asAgent, 'mcp-session-id': 'forged' });
  t.equal(unreadable.status, 400);
  t.equal(server.requests.length, before);

  const own = await client.post(toolCall('whoami'), { headers: { ...asAgent, 'mcp-session-id': sealed } });
  t.match(own.text, server.sessions()[0], 'and the session goes on as if nothing had been');
  t.equal(sessionOf(own), sealed);
});

t.test(
  'the same person, registered anew as another client, goes on with the session, its streams and their replay',
  async (t) => {
    const scenario = await start(t);
    const { client, open, port, server } = scenario;
    const sealed = await open(asAgent);
    const [upstreamId = ''] = server.sessions();
    for (const [index, claims] of [{ client_id: 'registered-anew' }, { client_id: undefined, azp: 'x' }].entries()) {
      const anew = { ...(await bearer(claims)), 'mcp-session-id': sealed };
      const called = await client.post(toolCall('whoami'), { headers: anew });
      t.match(called, { status: 200, text: new RegExp(upstreamId), headers: { 'mcp-session-id': sealed } });
      const { principal } = await scenario.recordOf(called);
      t.match(principal, { subject: 'anna', clientId: index === 0 ? 'registered-anew' : 'x' }, 'who acts is recorded');
      const [, eventId = ''] = /^id: (.*)$/m.exec(called.text) ?? [];
      const replayed = await openStream(t, port, { ...anew, 'last-event-id': eventId });
      t.equal(replayed.status, 200);
      t.match(server.requests.at(-1), { method: 'GET', sessionId: upstreamId, lastEventId: eventId });
    }
    const ended = await client.send({
      method: 'DELETE',
      path: '/mcp',
      headers: { ...(await bearer({ client_id: 'registered-again' })), 'mcp-session-id': sealed },
    });
    t.equal(ended.status, 200);
    t.same(server.sessions(), []);
  },
);

t.test('a token that was refreshed goes on with the session, on every method', async (t) => {
  const { client, port, open, server } = await start(t);
  const sealed = await open(await bearer({ jti: 'first', scope: 'dashboards:read' }));
  const refreshed = { ...(await bearer({ jti: 'second', scope: '', exp: 4_000_000_000 })), 'mcp-session-id': sealed };
  const [upstreamId] = server.sessions();
  const called = await client.post(toolCall('whoami'), {
    headers: { ...refreshed, 'mcp-protocol-version': '2025-11-25' },
  });
  t.equal(called.status, 200);
  const stream = await openStream(t, port, refreshed);
  t.equal(stream.status, 200);
  t.equal(stream.headers.get('mcp-session-id'), sealed);
  t.same(server.requests.at(-1), { method: 'GET', sessionId: upstreamId, lastEventId: undefined });
  const [, eventId = ''] = /^id: (.*)$/m.exec(called.text) ?? [];
  t.ok(eventId, 'the answer to the call can be read again from its first event on');
  const replayed = await openStream(t, port, { ...refreshed, 'last-event-id': eventId });
  const result = called.text.split('\n').findLast((line) => line.startsWith('data: {')) ?? '';
  t.match(await readUntil(replayed, result), result);
  const stolen = { ...(await bearer({ sub: 'bert' })), 'mcp-session-id': sealed, 'last-event-id': eventId };
  t.equal((await openStream(t, port, stolen)).status, 404);
  t.same(server.requests.at(-1)?.lastEventId, eventId);
  const resumed = await client.send({ path: '/mcp', headers: { ...refreshed, 'last-event-id': 'none' } });
  t.same(server.requests.at(-1), { method: 'GET', sessionId: upstreamId, lastEventId: 'none' });
  t.equal(resumed.status, 406, 'the server’s own answer, since it was not asked for an event stream');
  t.equal((await client.send({ method: 'DELETE', path: '/mcp', headers: refreshed })).status, 200);
  t.same(server.sessions(), []);
  const after = await client.post(toolCall('whoami'), { headers: refreshed });
  t.same([after.status, JSON.parse(after.text).error.code], [404, -32001], 'the server’s own 404 passes unchanged');
});

t.test('no id that was altered, cut, made up or given elsewhere reaches the server (property)', async (t) => {
  const { client, open, server } = await start(t);
  const sealed = await open();
  const before = server.requests.length;
  const refused = async (path: string, name: string, value: string) => {
    const answer = await client.post(toolCall('whoami'), { path, headers: { ...asAgent, [name]: value } });
    return answer.status === 404 && withoutIds(answer.text) === withoutIds(expected.text);
  };
  const expected = await client.post(toolCall('whoami', {}, 'x'), { headers: { ...asAgent, 'mcp-session-id': '' } });
  t.match(expected.text, notFound.rpc);
  const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
  await fc.assert(
    fc.asyncProperty(fc.nat(sealed.length), fc.nat(4), fc.string({ unit: visible, maxLength: 4 }), (at, cut, text) => {
      const altered = sealed.slice(0, at) + text + sealed.slice(at + cut);
      return altered === sealed ? Promise.resolve(true) : refused('/mcp', 'mcp-session-id', altered);
    }),
    { numRuns: 150 },
  );
  const [upstreamId = ''] = server.sessions();
  t.ok(await refused('/mcp', 'Mcp-Session-Id', upstreamId), 'the server’s own id');
  t.ok(await refused('/mcp', 'MCP-SESSION-ID', sealed.toLowerCase()));
  t.ok(await refused('/mcp', 'mcp-session-id', `${sealed}, ${sealed}`));
  t.ok(await refused('/mcp', 'mcp-session-id', 'é\u00ff'));
  t.ok(await refused('/mcp', 'mcp-session-id', `${sealed}${'a'.repeat(8000)}`));
  t.ok(await refused('/other', 'mcp-session-id', sealed), 'of another route to the same server');
  const twice = await client.post(toolCall('whoami'), { headers: { ...asAgent, 'mcp-session-id': [sealed, sealed] } });
  t.equal(twice.status, 400);
  t.equal(server.requests.length, before);

  await client.post(toolCall('whoami'), { headers: { ...asAgent, mcp_session_id: upstreamId, 'mcp.session.id': 'x' } });
  t.same(server.requests.at(-1), { method: 'POST', sessionId: undefined, lastEventId: undefined }, 'other spellings');
});

t.test('messages of 2026-07-28 have no session, so an id beside them goes no further, anybody’s', async (t) => {
  const upstream = await startUpstream();
  t.teardown(upstream.close);
  const { anybody: client } = await startWith(t, upstream);
  const modern = {
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: {
      name: 'whoami',
      arguments: {},
      _meta: {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': {},
      },
    },
  };
  const mirrored = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'whoami' };
  const answer = await client.post(modern, {
    headers: { ...asAgent, ...mirrored, 'mcp-session-id': 'forged', 'last-event-id': '7' },
  });
  t.equal(answer.status, 200);
  const [seen] = upstream.requests;
  t.same([seen?.header('mcp-session-id'), seen?.header('last-event-id')], [[], []]);
  t.same(seen?.header('mcp-name'), ['whoami']);
});

t.test('a change of keys by reload: old ids go on as long as their key is named, and keep their text', async (t) => {
  const files = { 'old.key': key(), 'new.key': key() };
  const { client, metrics, open, reloadWith, write } = await start(t, { sessionKeyFiles: ['old.key'] }, files);
  const first = await open();
  const call = (sealed: string) =>
    client.post(toolCall('whoami'), { headers: { ...asAgent, 'mcp-session-id': sealed } });
  await reloadWith({ sessionKeyFiles: ['new.key', 'old.key'] });
  const kept = await call(first);
  t.same([kept.status, sessionOf(kept)], [200, first]);
  const second = await open();
  await reloadWith({ sessionKeyFiles: ['new.key'] });
  const gone = await call(first);
  t.same([gone.status, gone.text.includes(notFound.rpc)], [404, true]);
  t.equal((await call(second)).status, 200);
  await write('new.key', key());
  await reloadWith({ sessionKeyFiles: ['new.key'] });
  t.equal((await call(second)).status, 404, 'the file was read anew');
  await write('new.key', 'short');
  await reloadWith({ sessionKeyFiles: ['new.key'] });
  t.match(await metrics(), /portcullis_config_last_reload_success 0/);
  t.equal((await call(await open())).status, 200, 'a bad key leaves the old configuration in force');
});

t.test('without key files sessions outlive a reload, and with shared ones they go on at another replica', async (t) => {
  const alone = await start(t);
  const sealed = await alone.open();
  await alone.reloadWith({ denials: 'http' });
  const headers = { ...asAgent, 'mcp-session-id': sealed };
  t.equal((await alone.client.post(toolCall('whoami'), { headers })).status, 200);

  const files = { 'shared.key': key() };
  const shared = { sessionKeyFiles: ['shared.key'] };
  const one = await start(t, shared, files);
  const replicas = await Promise.all([shared, {}].map((mcp) => startWith(t, one.server, mcp, files)));
  const clients = replicas.map(({ anybody }) => anybody);
  const carried = { ...asAgent, 'mcp-session-id': await one.open() };
  const seen = one.server.requests.length;
  const [same, stranger] = await Promise.all(
    clients.map((client) => client.post(toolCall('whoami'), { headers: carried })),
  );
  t.same([same?.status, sessionOf(same!)], [200, carried['mcp-session-id']]);
  t.equal(stranger?.status, 404, 'with a key of its own it knows nothing of them');
  t.equal(one.server.requests.length, seen + 1);
  const stolen = await clients[0]!.post(toolCall('whoami'), {
    headers: { ...carried, ...(await bearer({ sub: 'b' })) },
  });
  t.equal(stolen.status, 404);
  t.equal(one.server.requests.length, seen + 1);
});

/** An upstream that looks at no session, and gives out the ids it is told to with every answer. */
async function startLax(t: Test) {
  const give = { ids: [] as readonly string[] };
  const upstream = await startUpstream({
    reply(request: RecordedRequest, response: ServerResponse) {
      if (request.method === 'GET') return void response.writeHead(405, { allow: 'POST' }).end();
      const headers = give.ids.flatMap((id) => ['mcp-session-id', id]);
      response.writeHead(200, ['content-type', 'application/json', ...headers]);
      response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  });
  t.teardown(upstream.close);
  return { ...(await startWith(t, upstream)), give };
}

t.test('an upstream without sessions works as it is; one that gives out ids is not asked without', async (t) => {
  const scenario = await startLax(t);
  const { anybody: client, give, upstream } = scenario;
  const sendAll = async (headers: Readonly<Record<string, string>>) => [
    await client.send({ path: '/mcp', headers }),
    await client.send({ method: 'DELETE', path: '/mcp', headers }),
    await client.post({ jsonrpc: '2.0', id: 1, result: {} }, { headers }),
    await client.post(toolCall('whoami'), { headers }),
  ];
  const statusesOf = (answers: readonly ClientAnswer[]) => answers.map(({ status }) => status);
  await client.post(initialize, { headers: asAgent });
  t.same(
    statusesOf(await sendAll(asAgent)),
    [405, 200, 403, 200],
    'an answer to nobody’s question is taken in a session only',
  );
  const count = upstream.requests.length;
  const resume = await client.send({ path: '/mcp', headers: { ...asAgent, 'last-event-id': '7' } });
  t.equal(resume.status, 400, 'a stream of whose session?');
  t.match(await scenario.recordOf(resume), {
    reason: 'bad_request',
    principal: { subject: 'anna' },
    detail: { session: { problem: 'not_named' } },
  });
  t.equal(upstream.requests.length, count);

  give.ids = ['guessable'];
  const sealed = sessionOf(await client.post(initialize, { headers: asAgent }));
  const withSession = { ...asAgent, 'mcp-session-id': sealed };
  const before = upstream.requests.length;
  const refused = await sendAll(asAgent);
  t.same(statusesOf(refused), [400, 400, 400, 200]);
  t.equal(upstream.requests.length, before + 1, 'but a call is the upstream’s to judge');
  for (const answer of refused.slice(0, 3)) t.match(answer.text, /bad_request/);
  t.same(statusesOf(await sendAll(withSession)), [405, 200, 200, 200]);
  t.same(
    upstream.requests.slice(-4).map((request) => request.header('mcp-session-id')),
    [['guessable'], ['guessable'], ['guessable'], ['guessable']],
  );
});

t.test('an upstream whose ids are none is a bad upstream; a new id is the caller’s own', async (t) => {
  const scenario = await startLax(t);
  const { anybody: client, give } = scenario;
  for (const ids of [['a b'], ['é'], ['a', 'a'], ['a', 'b'], [''], ['a'.repeat(2049)]]) {
    give.ids = ids;
    const answer = await client.post(initialize, { headers: asAgent });
    t.equal(answer.status, 502, JSON.stringify(ids).slice(0, 40));
    t.notOk('mcp-session-id' in answer.headers);
    t.match(await scenario.recordOf(answer), { reason: 'bad_upstream', outcome: 'failed' });
  }
  give.ids = ['one'];
  const first = sessionOf(await client.post(initialize, { headers: asAgent }));
  give.ids = ['two'];
  const second = await client.post(toolCall('whoami'), { headers: { ...asAgent, 'mcp-session-id': first } });
  t.match(sessionOf(second), /^[\w-]{64}\.two$/);
  t.same((await scenario.recordOf(second)).detail, { session: { id: sessionOf(second).slice(0, 16) } });
});
