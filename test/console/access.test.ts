// Access to the console: log-in by OpenID Connect, sessions with their ends, tokens, certificates, records.
import t from 'tap';
import { sessionLimits } from '../../src/console/access/sessions.ts';
import { apiKey } from '../support/configuration.ts';
import { openBrowser } from '../support/console-browser.ts';
import { signToken } from '../support/issuer.ts';
import { startLoginProvider } from '../support/login-provider.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const provider = await startLoginProvider();
t.teardown(provider.close);
let offsetMs = 0;
const scenario = await startScenario(
  t,
  {
    admin: {
      publicUrl: 'https://console.example.com',
      authenticate: { anyOf: ['staff', 'keys'] },
      allow: { claims: { groups: ['platform'] } },
      login: { clientId: 'console', clientSecret: 'secret' },
      metrics: 'protected',
    },
    revocation: { file: 'revoked.yaml' },
    authenticators: { staff: { type: 'jwt', issuer: provider.issuer, claims: { groups: 'groups', email: 'email' } } },
  },
  { now: () => Date.now() + offsetMs, files: { 'revoked.yaml': '{}\n' }, revocationPollMs: 20 },
);
const { gateway, records } = scenario;
// Its tokens outlast the clock that is turned on.
const ada = { groups: ['platform'], email: 'ada@example.com', exp: Math.floor(Date.now() / 1000) + 3 * 86_400 };
provider.claims = ada;

const staffToken = (claims: Readonly<Record<string, unknown>>) =>
  signToken(provider.issuer, { client_id: 'ops', ...ada, ...claims }, { key: provider.key });

t.test('a page sends who is not logged in to the identity provider, and back to the page', async (t) => {
  const browser = openBrowser(gateway);
  const first = await browser.send('/?worker=1');
  t.match(first, { status: 303, location: '/login?next=%2F%3Fworker%3D1' });
  const toProvider = await browser.send(first.location);
  t.equal(toProvider.status, 303);
  t.match(Object.fromEntries(new URL(toProvider.location).searchParams), {
    response_type: 'code',
    client_id: 'console',
    redirect_uri: 'https://console.example.com/login/callback',
    scope: 'openid profile email',
    code_challenge_method: 'S256',
    code_challenge: /^[\w-]{43}$/,
    state: /^[\w-]{43}$/,
    nonce: /^[\w-]{43}$/,
  });
  const headers = { 'sec-fetch-site': 'cross-site' };
  const back = await browser.send(`/login/callback?${provider.authorize(toProvider.location)}`, { headers });
  t.match(back, { status: 303, location: '/?worker=1' });
  const [set] = [back.headers['set-cookie']].flat().filter((each) => String(each).startsWith('__Host-portcullis='));
  t.match(set, /^__Host-portcullis=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
  t.equal(provider.tokenRequests.at(-1)?.get('redirect_uri'), 'https://console.example.com/login/callback');
  t.match(provider.tokenRequests.at(-1)?.get('code_verifier'), /^[\w-]{43}$/);
  const page = await browser.send('/');
  t.match(page, { status: 200, body: /ada@example\.com/, headers: { 'cache-control': 'no-store' } });
  await browser.send('/');
  const viewed = (await records()).filter(({ detail }) => detail?.event === 'console viewed');
  t.match(viewed, [{ stage: 'config', principal: { subject: 'ada', issuer: provider.issuer }, http: { path: '/' } }]);
  t.equal(viewed.length, 1, 'one record for a person, a page and a minute');
  t.equal((await records()).filter(({ detail }) => detail?.event === 'console log-in').length, 1);
});

t.test('logging out ends the session, needs the token of the page, and leads to no new log-in', async (t) => {
  const browser = openBrowser(gateway);
  await browser.enter(provider);
  const stolen = new Map(browser.cookies);
  t.equal((await browser.send('/logout', { method: 'POST', form: { csrf: 'guess' } })).status, 403);
  t.equal((await browser.send('/')).status, 200);
  const csrf = await browser.csrfToken();
  t.match(await browser.send('/logout', { method: 'POST', form: { csrf } }), { status: 303, location: '/logged-out' });
  t.match(await browser.send('/logged-out'), { status: 200, body: /logged out/ });
  for (const [name, value] of stolen) browser.cookies.set(name, value);
  t.equal((await browser.send('/')).status, 303, 'its id is of no use any more');
});

t.test('a name that a person may choose hides nobody: the subject stands first', async (t) => {
  provider.claims = { ...ada, email: `root@corp.example (root)${' '.repeat(300)}` };
  const browser = openBrowser(gateway);
  await browser.enter(provider);
  provider.claims = ada;
  t.match((await browser.send('/')).body, 'Signed in as ada (root@corp.example');
});

t.test('who is in no group of admin.allow is told so, and is recorded', async (t) => {
  provider.claims = { ...ada, groups: ['analysts'] };
  const browser = openBrowser(gateway);
  const answer = await browser.logIn(provider);
  provider.claims = ada;
  t.match(answer, { status: 403, body: /admin\.allow/ });
  t.notOk(browser.cookies.has('__Host-portcullis'));
  t.match((await records()).at(-1), {
    stage: 'completed',
    decision: 'deny',
    reason: 'denied',
    status: 403,
    principal: { subject: 'ada' },
    http: { path: '/login/callback' },
  });
});

t.test('a session ends when it is idle, after its time, and when access is taken away', async (t) => {
  const browser = openBrowser(gateway);
  await browser.enter(provider);
  offsetMs += sessionLimits.idleMs - 1000;
  t.equal((await browser.send('/')).status, 200);
  offsetMs += sessionLimits.idleMs - 1000;
  const script = { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'empty' };
  t.equal((await browser.send('/', { headers: script })).status, 200);
  offsetMs += 2000;
  t.equal((await browser.send('/')).status, 303, 'what a script asks for keeps no session');

  await browser.enter(provider);
  for (let used = 0; used < sessionLimits.absoluteMs; used += sessionLimits.idleMs - 1000) {
    t.equal((await browser.send('/')).status, 200);
    offsetMs += sessionLimits.idleMs - 1000;
  }
  t.equal((await browser.send('/')).status, 303);

  await browser.enter(provider);
  await scenario.reload({ admin: { allow: { claims: { groups: ['others'] } } } });
  t.equal((await browser.send('/')).status, 403);
  await scenario.reload();
  t.equal((await browser.send('/')).status, 303, 'the session is gone');
});

t.test('a session ends when its person is revoked', async (t) => {
  const browser = openBrowser(gateway);
  await browser.enter(provider);
  t.equal((await browser.send('/')).status, 200);
  await scenario.write('revoked.yaml', 'subjects: [staff/ada]\n');
  await until(async () => (await browser.send('/')).status !== 200, 'the session to end');
  t.equal((await browser.send('/')).status, 303);
  t.match(await browser.logIn(provider), { status: 401 }, 'and none begins');
  await scenario.write('revoked.yaml', '{}\n');
  await until(async () => (await browser.logIn(provider)).status === 303, 'the list to be empty');
});

t.test('guesses of one address beyond its rate are 429, and good callers go on', async (t) => {
  const { gateway, records } = await startScenario(
    t,
    {
      server: { limits: { refusalsPerAddress: '3/s' } },
      admin: { publicUrl: 'https://console.example.com', authenticate: 'keys', allow: { clients: ['reporting_tool'] } },
    },
    { now: () => 1_800_000_000_000 },
  );
  const ask = async (key: string) =>
    (await gateway.admin.inject({ url: '/', headers: { accept: '*/*', authorization: `Bearer ${key}` } })).statusCode;
  const statuses: number[] = [];
  for (let guess = 0; guess < 5; guess += 1) statuses.push(await ask(`sk_${String(guess).repeat(43)}`));
  t.same(statuses, [401, 401, 401, 429, 429]);
  t.equal(await ask(apiKey), 200);
  t.equal((await records()).filter(({ reason }) => reason === 'invalid_api_key').length, 3);
});

t.test('a person has few sessions, and the oldest makes room', async (t) => {
  const browsers = Array.from({ length: sessionLimits.ofPerson + 1 }, () => openBrowser(gateway));
  for (const browser of browsers) await browser.enter(provider);
  t.equal((await browsers[0]!.send('/')).status, 303);
  t.equal((await browsers[1]!.send('/')).status, 200);
});

t.test('an identity provider that refuses, is misconfigured or is away is told plainly', async (t) => {
  const browser = openBrowser(gateway);
  const refused = await browser.logIn(
    provider,
    (query) => `error=access_denied&error_description=%3Cb%3Eno&state=${new URLSearchParams(query).get('state')}`,
  );
  t.match(refused, { status: 403, body: /access_denied \(&#60;b&#62;no\)/ });
  provider.tokenAnswer = { status: 401, body: { error: 'invalid_client', error_description: 'secret s3cret' } };
  const misconfigured = await browser.logIn(provider);
  t.match(misconfigured, { status: 503, body: /invalid_client.*admin\.login/ });
  t.notMatch(misconfigured.body, 's3cret', 'what the provider repeats is for the operator');
  provider.tokenAnswer = { status: 502, body: {} };
  t.match(await browser.logIn(provider), { status: 503, body: /does not answer/ });
  provider.tokenAnswer = undefined;
  t.equal((await browser.logIn(provider)).status, 303);
  const token = await staffToken({ aud: 'https://console.example.com' });
  const metrics = await gateway.admin.inject({ url: '/metrics', headers: { authorization: `Bearer ${token}` } });
  for (const outcome of ['completed', 'denied', 'unavailable']) {
    t.match(metrics.body, new RegExp(`portcullis_logins_total{outcome="${outcome}"} [1-9]`));
  }
});

t.test('a token for the console is good for its pages, metrics and status; probes are open', async (t) => {
  const authorization = `Bearer ${await staffToken({ aud: 'https://console.example.com' })}`;
  const program = { authorization, accept: '*/*' };
  for (const url of ['/', '/metrics', '/status']) {
    t.equal((await gateway.admin.inject({ url, headers: program })).statusCode, 200, url);
    const refused = await gateway.admin.inject({ url, headers: { accept: '*/*' } });
    t.match(refused, { statusCode: 401, headers: { 'www-authenticate': /^Bearer realm="https:\/\/console/ } }, url);
    t.match(refused.json(), { code: 'credentials_required', status: 401 });
  }
  for (const url of ['/livez', '/readyz', '/.well-known/jwks.json']) {
    t.not((await gateway.admin.inject(url)).statusCode, 401, url);
  }
  const other = `Bearer ${await staffToken({ aud: 'https://mcp.example.com/mcp' })}`;
  t.equal((await gateway.admin.inject({ url: '/', headers: { authorization: other } })).statusCode, 401);
});
