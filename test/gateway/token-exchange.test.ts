// Token exchange (RFC 8693) for the upstream: caching, refusals, and an endpoint that fails in every way.
import { generateKeyPairSync } from 'node:crypto';
import { jwtVerify } from 'jose';
import t, { type Test } from 'tap';
import { type Attack, assertRefused, attack, host, request } from '../support/attack.ts';
import { untrustedTls } from '../support/certificates.ts';
import { apiKey, type Configuration } from '../support/configuration.ts';
import { createDpopKey } from '../support/dpop.ts';
import {
  endpointFaults,
  formOf,
  startIntrospection,
  startTokenEndpoint,
  subjectToken,
} from '../support/oauth-endpoints.ts';
import { talk } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const aud = 'https://mcp.example.com/api';
const http = { method: 'GET', path: '/api' };
const clientKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const given = ({ forwarded }: Attack) => forwarded.flatMap((each) => each.header('authorization'));

/** A gateway whose upstreams get exchanged tokens, with a clock that the test moves. */
async function arrange(t: Test) {
  const clock = { now: Date.now() };
  const upstream = await startUpstream();
  t.teardown(upstream.close);
  const endpoint = await startTokenEndpoint();
  const partner = await startIntrospection();
  const partnerEndpoint = await startTokenEndpoint();
  t.teardown(() => Promise.all([endpoint.close(), partner.close(), partnerEndpoint.close()]));
  const exchange = {
    authenticator: 'corp',
    endpoint: endpoint.endpoint,
    clientId: 'portcullis:1',
    clientSecret: 's3cr%t',
    audience: 'superset',
    scopes: ['charts', 'sql:run'],
  };
  const scenario = await startScenario(
    t,
    {
      authenticators: { partner: partner.authenticator },
      upstreams: {
        superset: { identity: { exchange } },
        other: {
          url: upstream.url,
          identity: {
            exchange: {
              authenticator: 'partner',
              endpoint: partnerEndpoint.endpoint,
              clientId: 'gateway',
              clientKeyFile: 'client.pem',
              clientKeyId: 'key-1',
              resource: 'https://superset.example/',
            },
          },
        },
      },
      routes: [
        { path: '/api', authenticate: { anyOf: ['corp', 'partner', 'keys'] } },
        { path: '/mcp', resource: aud, mcp: { rules: [{ allow: { tools: ['*'] } }] } },
        { path: '/partner', resource: aud, upstream: 'other', authenticate: 'partner' },
      ],
    },
    {
      upstream,
      files: { 'client.pem': clientKey.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
      now: () => clock.now,
      logToFile: true,
    },
  );
  const reloadWith = (changed: Configuration) =>
    scenario.reload({ upstreams: { superset: { identity: { exchange: changed } } } });
  const newToken = (claims: object = {}) => scenario.token({ aud, ...claims });
  const bytesOf = (token: string, path = '/api') => request(`GET ${path}`, [host, `Authorization: Bearer ${token}`]);
  const send = (token: string, path?: string) => attack(scenario, bytesOf(token, path));

  const counted = (outcome: string, name = 'superset') =>
    scenario.metric('portcullis_token_exchanges_total', { upstream: name, outcome });

  async function passes(t: Test, name: string, token: string, path?: string): Promise<string> {
    const result = await send(token, path);
    t.equal(result.answer.status, 200, name);
    const all = given(result);
    t.equal(all.length, 1, name);
    t.match(all[0], /^Bearer issued-\d+$/, name);
    return all[0]!;
  }

  async function fails(t: Test, name: string, token: string, outcome: string): Promise<void> {
    const before = await counted(outcome);
    const result = await send(token);
    assertRefused(t, name, result, { status: 503, code: 'idp_unavailable', http });
    t.equal(result.answer.headers['retry-after'], '5', name);
    t.equal(result.answer.headers['www-authenticate'], undefined, `${name}: the token may be good`);
    t.equal(await counted(outcome), before + 1, `${name}: ${outcome}`);
  }
  const endpoints = { endpoint, partner, partnerEndpoint };
  return { ...endpoints, bytesOf, clock, counted, exchange, fails, newToken, passes, reloadWith, scenario, send };
}

const {
  bytesOf,
  clock,
  counted,
  endpoint,
  exchange,
  fails,
  newToken,
  partner,
  partnerEndpoint,
  passes,
  reloadWith,
  scenario,
  send,
} = await arrange(t);
t.beforeEach(() => {
  endpoint.answer = {};
  endpoint.error = undefined;
  endpoint.fault = undefined;
  clock.now += 60_000;
});

t.test('the token is exchanged for one of the upstream, and never passed on itself', async (t) => {
  const token = await newToken();
  const before = await counted('exchanged');
  t.equal(await passes(t, 'exchanged', token), 'Bearer issued-1');
  const question = endpoint.questions.at(-1)!;
  t.match(question, { method: 'POST', url: '/token' });
  t.same(Object.fromEntries(formOf(question)), {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: 'superset',
    scope: 'charts sql:run',
  });
  const [, credentials] = /^Basic (.*)$/.exec(question.header('authorization')[0] ?? '') ?? [];
  t.equal(Buffer.from(credentials!, 'base64').toString(), 'portcullis%3A1:s3cr%25t', 'RFC 6749 §2.3.1');
  t.equal(await counted('exchanged'), before + 1);
  t.notOk(JSON.stringify(scenario.upstream.requests.at(-1)!.rawHeaders).includes(token));
  t.equal(scenario.upstream.requests.at(-1)!.header('x-forwarded-user').length, 1, 'identity headers go on beside it');
});

t.test('what was exchanged is kept, but never beyond the end of either token', async (t) => {
  const questions = () => endpoint.questions.length;
  const token = await newToken({ exp: Math.floor(clock.now / 1000) + 300 });
  const first = await passes(t, 'first', token);
  const before = questions();
  clock.now += 109_000;
  t.equal(await passes(t, 'kept', token), first);
  t.equal(questions(), before);
  clock.now += 2000;
  t.not(await passes(t, 'close to its end it is not sent any more', token), first);
  t.equal(questions(), before + 1);

  endpoint.answer = { expires_in: 1e9 };
  const short = await newToken({ exp: Math.floor(clock.now / 1000) + 10 });
  const own = await passes(t, 'short', short);
  clock.now += 9000;
  t.equal(await passes(t, 'until its own end', short), own);
  clock.now += 2000;
  const over = await send(short);
  assertRefused(t, 'by clockTolerance only', over, { status: 401, code: 'invalid_token', http });
  t.equal(questions(), before + 2);

  for (const [name, seconds] of [
    ['an issuer that does not say how long', undefined],
    ['not at all', 0],
  ] as const) {
    endpoint.answer = { expires_in: seconds };
    const each = await newToken();
    t.not(await passes(t, name, each), await passes(t, name, each), `${name}: asked each time`);
  }
});

t.test('requests with one token at one time ask once, and others have their own', async (t) => {
  const release = endpoint.hold();
  const token = await newToken();
  const before = endpoint.questions.length;
  const sent = Array.from(
    { length: 6 },
    async () => (await talk(scenario.port, bytesOf(token))).answers.at(-1)!.status,
  );
  await until(async () => (await scenario.status()).openRequests === 6);
  release();
  t.same(new Set(await Promise.all(sent)), new Set([200]));
  t.equal(endpoint.questions.length, before + 1);
  const [mine, theirs] = [await newToken({ sub: 'a' }), await newToken({ sub: 'b' })];
  t.not(await passes(t, 'mine', mine), await passes(t, 'theirs', theirs));
});

t.test('whoever has no token of that issuer has nothing to exchange', async (t) => {
  const opaque = 'opaque-1';
  partner.answers.set(opaque, { active: true, aud, sub: 'anna', exp: Math.floor(clock.now / 1000) + 300 });
  const before = endpoint.questions.length;
  for (const credential of [apiKey, opaque]) {
    const result = await send(credential);
    assertRefused(t, credential, result, { status: 403, code: 'denied', http });
    t.match(result.record.detail, { identity: { missing: 'token' } });
  }
  const keyed = await attack(scenario, request('GET /api', [host, `X-API-Key: ${apiKey}`]));
  assertRefused(t, 'a key in its own header', keyed, { status: 403, code: 'denied', http });
  t.equal(endpoint.questions.length, before);
});

t.test('opaque tokens are exchanged too; the gateway may prove who it is with a key', async (t) => {
  const opaque = 'opaque-2';
  partner.answers.set(opaque, { active: true, aud, sub: 'anna', exp: Math.floor(clock.now / 1000) + 300 });
  await passes(t, 'opaque', opaque, '/partner');
  const form = formOf(partnerEndpoint.questions.at(-1)!);
  t.match(Object.fromEntries(form), {
    subject_token: opaque,
    resource: 'https://superset.example/',
    client_id: 'gateway',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  });
  t.notOk(form.has('audience') || form.has('scope'));
  const { protectedHeader } = await jwtVerify(form.get('client_assertion')!, clientKey.publicKey, {
    issuer: 'gateway',
    subject: 'gateway',
    audience: 'https://partner.example/',
  });
  t.match(protectedHeader, { alg: 'ES256', kid: 'key-1' });
});

t.test('a DPoP-bound token is exchanged once its proof is good, and the proof goes nowhere', async (t) => {
  const key = await createDpopKey();
  const token = await newToken(key.binding);
  const ask = async (htm: string) => {
    const proof = await key.proof({ token, method: htm, url: aud, now: clock.now });
    return attack(scenario, request('GET /api', [host, `Authorization: DPoP ${token}`, `DPoP: ${proof}`]));
  };
  const before = endpoint.questions.length;
  t.equal((await ask('POST')).answer.status, 401);
  t.equal(endpoint.questions.length, before, 'nothing is exchanged for whoever only has the token');
  const result = await ask('GET');
  t.equal(result.answer.status, 200);
  t.match(given(result), [/^Bearer issued-\d+$/]);
  t.equal(formOf(endpoint.questions.at(-1)!).get('subject_token'), token);
  t.same(
    [...endpoint.questions.at(-1)!.header('dpop'), ...result.forwarded.flatMap((each) => each.header('dpop'))],
    [],
  );
});

t.test('what the issuer refuses is 403 denied, with a line in the log, and not asked again at once', async (t) => {
  for (const [error, status] of [
    ['invalid_request', 400],
    ['invalid_grant', 400],
    ['invalid_target', 400],
    ['invalid_scope', 400],
    ['access_denied', 403],
  ] as const) {
    const token = await newToken();
    endpoint.error = { status, body: { error, error_description: `no ${error} for\n${token}` } };
    const [before, questions] = [await counted('refused'), endpoint.questions.length];
    const refused = await send(token);
    assertRefused(t, error, refused, { status: 403, code: 'denied', http });
    t.match(refused.record.detail, { identity: { exchange: 'refused' } });
    assertRefused(t, `${error} again`, await send(token), { status: 403, code: 'denied', http });
    t.equal(endpoint.questions.length, questions + 1, error);
    t.equal(await counted('refused'), before + 1);
    t.match(await scenario.log(), `"error":"${error}","description":"no ${error} for?…"`);
    await passesAfterwards(t, error, token);
  }

  async function passesAfterwards(t: Test, name: string, token: string): Promise<void> {
    endpoint.error = undefined;
    clock.now += 5000;
    await passes(t, `${name}: and then granted`, token);
  }
});

t.test('an issuer that fails: 503, nothing forwarded, and what is kept goes on', async (t) => {
  type Arrangement = Awaited<ReturnType<typeof arrange>>;
  const fail = async ([fault, outcome, outage]: (typeof endpointFaults)[number], arrangement: Arrangement) => {
    const { clock, endpoint, fails, newToken, passes, scenario } = arrangement;
    const known = await newToken();
    await passes(t, `${fault}: before`, known);
    endpoint.fault = fault;
    const token = await newToken();
    await fails(t, fault, token, outcome);
    await passes(t, `${fault}: a token that is known`, known);
    t.equal((await scenario.readiness()).status, 200, `${fault}: ready`);
    const reached = [endpoint.connections(), endpoint.questions.length];
    endpoint.fault = undefined;
    if (outage) {
      await fails(t, `${fault}: cooldown`, token, 'cooldown');
      t.same([endpoint.connections(), endpoint.questions.length], reached, `${fault}: it is left alone`);
      clock.now += 5000;
    }
    await passes(t, `${fault}: and back`, token);
    t.notOk(
      endpoint.questions.some(({ url }) => url !== '/token'),
      `${fault}: nothing was followed`,
    );
    await assertNoSecret(t, scenario);
  };
  const [outages, others] = [endpointFaults.filter((each) => each[2]), endpointFaults.filter((each) => !each[2])];
  const ofOutages = outages.map(async (each) => fail(each, await arrange(t)));
  // Nothing of them lasts, so that one gateway does for all.
  const shared = await arrange(t);
  for (const each of others) await fail(each, shared);
  await Promise.all(ofOutages);
});

t.test('an answer that cannot be right is none', async (t) => {
  const cases: Record<string, Readonly<Record<string, unknown>>> = {
    'the same token back': { access_token: subjectToken },
    'no token': { access_token: undefined },
    'an empty token': { access_token: '' },
    'two headers': { access_token: 'a\r\nx-forwarded-user: root' },
    'two words': { access_token: 'a b' },
    'a token that is none': { access_token: 7 },
    'a token of 17,000 characters': { access_token: 'a'.repeat(17_000) },
    'no use as Bearer': { token_type: 'N_A' },
    'bound to a key of nobody': { token_type: 'DPoP' },
    'no type of use': { token_type: undefined },
    'an ID token': { issued_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
    'a refresh token': { issued_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
    'nothing said of what was issued': { issued_token_type: undefined },
    'an end in the past': { expires_in: -1 },
    'an end in words': { expires_in: 'soon' },
  };
  for (const [name, answer] of Object.entries(cases)) {
    endpoint.answer = answer;
    await fails(t, name, await newToken(), 'malformed');
  }
  endpoint.answer = {
    issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_type: 'bearer',
    scope: 'charts',
  };
  await passes(t, 'a JWT', await newToken());
});

t.test('a gateway that its issuer does not know is nothing that a caller could help', async (t) => {
  for (const [error, status] of [
    ['invalid_client', 401],
    ['unauthorized_client', 400],
    ['unsupported_grant_type', 400],
    ['server_error', 400],
  ] as const) {
    endpoint.error = { status, body: { error } };
    await fails(t, error, await newToken(), 'status');
    t.match(await scenario.log(), `answered ${status}: ${error}`);
  }
});

t.test('an endpoint whose certificate nobody vouches for gets no token', async (t) => {
  const untrusted = await startTokenEndpoint({ tls: await untrustedTls() });
  t.teardown(untrusted.close);
  const { port } = new URL(untrusted.endpoint);
  await reloadWith({ endpoint: `https://localhost:${port}/token` });
  await fails(t, 'untrusted', await newToken(), 'connection');
  t.equal(untrusted.questions.length, 0);
  await scenario.reload();
});

t.test('a reload keeps what was exchanged, unless it changes the exchange', async (t) => {
  const token = await newToken();
  const first = await passes(t, 'before', token);
  await scenario.reload({ server: { drainTimeout: '31s' } });
  t.equal(await passes(t, 'after', token), first);
  await reloadWith({ audience: 'elsewhere' });
  t.not(await passes(t, 'another audience', token), first);
  t.equal(formOf(endpoint.questions.at(-1)!).get('audience'), 'elsewhere');
  await scenario.reload();
});

t.test('a certificate alone has nothing to exchange either', async (t) => {
  const { issuer, upstream } = scenario;
  const own = await startScenario(
    t,
    {
      upstreams: { superset: { identity: { exchange } } },
      routes: [{ path: '/api', authenticate: { anyOf: ['corp', 'workloads'] } }],
    },
    { tls: true, upstream, issuer },
  );
  const client = own.connect({ certificate: own.certificates!.agent });
  const before = [endpoint.questions.length, upstream.requests.length];
  t.equal((await client.send({ path: '/api' })).status, 403);
  t.same([endpoint.questions.length, upstream.requests.length], before);
  t.equal((await client.send({ path: '/api', headers: await own.bearer() })).status, 200);
  t.match(upstream.requests.at(-1)!.header('authorization'), [/^Bearer issued-\d+$/]);
});

t.test('no token and no secret is in records, metrics or the log', async (t) => {
  await assertNoSecret(t, scenario);
  t.match(await scenario.log(), 'a token could not be exchanged');
});

async function assertNoSecret(t: Test, { log, metrics, records }: Pick<Scenario, 'log' | 'metrics' | 'records'>) {
  const everything = JSON.stringify(await records()) + (await metrics()) + (await log());
  for (const secret of ['issued-', 's3cr', 'eyJ', 'opaque-', 'PRIVATE KEY']) t.notMatch(everything, secret, secret);
}
