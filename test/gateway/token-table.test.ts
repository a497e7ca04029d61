// Table of bad tokens, rule by rule: rows T1 to T3 of the threat table and what the RFCs ask of a resource server.
// Each row says what the answer, its challenge, its record and the metric must be; nothing of any row reaches the upstream.
import { createHmac, createPublicKey } from 'node:crypto';
import t, { type Test } from 'tap';
import {
  type Attack,
  assertForwarded,
  assertRefused,
  attack,
  host,
  post,
  request,
  withKey,
} from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, listDashboards } from '../support/configuration.ts';
import { createDpopKey, dpopChallenge } from '../support/dpop.ts';
import { createFakeIssuer, createSigningKey, signToken } from '../support/issuer.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const clock = { now: Date.now() };
const resource = 'https://mcp.example.com/mcp';
const metadata = 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"';
const issuer = await createFakeIssuer();
const rsa = createSigningKey('RS256');
issuer.publish([issuer.key.jwk, rsa.jwk]);
const partner = await startIntrospection();
/** What a token would like the gateway to fetch keys from. */
const trap = await startUpstream();
t.teardown(() => Promise.all([issuer.close(), partner.close(), trap.close()]));
const scenario = await startScenario(
  t,
  {
    authenticators: { partner: partner.authenticator },
    routes: [
      {
        path: '/mcp',
        authenticate: { anyOf: ['corp', 'keys'] },
        mcp: {
          denials: 'http',
          rules: [
            listDashboards,
            { allow: { tools: ['execute_sql'] }, require: { scopes: ['dashboards:read', 'queries:execute'] } },
          ],
        },
      },
      { path: '/opaque', resource, authenticate: { anyOf: ['corp', 'partner'] }, mcp: { rules: [listDashboards] } },
      { path: '/bound', resource, senderConstraint: 'required', mcp: { rules: [listDashboards] } },
    ],
  },
  { issuer, now: () => clock.now },
);

type Members = Record<string, unknown>;
const seconds = Math.floor(clock.now / 1000);
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const claims = (more: Members = {}): Members => ({
  iss: issuer.issuer,
  aud: resource,
  sub: 'agent@clients',
  client_id: 'ai_agent_prod',
  scope: 'dashboards:read',
  jti: 'jti-1',
  iat: seconds,
  exp: seconds + 300,
  ...more,
});
/** A token of the issuer with these members changed; undefined takes one out. */
const token = (more: Members = {}, header: Members = {}) =>
  signToken(issuer.issuer, claims(more), { key: issuer.key, header, now: clock.now });
/** Anything in the place of a signature. */
const unsigned = (header: Members, signature = '') =>
  `${encode({ typ: 'at+jwt', kid: issuer.key.kid, ...header })}.${encode(claims())}.${signature}`;
const call = (headers: readonly string[], path = '/mcp', tool = 'list_dashboards') =>
  post(toolCall(tool), [host, ...headers], path);
const authorization = (value: string, path?: string, tool?: string) => call([`Authorization: ${value}`], path, tool);

const good = await token();
const [header, payload, signature] = good.split('.');

/** The challenges that there are, whole. */
const challenges = {
  presented: `Bearer error="invalid_token", scope="dashboards:read queries:execute", ${metadata}, ${dpopChallenge}`,
  'presented elsewhere': `Bearer error="invalid_token", scope="dashboards:read", ${metadata}, ${dpopChallenge}`,
  'nothing presented': `Bearer scope="dashboards:read queries:execute", ${metadata}, ${dpopChallenge}`,
  'presented with DPoP': `Bearer error="invalid_token", scope="dashboards:read queries:execute", ${metadata}, ${dpopChallenge}, error="invalid_token"`,
  proof: `Bearer error="invalid_token", scope="dashboards:read queries:execute", ${metadata}, ${dpopChallenge}, error="invalid_dpop_proof"`,
  'more scope': `Bearer error="insufficient_scope", scope="dashboards:read queries:execute", ${metadata}`,
  none: undefined,
} as const;

interface Expected {
  readonly status: number;
  readonly code: string;
  readonly challenge: keyof typeof challenges;
  /** In the record and the metric; undefined where no credential was judged. */
  readonly problem?: string;
  /** Whose metric; `none` where nobody owns it. */
  readonly owner?: string;
  /** The credential itself was good. */
  readonly verified?: true;
}

interface Row {
  readonly name: string;
  readonly bytes: string;
  readonly expected: Expected;
}

const refused = (problem: string, owner = 'corp'): Expected => ({
  status: 401,
  code: 'invalid_token',
  challenge: 'presented',
  problem,
  owner,
});
const malformed = (code = 'bad_request'): Expected => ({ status: 400, code, challenge: 'none' });
const bearer = (name: string, text: string, problem: string, owner?: string): Row => ({
  name,
  bytes: authorization(`Bearer ${text}`),
  expected: refused(problem, owner),
});

/** Refusals of a token whose signature may have held: `refused-principal.test.ts` says whom their records name. */
const isJudgedByClaims = (problem: string | undefined) =>
  ['audience', 'claims', 'expired', 'not_yet_valid', 'sender_constraint', 'token_type'].includes(problem ?? '') ||
  problem?.startsWith('proof_') === true;

const counted = (authenticator: string, result: string, reason: string) =>
  scenario.metric('portcullis_authentications_total', { authenticator, result, reason });

async function hold(t: Test, rows: readonly Row[]): Promise<void> {
  for (const { name, bytes, expected } of rows) {
    const { status, code, challenge, problem, owner = 'none', verified } = expected;
    const result = status === 503 ? 'unavailable' : 'refused';
    const before = problem === undefined ? 0 : await counted(owner, result, problem);
    const outcome = await attack(scenario, bytes);
    const [, method = '', target = ''] = /^(\S+) (\S+)/.exec(bytes) ?? [];
    const http = { method, path: target.split('?')[0]! };
    assertRefused(t, name, outcome, { status, code, closes: status === 400 && code !== 'ambiguous_credentials', http });
    t.equal(outcome.answer.headers['www-authenticate'], challenges[challenge], `${name}: challenge`);
    const { record } = outcome;
    if (status !== 403 && !isJudgedByClaims(problem)) t.notOk('principal' in record, `${name}: nobody was recognised`);
    const detail = record.detail as { credential?: { problem?: string } } | undefined;
    t.equal(detail?.credential?.problem, problem, `${name}: record`);
    if (problem === undefined) continue;
    t.equal(await counted(owner, result, problem), verified ? before : before + 1, `${name}: ${owner} ${problem}`);
  }
  t.equal(trap.connections(), 0, 'no address in a token was ever visited');
}

async function accepts(t: Test, name: string, bytes: string): Promise<Attack> {
  const result = await attack(scenario, bytes);
  assertForwarded(t, name, result);
  return result;
}

t.test('what must be let in is, or the rest shows nothing', async (t) => {
  const { record } = await accepts(t, 'good', authorization(`Bearer ${good}`));
  t.match(record, { principal: { kind: 'oauth', subject: 'agent@clients', credentialId: 'jti-1' } });
  const variants: Record<string, string> = {
    'RFC 6750 §2.1: the scheme in small letters': `bearer ${good}`,
    'RFC 9110 §11.1: or in capitals': `BEARER ${good}`,
    'RFC 9068 §4: application/ may be left out, or not': `Bearer ${await token({}, { typ: 'application/at+jwt' })}`,
    'RFC 7519 §4.1.3: one audience of several': `Bearer ${await token({ aud: ['https://other.example', resource] })}`,
    'RFC 9068 §2.1: RS256': `Bearer ${await signToken(issuer.issuer, claims(), { key: rsa })}`,
    'RFC 7519 §4.1.4: some leeway at the end': `Bearer ${await token({ exp: seconds - 4 })}`,
    'some leeway at the start': `Bearer ${await token({ nbf: seconds + 4, iat: seconds + 4 })}`,
    'no subject but a client': `Bearer ${await token({ sub: undefined })}`,
    'scopes as a list': `Bearer ${await token({ scope: undefined, scp: ['dashboards:read'] })}`,
  };
  for (const [name, value] of Object.entries(variants)) await accepts(t, name, authorization(value));
  partner.answers.set('opaque', { active: true, aud: resource, scope: 'dashboards:read', client_id: 'c' });
  await accepts(t, 'RFC 7662', authorization('Bearer opaque', '/opaque'));
});

t.test('forged signatures and headers that would choose the key (T1; RFC 8725 §3.1 to §3.5, §3.10)', async (t) => {
  const publicKey = createPublicKey(issuer.key.publicKey.export({ type: 'spki', format: 'pem' }));
  const secrets = {
    PEM: publicKey.export({ type: 'spki', format: 'pem' }),
    'PEM behind a space': ` ${publicKey.export({ type: 'spki', format: 'pem' })}`,
    DER: publicKey.export({ type: 'spki', format: 'der' }),
    JWK: JSON.stringify(issuer.key.jwk),
    nothing: '',
  };
  const mine = createSigningKey('ES256', issuer.key.kid);
  const forged = (more: Members) => signToken(issuer.issuer, claims(), { key: mine, header: more });
  const certificate = issuer.key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const rows: Row[] = [];
  for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
    rows.push(bearer(`${alg}, unsigned`, unsigned({ alg }), 'format', 'none'));
    rows.push(bearer(`${alg}, signed with something`, unsigned({ alg }, 'AAAA'), 'algorithm'));
  }
  for (const [name, secret] of Object.entries(secrets)) {
    const body = unsigned({ alg: 'HS256' }).slice(0, -1);
    const mac = createHmac('sha256', secret).update(body).digest('base64url');
    rows.push(bearer(`HS256 with ${name}`, `${body}.${mac}`, 'algorithm'));
  }
  rows.push(
    bearer('another key under the same kid', await forged({}), 'signature'),
    bearer('an embedded key', await forged({ jwk: mine.jwk }), 'signature'),
    bearer('an embedded certificate', await forged({ x5c: [certificate] }), 'signature'),
    bearer('r = s = 0', unsigned({ alg: 'ES256' }, encode(Buffer.alloc(64).toString('latin1'))), 'signature'),
    bearer('no signature', unsigned({ alg: 'ES256' }), 'format', 'none'),
    bearer('RS256 over an EC key', unsigned({ alg: 'RS256' }, 'AAAA'), 'unknown_key'),
    bearer('ES256 over an RSA key', unsigned({ alg: 'ES256', kid: rsa.kid }, 'AAAA'), 'unknown_key'),
    bearer('PS256 instead of RS256', unsigned({ alg: 'PS256', kid: rsa.kid }, 'AAAA'), 'unknown_key'),
    bearer('no algorithm', unsigned({ alg: undefined }, 'AAAA'), 'algorithm'),
    bearer('several algorithms', unsigned({ alg: ['ES256'] }, 'AAAA'), 'algorithm'),
    bearer('a critical header (RFC 7515 §4.1.11)', unsigned({ alg: 'ES256', crit: ['exp'] }, 'AAAA'), 'format'),
    bearer('a JWE', 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA', 'format', 'none'),
    bearer(
      'RS256 with the key of the client',
      await signToken(issuer.issuer, claims(), { key: createSigningKey('RS256', rsa.kid) }),
      'signature',
    ),
  );
  for (const name of ['jku', 'x5u']) {
    rows.push(bearer(name, await forged({ [name]: `${trap.url}/keys` }), 'signature'));
    rows.push(bearer(`${name} and kid`, await forged({ [name]: `${trap.url}/keys`, kid: 'mine' }), 'unknown_key'));
  }
  for (const kid of ['../../etc/passwd', "' OR 1=1 --", '__proto__', '', `${trap.url}/key`]) {
    rows.push(bearer(`kid ${kid}`, await forged({ kid }), 'unknown_key'));
  }
  for (const kid of [['a'], { a: 1 }, 1, null, 'k'.repeat(300)]) {
    rows.push(bearer(`kid ${typeof kid}`, await token({}, { kid }), 'format'));
  }
  for (const more of [{ b64: false }, { zip: 'DEF' }, { cty: 'JWT' }, { enc: 'A256GCM' }]) {
    rows.push(bearer(JSON.stringify(more), await token({}, more), 'format'));
  }
  await hold(t, rows);
});

t.test('a token has one spelling (T2; RFC 8725bis §3.14) and one place (RFC 6750 §2, RFC 9700 §4.3.2)', async (t) => {
  const spellings = {
    padding: `${good}=`,
    'a fourth segment': `${good}.`,
    'two segments': `${header}.${payload}`,
    'one segment': header!,
    'one segment beyond 8 KB': 'a'.repeat(8200),
    'plus and slash': `${header}.${payload}.${signature!.slice(0, -2)}+/`,
  };
  const lines = {
    'two spaces': `Bearer  ${good}`,
    'a tab': `Bearer\t${good}`,
    'a space inside': `Bearer ${header} .${payload}.${signature}`,
    'two in one': `Bearer ${good}, Bearer ${good}`,
    'a comma': `Bearer ${good},`,
    'no token': 'Bearer',
    nothing: '',
    'JSON serialisation': `Bearer {"payload":"${payload}"}`,
    'beyond ASCII': `Bearer ${good}\xe9`,
  };
  const queries = {
    'a token in the query': `access_token=${good}`,
    'spelt otherwise': `a=1&access%5Ftoken=${good}`,
    'behind a semicolon': `a=1;access_token=${good}`,
    'a key in the query': `x-api-key=${apiKey}`,
    'a key in capitals': `X-Api-Key=${apiKey}`,
  };
  await hold(t, [
    ...Object.entries(spellings).map(([name, text]) => bearer(name, text, 'format', 'none')),
    bearer('one more byte', `${good}A`, 'signature'),
    ...Object.entries(lines).map(([name, value]) => ({ name, bytes: authorization(value), expected: malformed() })),
    ...Object.entries(queries).map(([name, query]) => ({
      name,
      bytes: request(`GET /mcp?${query}`, [host, `Authorization: Bearer ${good}`]),
      expected: malformed(),
    })),
    {
      name: 'two Authorization headers',
      bytes: call([`Authorization: Bearer ${good}`, `Authorization: Bearer ${good}`]),
      expected: malformed('duplicate_header'),
    },
    {
      name: 'a token and a key: one method a request (RFC 6750 §2)',
      bytes: call([`Authorization: Bearer ${good}`, `X-Api-Key: ${apiKey}`]),
      expected: malformed('ambiguous_credentials'),
    },
    ...['Basic eDp5', 'Negotiate abc', good].map((value) => ({
      name: `a scheme that nobody reads: ${value.slice(0, 9)}`,
      bytes: authorization(value),
      expected: refused('scheme', 'none'),
    })),
    {
      name: 'in a cookie and in the body: nothing was presented (RFC 6750 §3.1)',
      bytes: post({ access_token: good }, [host, `Cookie: access_token=${good}; Authorization=Bearer`]),
      expected: { status: 401, code: 'credentials_required', challenge: 'nothing presented' },
    },
  ]);
  for (const value of ['Basic eDp5', 'Negotiate abc', good]) {
    const { answer } = await attack(scenario, authorization(value));
    t.match(
      answer.body.toString(),
      /scheme of the Authorization header is not known here.*Bearer and DPoP/,
      value.slice(0, 9),
    );
    t.notMatch(answer.body.toString(), /Obtain a new one/);
  }
  const records = JSON.stringify(await scenario.records());
  for (const secret of [signature!, apiKey]) t.notMatch(records, secret, 'redacted');
});

t.test(
  'good signatures on tokens that are not for here, not for now or no access tokens (T3; RFC 9068 §4)',
  async (t) => {
    const cases: readonly (readonly [rule: string, more: Members, problem: string, header?: Members])[] = [
      ['RFC 9068 §4: typ JWT', {}, 'token_type', { typ: 'JWT' }],
      ['RFC 9068 §4: no typ', {}, 'token_type', { typ: undefined }],
      ['RFC 9449 §4.2: a proof is no token', {}, 'token_type', { typ: 'dpop+jwt' }],
      ['RFC 8417: nor is a security event', {}, 'token_type', { typ: 'secevent+jwt' }],
      ['a typ that is no string', {}, 'token_type', { typ: ['at+jwt'] }],
      ['an ID token', { at_hash: 'x' }, 'token_type'],
      ['RFC 8707 §2: another resource', { aud: 'https://mcp.example.com/mcpx' }, 'audience'],
      ['the origin instead of the resource', { aud: 'https://mcp.example.com' }, 'audience'],
      ['the resource with a slash', { aud: `${resource}/` }, 'audience'],
      ['the resource in capitals', { aud: resource.toUpperCase() }, 'audience'],
      ['the client as audience', { aud: 'ai_agent_prod' }, 'audience'],
      ['RFC 9700 §2.3: no audience', { aud: undefined }, 'audience'],
      ['an empty list', { aud: [] }, 'audience'],
      ['an audience that holds more than strings', { aud: [resource, 1] }, 'audience'],
      ['RFC 9068 §2.2: no end', { exp: undefined }, 'claims'],
      ['an end in words', { exp: String(seconds + 300) }, 'claims'],
      ['an end beyond time', { exp: 1e20 }, 'claims'],
      ['an end before time', { exp: -1 }, 'claims'],
      ['expired', { exp: seconds - 6 }, 'expired'],
      ['not yet valid', { nbf: seconds + 60 }, 'not_yet_valid'],
      ['issued in the future', { iat: seconds + 60 }, 'not_yet_valid'],
      ['a line break in the subject', { sub: 'agent\nadmin' }, 'claims'],
      ['an empty subject', { sub: '' }, 'claims'],
      ['nobody', { sub: undefined, client_id: undefined }, 'claims'],
      ['a client that is a list', { client_id: ['ai_agent_prod'] }, 'claims'],
      ['RFC 6749 §3.3: a tab between scopes', { scope: 'dashboards:read\tqueries:execute' }, 'claims'],
      ['a quote in a scope', { scope: 'dashboards:"read' }, 'claims'],
      ['a scope that is a number', { scope: 7 }, 'claims'],
      ['RFC 7800 §3.1: bound to nothing', { cnf: null }, 'sender_constraint'],
      ['bound in a way that nobody knows', { cnf: { kid: 'x' } }, 'sender_constraint'],
      [
        'RFC 8705 §3: bound to a certificate that is not here',
        { cnf: { 'x5t#S256': 'A'.repeat(43) } },
        'sender_constraint',
      ],
      ['RFC 9449 §7.2: bound to a key, and sent as Bearer', { cnf: { jkt: 'A'.repeat(43) } }, 'sender_constraint'],
      ['bound to both', { cnf: { jkt: 'A'.repeat(43), 'x5t#S256': 'A'.repeat(43) } }, 'sender_constraint'],
    ];
    const rows: Row[] = [];
    for (const [rule, more, problem, head] of cases) rows.push(bearer(rule, await token(more, head), problem));
    const issuers = [
      `${issuer.issuer}/`,
      issuer.issuer.toUpperCase(),
      'https://evil.example',
      undefined,
      [issuer.issuer],
    ];
    for (const iss of issuers) rows.push(bearer(`issuer ${String(iss)}`, await token({ iss }), 'issuer', 'none'));
    rows.push({
      name: 'bound to nobody where the route wants it bound',
      bytes: authorization(`Bearer ${good}`, '/bound'),
      expected: { ...refused('sender_constraint'), challenge: 'presented elsewhere', verified: true },
    });
    await hold(t, rows);

    const replayed = await token({ exp: seconds + 60 });
    await accepts(t, 'before its end', authorization(`Bearer ${replayed}`));
    clock.now += 66_000;
    await hold(t, [bearer('the same after its end, though it is in the cache', replayed, 'expired')]);
    clock.now -= 66_000;
  },
);

t.test('tokens that are bound to a key, and their proofs (RFC 9449 §4.3, §7)', async (t) => {
  const [key, other] = await Promise.all([createDpopKey(), createDpopKey()]);
  const bound = await token({ ...key.binding, jti: 'bound' });
  const prove = (more: Partial<Parameters<typeof key.proof>[0]> = {}, by = key) =>
    by.proof({ token: bound, method: 'POST', url: resource, now: clock.now, ...more });
  const dpop = (text: string, ...proofs: string[]) =>
    call([`Authorization: DPoP ${text}`, ...proofs.map((proof) => `DPoP: ${proof}`)]);
  const row = (name: string, bytes: string, problem: string): Row => ({
    name,
    bytes,
    expected: { ...refused(problem), challenge: 'proof' },
  });
  const used = await prove();
  await accepts(t, 'good', dpop(bound, used));
  const other300 = { now: clock.now - 600_000 };
  await hold(t, [
    row('no proof', dpop(bound), 'proof_missing'),
    row('the same proof again (§11.1)', dpop(bound, used), 'proof_replayed'),
    row('no JWT', dpop(bound, 'abc'), 'proof_format'),
    row('a token as proof', dpop(bound, good), 'proof_format'),
    row('of another key', dpop(bound, await prove({}, other)), 'proof_key'),
    row('with the private key in it', dpop(bound, await prove({ header: { jwk: key.privateJwk } })), 'proof_key'),
    row('signed by another key', dpop(bound, await prove({ signer: other.privateKey })), 'proof_signature'),
    row('for another method', dpop(bound, await prove({ method: 'GET' })), 'proof_request'),
    row('for another URL', dpop(bound, await prove({ url: 'https://mcp.example.com/mcpx' })), 'proof_request'),
    row('for another token', dpop(bound, await prove({ token: good })), 'proof_token'),
    row('too old', dpop(bound, await prove(other300)), 'proof_time'),
    {
      name: 'two proofs',
      bytes: dpop(bound, await prove(), await prove()),
      expected: malformed('duplicate_header'),
    },
    {
      name: '§7.2: as Bearer, though with its proof',
      bytes: call([`Authorization: Bearer ${bound}`, `DPoP: ${await prove()}`]),
      expected: refused('sender_constraint'),
    },
    {
      name: 'a token of any bearer with the scheme DPoP',
      bytes: dpop(good, await prove({ token: good })),
      expected: { ...refused('sender_constraint'), challenge: 'presented with DPoP' },
    },
    {
      name: 'nobody’s token',
      bytes: dpop('nobody-knows', await prove()),
      expected: { ...refused('format', 'none'), challenge: 'presented with DPoP' },
    },
  ]);

  const answer = { active: true, aud: resource, scope: 'dashboards:read', client_id: 'c', token_type: 'DPoP' };
  partner.answers.set('opaque-bound', { ...answer, ...key.binding });
  const at = { token: 'opaque-bound', url: 'https://mcp.example.com/opaque' };
  const send = async (proof: string) => call(['Authorization: DPoP opaque-bound', `DPoP: ${proof}`], '/opaque');
  const { record } = await accepts(t, 'an opaque one', await send(await prove(at)));
  t.match(record.credentials, [{ kind: 'dpop-token', authenticator: 'partner' }]);
  await accepts(t, 'and again, out of the cache', await send(await prove(at)));
  const { answer: refusal, forwarded } = await attack(scenario, await send(await prove(at, other)));
  t.match({ status: refusal.status, forwarded }, { status: 401, forwarded: [] }, 'not with another key');
});

t.test('challenges say what is missing, and the same for the same (RFC 6750 §3, RFC 9728 §5.1)', async (t) => {
  const nothing: Expected = { status: 401, code: 'credentials_required', challenge: 'nothing presented' };
  const weak = await token({ scope: 'dashboards:read' });
  await hold(t, [
    { name: 'no error where nothing was presented (§3.1)', bytes: call([]), expected: nothing },
    { name: 'twice the same bytes', bytes: call([]), expected: nothing },
    {
      name: 'GET as well (every request has its token)',
      bytes: request('GET /mcp', [host, 'Accept: text/event-stream']),
      expected: nothing,
    },
    {
      name: 'DELETE as well',
      bytes: request('DELETE /mcp', [host, 'Mcp-Session-Id: abc']),
      expected: nothing,
    },
    {
      name: 'all scopes that the operation takes (RFC 6750 §3.1)',
      bytes: authorization(`Bearer ${weak}`, '/mcp', 'execute_sql'),
      expected: { status: 403, code: 'insufficient_scope', challenge: 'more scope' },
    },
    {
      name: 'a denial that no scope would change has no challenge',
      bytes: authorization(`Bearer ${weak}`, '/mcp', 'delete_everything'),
      expected: { status: 403, code: 'denied', challenge: 'none' },
    },
    {
      name: 'nor has one of a key',
      bytes: call([withKey], '/mcp', 'delete_everything'),
      expected: { status: 403, code: 'denied', challenge: 'none' },
    },
  ]);
});

t.test('opaque tokens (RFC 7662 §2.2, §4): what their server says is all there is', async (t) => {
  const said = (name: string, answer: Members): string => {
    partner.answers.set(name, { active: true, aud: resource, client_id: 'c', scope: 'dashboards:read', ...answer });
    return authorization(`Bearer ${name}`, '/opaque');
  };
  const of = (problem: string, owner = 'partner'): Expected => ({
    ...refused(problem, owner),
    challenge: 'presented elsewhere',
  });
  const down: Expected = {
    status: 503,
    code: 'idp_unavailable',
    challenge: 'none',
    problem: 'introspection',
    owner: 'partner',
  };
  await hold(t, [
    {
      name: 'inactive is no error of the server',
      bytes: authorization('Bearer unknown', '/opaque'),
      expected: of('inactive'),
    },
    { name: 'an audience elsewhere', bytes: said('t1', { aud: 'https://other.example' }), expected: of('audience') },
    { name: 'no audience', bytes: said('t2', { aud: undefined }), expected: of('audience') },
    { name: 'another issuer', bytes: said('t3', { iss: 'https://other.example' }), expected: of('issuer') },
    { name: 'over', bytes: said('t4', { exp: seconds - 6 }), expected: of('expired') },
    { name: 'a refresh token', bytes: said('t5', { token_use: 'refresh_token' }), expected: of('token_type') },
    {
      name: 'bound (RFC 8705 §3.2)',
      bytes: said('t6', { cnf: { 'x5t#S256': 'A'.repeat(43) } }),
      expected: of('sender_constraint'),
    },
    { name: 'no route that asks', bytes: authorization('Bearer opaque'), expected: refused('format', 'none') },
  ]);
  partner.fault = 'error';
  await hold(t, [{ name: 'down is 503 and not 401', bytes: said('t7', {}), expected: down }]);
  partner.fault = undefined;
});
