// DPoP-bound access tokens (RFC 9449) through the running gateway: only who holds the key can use the token, once for each proof.
import { createHash } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import t, { type Test } from 'tap';
import { toolCall } from '../support/client.ts';
import { type Changes, type Configuration, listDashboards } from '../support/configuration.ts';
import { createDpopKey, dpopChallenge, type ProofOptions } from '../support/dpop.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream({
  reply(request, response) {
    const stream = request.url === '/api/stream';
    response.writeHead(200, { 'content-type': stream ? 'text/event-stream' : 'text/plain' });
    if (stream) response.flushHeaders();
    else response.end('ok');
  },
});
const issuer = await createFakeIssuer();
const introspection = await startIntrospection();
t.teardown(() => Promise.all([upstream.close(), issuer.close(), introspection.close()]));
const [key, otherKey] = await Promise.all([createDpopKey(), createDpopKey()]);
const resource = 'https://mcp.example.com/mcp';
const url = 'https://mcp.example.com/api/x';
const token = await issuer.token({ aud: resource, ...key.binding, jti: 'bound' });

interface Variation {
  /** Laid over the authenticator. */
  readonly corp?: Configuration;
  /** Laid over the routes that take tokens. */
  readonly route?: Configuration;
}

const changesFor = ({ corp, route }: Variation): Changes => ({
  authenticators: {
    corp: { audience: resource, clockTolerance: '5m', ...corp },
    partner: {
      type: 'introspection',
      issuer: 'https://partner.example',
      endpoint: introspection.endpoint,
      clientId: 'portcullis',
      clientSecret: 's3cret',
      audience: resource,
      clockTolerance: '5m',
    },
  },
  routes: [
    { path: '/api/*', resource, scopes: ['dashboards:read'], ...route },
    { path: '/opaque', resource, authenticate: 'partner', ...route },
    { path: '/keyed', authenticate: 'keys' },
    { path: '/mcp', mcp: { rules: [listDashboards] }, ...route },
  ],
});

interface Call {
  readonly authorization?: string;
  readonly proof?: string | readonly string[] | undefined;
  readonly method?: string;
  readonly path?: string;
}

async function begin(t: Test, variation: Variation = {}) {
  // The clock stands still unless it is moved.
  let clock = Math.floor(Date.now() / 1000) * 1000;
  const scenario = await startScenario(t, changesFor(variation), {
    upstream,
    issuer,
    now: () => clock,
    streamTickMs: 10,
  });
  const now = () => clock;
  return {
    ...scenario,
    now,
    pass: (ms: number) => {
      clock += ms;
    },
    reloadWith: (changed: Configuration) => scenario.reload({ authenticators: { corp: changed } }),
    proof: (options: Partial<ProofOptions> = {}) => key.proof({ token, method: 'GET', url, now: now(), ...options }),
    async call({ authorization = `DPoP ${token}`, proof, method = 'GET', path = '/api/x' }: Call) {
      const seen = upstream.requests.length;
      const answer = await scenario.anybody.send({
        method,
        path,
        headers: { authorization, ...(proof !== undefined && { dpop: proof }) },
      });
      const record = await scenario.recordOf(answer);
      const { code } = answer.status < 400 ? { code: 'ok' } : (JSON.parse(answer.text) as { code: string });
      return {
        outcome: `${answer.status} ${code}`,
        challenge: answer.headers['www-authenticate'],
        nonce: answer.headers['dpop-nonce'],
        record,
        forwarded: upstream.requests.slice(seen),
      };
    },
  };
}

type DpopScenario = Awaited<ReturnType<typeof begin>>;

const counted = (scenario: DpopScenario, result: string, reason: string) =>
  scenario.metric('portcullis_authentications_total', { authenticator: 'corp', result, reason });

const bearerPart =
  'Bearer error="invalid_token", scope="dashboards:read", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"';

/** 401 with both challenges, counted under its reason, recorded, and nothing forwarded. */
async function refuses(
  t: Test,
  scenario: DpopScenario,
  what: string,
  call: Call,
  reason: string,
  error = 'invalid_dpop_proof',
) {
  const before = await counted(scenario, 'refused', reason);
  const refused = await scenario.call(call);
  t.equal(refused.outcome, '401 invalid_token', what);
  t.equal(refused.challenge, `${bearerPart}, ${dpopChallenge}${error === '' ? '' : `, error="${error}"`}`, what);
  t.match(refused.record, { decision: 'deny', reason: 'invalid_token', status: 401, outcome: 'refused' }, what);
  t.equal(refused.forwarded.length, 0, `${what}: nothing forwarded`);
  t.equal(await counted(scenario, 'refused', reason), before + 1, `${what}: ${reason}`);
}

t.test(
  'who holds the key can use the token, with a new proof for each request, and the upstream sees neither',
  async (t) => {
    const scenario = await begin(t);
    for (const attempt of ['first', 'from the cache']) {
      const good = await scenario.call({ proof: await scenario.proof() });
      t.equal(good.outcome, '200 ok', attempt);
      t.same(good.record.credentials, [{ kind: 'dpop-token', authenticator: 'corp', id: 'bound' }]);
      t.match(good.record.principal, { subject: 'ai-agent', credentialId: 'bound' });
      t.same([good.forwarded[0]?.header('dpop'), good.forwarded[0]?.header('authorization')], [[], []]);
      t.equal(good.nonce, undefined);
    }
    for (const [what, htu, path] of [
      ['a query that the proof does not name', url, '/api/x?a=1'],
      ['a query that it names', `${url}?b=2#c`, '/api/x'],
      ['scheme, host and port in another form', 'HTTPS://MCP.example.com:443/api/x', '/api/x'],
      ['another path', `${url}/y`, '/api/x/y'],
    ] as const) {
      t.equal((await scenario.call({ proof: await scenario.proof({ url: htu }), path })).outcome, '200 ok', what);
    }
    const posted = await scenario.call({ proof: await scenario.proof({ method: 'POST' }), method: 'POST' });
    t.equal(posted.outcome, '200 ok');
  },
);

t.test('every algorithm of the challenge can be used, and no other', async (t) => {
  const scenario = await begin(t);
  for (const algorithm of ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256', 'ES384']) {
    const ofClient = await createDpopKey(algorithm);
    const bound = await issuer.token(ofClient.binding);
    const proof = await ofClient.proof({ token: bound, method: 'GET', url });
    const call = { authorization: `DPoP ${bound}`, proof };
    if (algorithm !== 'ES384') t.equal((await scenario.call(call)).outcome, '200 ok', algorithm);
    else await refuses(t, scenario, algorithm, call, 'proof_algorithm');
  }
});

t.test('a bad proof is refused with a challenge that says so, whatever is wrong with it', async (t) => {
  const scenario = await begin(t);
  const { proof } = scenario;
  const seconds = () => Math.floor(scenario.now() / 1000);
  const good = await proof();
  const [header, payload, signature] = good.split('.') as [string, string, string];
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none', typ: 'dpop+jwt', jwk: key.publicJwk })).toString(
    'base64url',
  );
  const table: [string, string | undefined, string][] = [
    ['none', undefined, 'proof_missing'],
    ['empty', '', 'proof_format'],
    ['a word', 'proof', 'proof_format'],
    ['two in one line', `${good}, ${good}`, 'proof_format'],
    ['a padded signature', `${good}=`, 'proof_format'],
    ['a fourth part', `${good}.x`, 'proof_format'],
    ['without a signature', `${header}.${payload}.`, 'proof_format'],
    ['unsigned', `${unsigned}.${payload}.${signature}`, 'proof_algorithm'],
    ['another signature', `${header}.${payload}.${(await proof()).split('.')[2]}`, 'proof_signature'],
    ['no JSON', `${Buffer.from('x').toString('base64url')}.${payload}.${signature}`, 'proof_format'],
    ['too long', await proof({ claims: { padding: 'x'.repeat(16_384) } }), 'proof_format'],
    ['another type', await proof({ header: { typ: 'jwt' } }), 'proof_format'],
    ['no type', await proof({ header: { typ: undefined } }), 'proof_format'],
    ['a critical header', await proof({ header: { cty: 'JWT' } }), 'proof_format'],
    ['a symmetric algorithm', await hmacProof(), 'proof_algorithm'],
    [
      'an algorithm that does not fit the key',
      await proof({ header: { jwk: (await createDpopKey('PS256')).publicJwk } }),
      'proof_algorithm',
    ],
    ['no key', await proof({ header: { jwk: undefined } }), 'proof_format'],
    ['a key by name', await proof({ header: { jwk: 'key' } }), 'proof_format'],
    ['a private key', await proof({ header: { jwk: key.privateJwk } }), 'proof_key'],
    ['a symmetric key', await proof({ header: { jwk: { kty: 'oct', k: 'c2VjcmV0' } } }), 'proof_key'],
    ['a point off the curve', await proof({ header: { jwk: { ...key.publicJwk, x: key.publicJwk.y } } }), 'proof_key'],
    ["another client's key", await otherKey.proof({ token, method: 'GET', url }), 'proof_key'],
    ["the token's key, another's signature", await proof({ signer: otherKey.privateKey }), 'proof_signature'],
    ['another method', await proof({ method: 'POST' }), 'proof_request'],
    ['the method in small letters', await proof({ method: 'get' }), 'proof_request'],
    ['another path', await proof({ url: 'https://mcp.example.com/api/y' }), 'proof_request'],
    ['another host', await proof({ url: 'https://evil.example/api/x' }), 'proof_request'],
    ['the address it really went to', await proof({ url: `http://127.0.0.1:${scenario.port}/api/x` }), 'proof_request'],
    ['plain http', await proof({ url: 'http://mcp.example.com/api/x' }), 'proof_request'],
    ['a user in the URL', await proof({ url: 'https://mcp.example.com@evil.example/api/x' }), 'proof_request'],
    ['a path alone', await proof({ url: '/api/x' }), 'proof_request'],
    ['a trailing slash', await proof({ url: `${url}/` }), 'proof_request'],
    ['too old', await proof({ claims: { iat: seconds() - 66 } }), 'proof_time'],
    ['from the future', await proof({ claims: { iat: seconds() + 8 } }), 'proof_time'],
    ['a time in words', await proof({ claims: { iat: String(seconds()) } }), 'proof_format'],
    ['no time', await proof({ claims: { iat: undefined } }), 'proof_format'],
    ['a time beyond numbers', await proof({ claims: { iat: -1e308 } }), 'proof_time'],
    ['no id', await proof({ claims: { jti: undefined } }), 'proof_format'],
    ['an empty id', await proof({ claims: { jti: '' } }), 'proof_format'],
    ['an id without end', await proof({ claims: { jti: 'x'.repeat(257) } }), 'proof_format'],
    ['a number as id', await proof({ claims: { jti: 1 } }), 'proof_format'],
    ['no token hash', await proof({ claims: { ath: undefined } }), 'proof_token'],
    ['the hash of another token', await proof({ token: await issuer.token(key.binding) }), 'proof_token'],
    [
      'the hash in hex',
      await proof({ claims: { ath: createHash('sha256').update(token).digest('hex') } }),
      'proof_token',
    ],
  ];
  for (const [what, bad, reason] of table) await refuses(t, scenario, what, { proof: bad }, reason);
  t.equal((await scenario.call({ proof: good })).outcome, '200 ok', 'refusing took nothing from the good proof');
  await refuses(t, scenario, 'the same proof again', { proof: good }, 'proof_replayed');
  scenario.pass(64_000);
  await refuses(t, scenario, 'and shortly before it is too old', { proof: good }, 'proof_replayed');
  scenario.pass(3_000);
  await refuses(t, scenario, 'after which its age is enough', { proof: good }, 'proof_time');
  const sameId = { jti: 'same' };
  t.equal((await scenario.call({ proof: await proof({ claims: sameId }) })).outcome, '200 ok');
  await refuses(
    t,
    scenario,
    'another proof with the same id',
    { proof: await proof({ claims: sameId }) },
    'proof_replayed',
  );
  const two = await scenario.call({ proof: [await proof(), await proof()] });
  t.match(two, { outcome: '400 duplicate_header', forwarded: [] });

  async function hmacProof(): Promise<string> {
    const secret = { kty: 'oct', k: 'c2VjcmV0' };
    const [, claims] = (await proof()).split('.');
    return `${Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'dpop+jwt', jwk: secret })).toString('base64url')}.${claims}.${signature}`;
  }
});

t.test('scheme and binding belong together', async (t) => {
  const scenario = await begin(t);
  const stolen = await scenario.call({ authorization: `Bearer ${token}` });
  t.match(stolen, { outcome: '401 invalid_token', challenge: `${bearerPart}, ${dpopChallenge}`, forwarded: [] });
  const withProof = await scenario.call({ authorization: `Bearer ${token}`, proof: await scenario.proof() });
  t.match(withProof, { outcome: '401 invalid_token', forwarded: [] }, 'not even beside a good proof');
  const unbound = await issuer.token();
  const proof = await scenario.proof({ token: unbound });
  await refuses(
    t,
    scenario,
    'an unbound token',
    { authorization: `DPoP ${unbound}`, proof },
    'sender_constraint',
    'invalid_token',
  );
  t.equal(
    (await scenario.call({ authorization: `Bearer ${unbound}`, proof })).outcome,
    '200 ok',
    'a bearer needs no proof',
  );
  const expired = await issuer.token({ ...key.binding, exp: 1000 });
  const call = { authorization: `DPoP ${expired}`, proof: await scenario.proof({ token: expired }) };
  await refuses(t, scenario, 'an expired token', call, 'expired', 'invalid_token');
  const nothing = await scenario.call({ authorization: 'DPoP not-a-token' });
  t.equal(nothing.challenge, `${bearerPart}, ${dpopChallenge}, error="invalid_token"`);
  const document = await fetch(`http://127.0.0.1:${scenario.port}/.well-known/oauth-protected-resource/mcp`);
  t.match(await document.json(), {
    dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'],
  });
});

t.test(
  'a required nonce: refused once with one, taken with it, renewed in time, and still good after a reload',
  async (t) => {
    const scenario = await begin(t, { corp: { dpop: { nonce: 'required', algorithms: ['ES256'] } } });
    const first = await scenario.call({ proof: await scenario.proof() });
    t.match(first, { outcome: '401 invalid_token', forwarded: [], record: { reason: 'invalid_token' } });
    t.equal(first.challenge, 'DPoP algs="ES256", error="use_dpop_nonce"');
    t.match(first.nonce, /^[0-9a-z]+\.[A-Za-z0-9_-]{22}$/);
    const nonce = String(first.nonce);
    t.match(await scenario.call({ proof: await scenario.proof({ nonce }) }), { outcome: '200 ok', nonce: undefined });
    await scenario.reloadWith({ dpop: { maxAge: '30s' } });
    const replayed = await scenario.proof({ nonce });
    t.equal((await scenario.call({ proof: replayed })).outcome, '200 ok', 'after a reload');
    await scenario.reloadWith({});
    t.equal((await scenario.call({ proof: replayed })).outcome, '401 invalid_token', 'which forgets no proof either');
    scenario.pass(60_000);
    const renewed = await scenario.call({ proof: await scenario.proof({ nonce }) });
    t.equal(renewed.outcome, '200 ok');
    t.not(renewed.nonce, nonce, 'a client that goes on always has a fresh one');
    t.equal((await scenario.call({ proof: await scenario.proof({ nonce: String(renewed.nonce) }) })).outcome, '200 ok');
    scenario.pass(240_000);
    for (const bad of [nonce, `${nonce}x`, `x.${nonce}`, '', '0', `zzzzzzzzzz.${nonce.split('.')[1]}`]) {
      const late = await scenario.call({ proof: await scenario.proof({ nonce: bad }) });
      t.match(late, { challenge: 'DPoP algs="ES256", error="use_dpop_nonce"', forwarded: [] }, bad);
    }
    t.ok((await counted(scenario, 'refused', 'proof_nonce')) >= 7);
    const without = await scenario.call({});
    t.match(without.nonce, /\./, 'also a request without a proof is told the nonce');
  },
);

t.test('a client made of fetch and jose follows the challenge by itself', async (t) => {
  const scenario = await begin(t, { corp: { dpop: { nonce: 'required' } } });
  let nonce: string | undefined;
  async function dpopFetch(): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(`http://127.0.0.1:${scenario.port}/api/x`, {
        headers: { authorization: `DPoP ${token}`, dpop: await scenario.proof({ nonce }) },
      });
      nonce = response.headers.get('dpop-nonce') ?? nonce;
      const challenge = response.headers.get('www-authenticate') ?? '';
      if (attempt === 2 || !/^DPoP .*error="use_dpop_nonce"/.test(challenge)) return response;
      await response.body?.cancel();
    }
  }
  for (const _call of [1, 2, 3]) t.equal((await dpopFetch()).status, 200);
  t.equal(await counted(scenario, 'refused', 'proof_nonce'), 1, 'one detour');
});

t.test('dpop: off refuses bound tokens and offers no challenge', async (t) => {
  const scenario = await begin(t, { corp: { dpop: 'off' } });
  const call = { proof: await scenario.proof() };
  const refused = await scenario.call(call);
  t.match(refused, { outcome: '401 invalid_token', challenge: bearerPart, forwarded: [] });
});

t.test('a route that requires bound tokens says so in its metadata', async (t) => {
  const scenario = await begin(t, { route: { senderConstraint: 'required' } });
  t.equal((await scenario.call({ authorization: `Bearer ${await issuer.token()}` })).outcome, '401 invalid_token');
  t.equal((await scenario.call({ proof: await scenario.proof() })).outcome, '200 ok');
  const document = await fetch(`http://127.0.0.1:${scenario.port}/.well-known/oauth-protected-resource/mcp`);
  t.match(await document.json(), { dpop_bound_access_tokens_required: true });
});

t.test('the DPoP client of an OAuth library works as it stands, nonce included', async (t) => {
  const scenario = await begin(t, { corp: { dpop: { nonce: 'required' } } });
  const keys = await oauth.generateKeyPair('ES256');
  const DPoP = oauth.DPoP({}, keys);
  const bound = await issuer.token({ cnf: { jkt: await DPoP.calculateThumbprint() } });
  const options: oauth.ProtectedResourceRequestOptions = {
    DPoP,
    // What its clients type is the public URL; here it is reached under another address.
    [oauth.customFetch]: (address, init) =>
      fetch(address.replace('https://mcp.example.com', `http://127.0.0.1:${scenario.port}`), init as RequestInit),
  };
  const call = () => oauth.protectedResourceRequest(bound, 'GET', new URL(`${url}?page=2`), undefined, null, options);
  const refused = await call().catch((error: unknown) => error);
  t.ok(oauth.isDPoPNonceError(refused), 'it is told to use a nonce');
  for (const _call of [1, 2, 3]) {
    const response = await call();
    t.equal(response.status, 200);
    await response.body?.cancel();
  }
});

t.test('tokens that are introspected are bound in the same way, from the first request and from memory', async (t) => {
  const scenario = await begin(t);
  const opaque = 'an-opaque-token';
  const seconds = Math.floor(scenario.now() / 1000);
  introspection.answers.set(opaque, {
    active: true,
    iss: 'https://partner.example',
    aud: 'https://mcp.example.com/mcp',
    sub: 'anna',
    client_id: 'partner_app',
    token_type: 'DPoP',
    exp: seconds + 300,
    ...key.binding,
  });
  const proof = (options: Partial<ProofOptions> = {}) =>
    scenario.proof({ token: opaque, url: 'https://mcp.example.com/opaque', ...options });
  const call = async (more: Call) =>
    (await scenario.call({ path: '/opaque', authorization: `DPoP ${opaque}`, ...more })).outcome;
  t.equal(await call({ proof: await proof() }), '200 ok');
  t.equal(await call({ proof: await proof() }), '200 ok');
  t.equal(await call({}), '401 invalid_token');
  t.equal(await call({ proof: await proof({ method: 'POST' }) }), '401 invalid_token');
  t.equal(await call({ authorization: `Bearer ${opaque}` }), '401 invalid_token');
  t.equal(introspection.questions.length, 1, 'asked about once');
  t.equal(await call({ authorization: 'DPoP sk_the-key-of-somebody', proof: await proof() }), '401 invalid_token');
  t.equal(introspection.questions.length, 1, 'a key in the wrong scheme is shown to nobody');
});

t.test('on an MCP route a refused proof is a JSON-RPC error, and a call with a good one is carried out', async (t) => {
  const scenario = await begin(t);
  const seen = upstream.requests.length;
  const post = (headers: Record<string, string>) =>
    scenario.anybody.post(toolCall('list_dashboards'), { headers: { authorization: `DPoP ${token}`, ...headers } });
  const refused = await post({});
  t.equal(refused.status, 401);
  t.match(JSON.parse(refused.text), {
    jsonrpc: '2.0',
    id: 1,
    error: { code: 401, data: { code: 'invalid_token' } },
  });
  t.match(refused.headers['www-authenticate'], /^Bearer .*, DPoP algs="[^"]+", error="invalid_dpop_proof"$/);
  const { credentials, detail } = await scenario.record(({ id }) => id === refused.id);
  t.same(credentials, [{ kind: 'dpop-token', authenticator: 'corp', id: 'bound' }], 'whose token it was is on record');
  t.match(detail, { credential: { kind: 'dpop-token', problem: 'proof_missing' } });
  t.equal(upstream.requests.length, seen);
  const dpop = await scenario.proof({ method: 'POST', url: 'https://mcp.example.com/mcp' });
  t.equal((await post({ dpop })).status, 200);
});

t.test('a stream goes on over reloads, until one takes its kind of proof away', async (t) => {
  const scenario = await begin(t);
  const hold = async () => {
    const stream = await scenario.hold({
      path: '/api/stream',
      headers: {
        authorization: `DPoP ${token}`,
        dpop: await scenario.proof({ url: 'https://mcp.example.com/api/stream' }),
      },
    });
    t.equal(stream.response.statusCode, 200);
    return stream;
  };
  const first = await hold();
  await scenario.reloadWith({ dpop: { nonce: 'required', maxAge: '30s' } });
  scenario.pass(15_000);
  await first.saw(': keep-alive\n\n');
  t.notOk(
    (await scenario.records()).some(({ stage }) => stage === 'stream'),
    'how old or fresh proofs must be is no matter',
  );
  await scenario.reloadWith({ dpop: { algorithms: ['PS256'] } });
  t.equal(await first.ended(), 'clean');
  await scenario.reloadWith({});
  const second = await hold();
  await scenario.reloadWith({ dpop: 'off' });
  t.equal(await second.ended(), 'clean');
  await scenario.matchingRecords(2, ({ stage, reason }) => stage === 'stream' && reason === 'revoked');
});
