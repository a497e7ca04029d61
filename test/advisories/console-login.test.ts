// Attack: somebody who wants into the console, or an operator's browser into the attacker's session, sends an answer of the identity provider that is
// not the one to this log-in: another's code (login CSRF, code injection), an ID token that is unsigned, for another client, of another log-in or signed
// with another key, and a page to go to afterwards that lies elsewhere (open redirect).
import { createHmac } from 'node:crypto';
import t, { type Test } from 'tap';
import { pageOf } from '../../src/console/access/login-routes.ts';
import { openBrowser } from '../support/console-browser.ts';
import { createSigningKey, signToken } from '../support/issuer.ts';
import { startLoginProvider } from '../support/login-provider.ts';
import { startScenario } from '../support/scenario.ts';

const provider = await startLoginProvider();
t.teardown(provider.close);
const origin = 'https://console.example.com';
const { gateway, records, upstream } = await startScenario(t, {
  admin: {
    publicUrl: origin,
    authenticate: 'staff',
    allow: { claims: { groups: ['platform'] } },
    login: { clientId: 'console' },
  },
  authenticators: { staff: { type: 'jwt', issuer: provider.issuer, claims: { groups: 'groups' } } },
});
const good = { groups: ['platform'] };
provider.claims = good;

async function holdsRefused(t: Test, name: string, query?: (query: string) => string): Promise<void> {
  const browser = openBrowser(gateway);
  const answer = await browser.logIn(provider, query);
  t.match(answer, { status: 401, headers: { 'cache-control': 'no-store' } }, name);
  t.notOk(browser.cookies.has('__Host-portcullis'), `${name}: no session`);
  t.notOk(browser.cookies.has('__Host-portcullis-login'), `${name}: the attempt is used up`);
  const record = (await records()).at(-1);
  t.match(record, { stage: 'completed', decision: 'deny', reason: 'invalid_token', http: { path: '/login/callback' } });
  t.equal((await browser.send('/')).status, 303, `${name}: nothing is seen`);
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = Math.floor(Date.now() / 1000);

t.test('an ID token that is not good makes no session', async (t) => {
  const changed: Record<string, Readonly<Record<string, unknown>>> = {
    'another nonce': { nonce: 'guessed' },
    'no nonce': { nonce: undefined },
    'another client': { aud: 'other-client' },
    'several clients and none that asked': { aud: ['console', 'other-client'], azp: 'other-client' },
    'another issuer': { iss: 'https://evil.example.com' },
    expired: { exp: now - 60 },
    'no end': { exp: undefined },
    'no subject': { sub: undefined },
    'one audience, for another party': { azp: 'other-client' },
  };
  for (const [name, claims] of Object.entries(changed)) {
    provider.claims = { ...good, ...claims };
    await holdsRefused(t, name);
  }
  provider.claims = good;
  const other = createSigningKey('ES256', provider.key.kid);
  const tokens: Record<string, NonNullable<typeof provider.idToken>> = {
    'alg none': (claims) =>
      `${part({ alg: 'none', typ: 'JWT' })}.${part({ iss: provider.issuer, exp: now + 60, iat: now, ...claims })}.`,
    'another key of the same name': (claims) =>
      signToken(provider.issuer, claims, { key: other, header: { typ: 'JWT' } }),
    'HMAC with the public key': (claims) => {
      const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ iss: provider.issuer, exp: now + 60, iat: now, ...claims })}`;
      const pem = provider.key.publicKey.export({ type: 'spki', format: 'pem' });
      return `${signed}.${createHmac('sha256', pem).update(signed).digest('base64url')}`;
    },
    'an access token': (claims) => signToken(provider.issuer, claims, { key: provider.key }),
  };
  for (const [name, idToken] of Object.entries(tokens)) {
    provider.idToken = idToken;
    await holdsRefused(t, name);
  }
  provider.idToken = undefined;
});

t.test("an answer to another browser's log-in, or to none, makes no session", async (t) => {
  const attacker = openBrowser(gateway);
  const theirs = provider.authorize((await attacker.send('/login')).location);
  await holdsRefused(t, 'login CSRF: the code and state of the attacker', () => theirs);
  const code = new URLSearchParams(theirs).get('code')!;
  await holdsRefused(t, 'code injection: their code under the own state', (query) => {
    const own = new URLSearchParams(query);
    own.set('code', code);
    return own.toString();
  });
  await holdsRefused(t, 'no state', (query) => query.replace(/&state=.*/, ''));
  await holdsRefused(t, 'two states', (query) => `${query}&state=x`);
  const asked = provider.tokenRequests.length;
  const victim = openBrowser(gateway);
  const headers = { 'sec-fetch-site': 'cross-site' };
  t.equal((await victim.send(`/login/callback?${theirs}`, { headers })).status, 401, 'a browser that began none');
  victim.cookies.set('__Host-portcullis-login', [...attacker.cookies.values()].join('').slice(0, -4).concat('AAAA'));
  t.equal((await victim.send(`/login/callback?${theirs}`, { headers })).status, 401, 'a changed cookie');
  t.equal(provider.tokenRequests.length, asked, 'the identity provider is not asked');
});

t.test('nobody gets a session whose id somebody else has', async (t) => {
  const fixed = 'a'.repeat(43);
  const browser = openBrowser(gateway);
  browser.cookies.set('__Host-portcullis', fixed);
  await browser.enter(provider);
  t.not(browser.cookies.get('__Host-portcullis'), fixed, 'fixation: the id is new');
  const attacker = openBrowser(gateway);
  attacker.cookies.set('__Host-portcullis', fixed);
  t.equal((await attacker.send('/')).status, 303);
  const first = browser.cookies.get('__Host-portcullis')!;
  await browser.enter(provider);
  attacker.cookies.set('__Host-portcullis', first);
  t.equal((await attacker.send('/')).status, 303, 'the one before ends at the next log-in');
});

t.test('after log-in a browser goes to a page of the console and nowhere else', async (t) => {
  const elsewhere = [
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    '/\\/evil.example',
    '/..//evil.example',
    '/a/..//evil.example',
    '/%2e%2e//evil.example',
    '/\t/evil.example',
    'javascript:alert(1)',
  ];
  elsewhere.push('/%0d%0aset-cookie:a=b\r\n', '/login?next=/', '/logout', '/login/callback', '', 'evil');
  for (const next of elsewhere)
    t.equal(pageOf(next, origin), '/', `to ${JSON.stringify(next).replace(/[^ -~]/g, '?')}`);
  for (const next of ['/', '/policy?rule=a%20b', '/decisions?since=1#x', '/a/../policy']) {
    t.match(pageOf(next, origin), /^\/(?!\/)/, next);
  }
  t.equal(pageOf('/policy?rule=1', origin), '/policy?rule=1');
  const browser = openBrowser(gateway);
  const { location } = await browser.send(`/login?next=${encodeURIComponent('//evil.example/')}`);
  const headers = { 'sec-fetch-site': 'cross-site' };
  const back = await browser.send(`/login/callback?${provider.authorize(location)}`, { headers });
  t.match(back, { status: 303, location: '/' });
  t.equal(upstream.requests.length, 0);
});
