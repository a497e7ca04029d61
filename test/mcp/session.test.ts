// Sealed session ids: principals, endpoints, forgeries and rotation of keys.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { subjectKey } from '../../src/authn/caller/principal.ts';
import { GatewayError } from '../../src/errors.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import {
  compileSessions,
  createSessionMemory,
  identifySession,
  type SessionRequest,
  sessionIdForClient,
} from '../../src/mcp/session.ts';
import { createSessionIds, markOf, type SessionPrincipal } from '../../src/mcp/session-id.ts';
import { parseSessionKey } from '../../src/mcp/session-key.ts';

const newKey = () => parseSessionKey(Buffer.from(randomBytes(32).toString('base64')));
const key = newKey();
const endpoint = { route: 'mcp', upstream: 'superset' };
const ids = createSessionIds([key], endpoint, subjectKey);
const agent: SessionPrincipal = {
  kind: 'oauth',
  issuer: 'https://idp.example/',
  clientId: 'ai_agent_prod',
  subject: 'agent',
};
const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)) });
const id = visible.filter((text) => text !== '');

t.test('what was sealed is opened by the same principal, visible ASCII only, and always the same text', (t) => {
  fc.assert(
    fc.property(id, fc.option(fc.string({ unit: 'binary' }), { nil: undefined }), (upstreamId, clientId) => {
      const sealed = ids.seal(upstreamId, { ...agent, clientId });
      t.match(sealed, /^[\w-]{64}\.[\x21-\x7e]+$/);
      t.same(ids.open(sealed, { ...agent, clientId }), { kind: 'opened', upstreamId });
      t.equal(ids.seal(upstreamId, { ...agent, clientId }), sealed);
    }),
    { numRuns: 50 },
  );
  t.same(ids.open(ids.seal('s', undefined), undefined), { kind: 'opened', upstreamId: 's' });
  t.end();
});

t.test('another principal is told from a forgery, however alike the two are', (t) => {
  const sealed = ids.seal('s', agent);
  const foreign = { kind: 'another_principal', mark: markOf(sealed) };
  t.same(ids.open(sealed, undefined), foreign, 'a caller without a name');
  for (const other of [
    { ...agent, issuer: 'https://idp.example' },
    { ...agent, subject: 'Agent' },
    { ...agent, subject: 'ai_agent_prod' },
    { ...agent, kind: 'api-key' },
    { ...agent, issuer: 'https://idp.example/a', subject: 'gent' },
  ] as const) {
    t.same(ids.open(sealed, other), foreign, JSON.stringify(other));
  }
  t.same(ids.open(ids.seal('s', { ...agent, subject: '\ud800' }), { ...agent, subject: '\ud801' }).kind, foreign.kind);
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
      const opened = ids.open(ids.seal('s', { ...agent, issuer: a, clientId: b, subject: c }), {
        ...agent,
        issuer: a,
        clientId: b,
        subject: d,
      });
      t.equal(opened.kind, c === d ? 'opened' : 'another_principal');
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('a person registered anew as another client keeps the session, a client is nobody but itself', (t) => {
  const sealed = ids.seal('s', agent);
  for (const clientId of ['registered-anew', undefined, '']) {
    t.same(ids.open(sealed, { ...agent, clientId }), { kind: 'opened', upstreamId: 's' }, String(clientId));
  }
  const service: SessionPrincipal = { ...agent, clientId: 'service', subject: 'service' };
  const key: SessionPrincipal = { kind: 'api-key', issuer: 'keys', clientId: 'reporting_tool', subject: 'k1' };
  for (const own of [service, key]) {
    for (const other of [
      { ...own, clientId: 'other' },
      { ...own, clientId: undefined },
      { ...own, issuer: 'other' },
    ]) {
      t.equal(ids.open(ids.seal('s', own), other).kind, 'another_principal', JSON.stringify(other));
    }
  }
  t.equal(ids.open(ids.seal('s', key), { ...key, subject: 'k2' }).kind, 'opened', 'with the next key of the client');
  t.end();
});

t.test('an id that was altered in any way opens nothing', (t) => {
  const sealed = ids.seal('0123456789abcdef', agent);
  t.equal(ids.open(sealed, agent).kind, 'opened');
  fc.assert(
    fc.property(fc.nat(sealed.length - 1), fc.nat(0xffff), (index, code) => {
      const altered = sealed.slice(0, index) + String.fromCharCode(code) + sealed.slice(index + 1);
      t.equal(ids.open(altered, agent).kind, altered === sealed ? 'opened' : 'not_sealed');
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.nat(sealed.length), fc.nat(sealed.length), visible, (from, to, inserted) => {
      const altered = sealed.slice(0, from) + inserted + sealed.slice(to);
      t.equal(ids.open(altered, agent).kind, altered === sealed ? 'opened' : 'not_sealed');
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => ids.open(text, agent).kind === 'not_sealed'),
  );
  t.end();
});

t.test('an id is valid at its own endpoint only, and no character moves between the fields', (t) => {
  const sealed = ids.seal('s', agent);
  for (const [route, upstream] of [
    ['other', 'superset'],
    ['mcp', 'other'],
    ['mcps', 'uperset'],
    ['mc', 'psuperset'],
    ['', 'mcpsuperset'],
  ] as const) {
    t.equal(createSessionIds([key], { route, upstream }, subjectKey).open(sealed, agent).kind, 'not_sealed');
  }
  t.end();
});

t.test('keys are rotated: the first seals, all open, and one that is gone opens nothing', (t) => {
  const next = newKey();
  const old = ids.seal('s', agent);
  const both = createSessionIds([next, key], endpoint, subjectKey);
  t.same(both.open(old, agent), { kind: 'opened', upstreamId: 's' });
  t.equal(both.open(old, { ...agent, subject: 'x' }).kind, 'another_principal');
  const fresh = both.seal('s', agent);
  t.not(fresh, old);
  t.equal(ids.open(fresh, agent).kind, 'not_sealed', 'a replica that does not have the new key yet');
  const after = createSessionIds([next], endpoint, subjectKey);
  t.equal(after.open(fresh, agent).kind, 'opened');
  t.equal(after.open(old, agent).kind, 'not_sealed');
  t.throws(() => createSessionIds([], endpoint, subjectKey), /needs a key/);
  t.end();
});

t.test('an upstream’s id is visible ASCII and bounded', (t) => {
  for (const bad of ['', 'a b', 'a\n', 'é', '\u{1f600}', 'a'.repeat(2049)]) t.throws(() => ids.seal(bad, agent));
  const longest = 'a'.repeat(2048);
  t.same(ids.open(ids.seal(longest, agent), agent), { kind: 'opened', upstreamId: longest });
  t.equal(ids.open(`${ids.seal(longest, agent)}a`, agent).kind, 'not_sealed');
  t.end();
});

t.test('a key file holds at least 32 random bytes in base64 or hexadecimal', (t) => {
  const bytes = randomBytes(32);
  const same = [
    bytes.toString('base64'),
    `${bytes.toString('base64')}\n`,
    ` ${bytes.toString('base64').replace(/.{10}/g, '$&\r\n')}`,
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ];
  for (const text of same) t.ok(parseSessionKey(Buffer.from(text)).equals(parseSessionKey(Buffer.from(same[0]!))));
  const bad: readonly (readonly [RegExp, string | Buffer])[] = [
    [/it is empty/, ''],
    [/it is empty/, '\n'],
    [/neither base64 nor hexadecimal/, bytes],
    [/neither base64 nor hexadecimal/, '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n'],
    [/neither base64 nor hexadecimal/, 'correct horse battery staple correct horse battery staple'],
    [/less than 32 bytes/, bytes.subarray(1).toString('hex')],
    [/less than 32 bytes/, bytes.subarray(1).toString('base64')],
    [/not random/, Buffer.alloc(32).toString('hex')],
    [/not random/, Buffer.from('secret'.repeat(20)).toString('base64')],
  ];
  for (const [message, content] of bad) {
    t.throws(() => parseSessionKey(Buffer.from(content)), { message });
    t.throws(() => parseSessionKey(Buffer.from(content)), /make one with `openssl rand -base64 32`/);
  }
  t.end();
});

const rpc = (message: object) => readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message })));
const call = rpc({ id: 1, method: 'tools/call', params: { name: 'a' } });
const response = rpc({ id: 1, result: {} });
const modern = rpc({
  id: 1,
  method: 'tools/call',
  params: { name: 'a', _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } },
});
const request = (headers: SessionRequest['headers'], message?: SessionRequest['message']): SessionRequest => ({
  headers,
  message,
  principal: agent,
});
const sessionsOf = (memory = createSessionMemory(), address = 'http://127.0.0.1:1') =>
  compileSessions([], { ...endpoint, address }, memory, subjectKey);

function refusal(of: () => unknown): object {
  try {
    of();
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, reason: error.reason, detail: error.detail };
  }
  return {};
}

t.test(
  'what needs a session is refused without one once the upstream gives out ids, and before that is its own affair',
  (t) => {
    const sessions = sessionsOf();
    const refused = { code: 'bad_request', reason: 'not_named', detail: { session: { problem: 'not_named' } } };
    for (const message of [undefined, response, call])
      t.equal(identifySession(sessions, request({}, message)), undefined);
    t.same(
      refusal(() => identifySession(sessions, request({ 'last-event-id': '7' }))),
      refused,
      'resuming always does',
    );
    const { sealed, isNew } = sessionIdForClient(sessions, 's', undefined, agent);
    t.ok(isNew);
    for (const message of [undefined, response]) {
      t.same(
        refusal(() => identifySession(sessions, request({}, message))),
        refused,
      );
      t.same(identifySession(sessions, request({ 'mcp-session-id': sealed }, message)), {
        sealed,
        upstreamId: 's',
        lastEventId: undefined,
      });
    }
    t.equal(
      identifySession(sessions, request({}, call)),
      undefined,
      'calls without a session are the upstream’s to judge',
    );
    t.match(identifySession(sessions, request({ 'mcp-session-id': sealed, 'last-event-id': '7' })), {
      lastEventId: '7',
    });
    t.end();
  },
);

t.test('that an upstream gives out ids is remembered over reloads, and learnt from an id that proves it', (t) => {
  const memory = createSessionMemory();
  const { sealed } = sessionIdForClient(sessionsOf(memory), 's', undefined, agent);
  const reloaded = sessionsOf(memory);
  t.match(
    refusal(() => identifySession(reloaded, request({}))),
    { code: 'bad_request' },
  );
  t.match(identifySession(reloaded, request({ 'mcp-session-id': sealed })), { upstreamId: 's' }, 'by the same key');
  t.equal(identifySession(sessionsOf(memory, 'http://127.0.0.1:2'), request({})), undefined, 'another server may not');
  const restarted = sessionsOf({ ...memory, upstreams: new Map() });
  t.equal(identifySession(restarted, request({})), undefined);
  t.ok(identifySession(restarted, request({ 'mcp-session-id': sealed })));
  t.match(
    refusal(() => identifySession(restarted, request({}))),
    { code: 'bad_request' },
  );
  t.match(
    refusal(() => identifySession(sessionsOf(), request({ 'mcp-session-id': sealed }))),
    {
      code: 'session_not_found',
      reason: 'not_sealed',
    },
  );
  t.end();
});

t.test('one text for every id that is not the caller’s; the record alone tells them apart', (t) => {
  const sessions = sessionsOf();
  const { sealed, mark } = sessionIdForClient(sessions, 's', undefined, { ...agent, subject: 'somebody else' });
  t.same(
    refusal(() => identifySession(sessions, request({ 'mcp-session-id': sealed }, call))),
    {
      code: 'session_not_found',
      reason: 'another_principal',
      detail: { session: { id: mark, problem: 'another_principal' } },
    },
  );
  for (const forged of ['', 's', `${sealed}x`, sealed.slice(0, -1)]) {
    t.match(
      refusal(() => identifySession(sessions, request({ 'mcp-session-id': forged }, call))),
      {
        code: 'session_not_found',
        reason: 'not_sealed',
        detail: { session: { id: undefined, problem: 'not_sealed' } },
      },
    );
  }
  t.end();
});

t.test('messages of revisions without sessions have none, whatever their headers say', (t) => {
  const sessions = sessionsOf();
  const { sealed } = sessionIdForClient(sessions, 's', undefined, agent);
  for (const headers of [{ 'mcp-session-id': sealed }, { 'mcp-session-id': 'forged' }, { 'last-event-id': '7' }]) {
    t.equal(identifySession(sessions, request(headers, modern)), undefined);
  }
  t.end();
});

t.test('a client is told of its session in the text it has, also after a change of keys', (t) => {
  const memory = createSessionMemory();
  const place = { ...endpoint, address: 'x' };
  const before = compileSessions([key], place, memory, subjectKey);
  const { sealed } = sessionIdForClient(before, 's', undefined, agent);
  const after = compileSessions([newKey(), key], place, memory, subjectKey);
  const session = identifySession(after, request({ 'mcp-session-id': sealed }));
  t.same(sessionIdForClient(after, 's', session, agent), { sealed, isNew: false, mark: markOf(sealed) });
  t.match(sessionIdForClient(after, 'another', session, agent), { isNew: true });
  t.not(sessionIdForClient(after, 's', undefined, agent).sealed, sealed);
  t.throws(() => sessionIdForClient(after, 'a b', session, agent));
  t.end();
});
