// Attack: a page that an operator has open beside the console posts to it (CSRF), loads or frames it, or reaches it by a name of its own that it has bound
// to the address of the listener (DNS rebinding); the operator's cookie, certificate or place on the machine does the rest.
import t from 'tap';
import { openBrowser } from '../support/console-browser.ts';
import { startLoginProvider } from '../support/login-provider.ts';
import { startScenario } from '../support/scenario.ts';

const provider = await startLoginProvider();
t.teardown(provider.close);
const guarded = await startScenario(t, {
  admin: { publicUrl: 'https://console.example.com', authenticate: 'staff', login: { clientId: 'console' } },
  authenticators: { staff: { type: 'jwt', issuer: provider.issuer } },
});
const local = await startScenario(t);

const page = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
/** Sent by a browser for a page of somebody else. */
const foreign: Record<string, Readonly<Record<string, string>>> = {
  'a load by its script': { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', origin: 'https://evil.example' },
  'a load of an image': { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
  'a frame': { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  'another port of this host': { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
  'a page without an origin': { origin: 'null', 'sec-fetch-site': 'cross-site', ...page },
  'an older browser': { origin: 'https://evil.example' },
};

t.test('a page of somebody else loads and frames nothing of the console', async (t) => {
  const browser = openBrowser(guarded.gateway);
  await browser.enter(provider);
  const cookie = [...browser.cookies].map((pair) => pair.join('=')).join('; ');
  const targets = [
    { scenario: guarded, headers: { host: 'console.example.com', cookie } },
    { scenario: local, headers: { host: 'localhost:9090' } },
  ];
  for (const { scenario, headers } of targets) {
    for (const [name, sent] of Object.entries(foreign)) {
      const answer = await scenario.gateway.admin.inject({ url: '/', headers: { ...headers, accept: '*/*', ...sent } });
      t.match(answer, { statusCode: 403 }, `${headers.host}: ${name}`);
      t.equal(answer.json().code, 'origin_denied');
      const record = (await scenario.records()).at(-1);
      t.match(record, {
        stage: 'completed',
        decision: 'deny',
        reason: 'origin_denied',
        status: 403,
        http: { path: '/' },
      });
    }
    const link = { 'sec-fetch-site': 'cross-site', accept: 'text/html', ...page };
    const shown = await scenario.gateway.admin.inject({ url: '/', headers: { ...headers, ...link } });
    t.match(shown, {
      statusCode: 200,
      headers: {
        'cache-control': 'no-store',
        'content-security-policy': /frame-ancestors 'none'/,
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'referrer-policy': 'same-origin',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      },
    });
  }
});

t.test('a page of somebody else posts nothing, whatever the browser adds to it', async (t) => {
  const browser = openBrowser(guarded.gateway);
  await browser.enter(provider);
  const csrf = await browser.csrfToken();
  t.match(csrf, /^[\w-]{43}$/);
  const post = (headers: Readonly<Record<string, string | undefined>>, form: Readonly<Record<string, string>>) =>
    browser.send('/logout', { method: 'POST', headers, form });
  const attempts: [string, Readonly<Record<string, string | undefined>>, Readonly<Record<string, string>>][] = [
    ['from elsewhere, with the token', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, { csrf }],
    ['from elsewhere, by an older browser', { origin: 'https://evil.example', 'sec-fetch-site': undefined }, { csrf }],
    ['from a sandbox', { origin: 'null', 'sec-fetch-site': 'cross-site' }, { csrf }],
    ['from another port', { 'sec-fetch-site': 'same-site' }, { csrf }],
    ['without an origin, from elsewhere', { origin: undefined, 'sec-fetch-site': 'cross-site' }, { csrf }],
    ['without a token', {}, {}],
    ['with an empty one', {}, { csrf: '' }],
    ['with a guessed one', {}, { csrf: 'A'.repeat(43) }],
  ];
  const other = openBrowser(guarded.gateway);
  await other.enter(provider);
  attempts.push(['with that of another session of the same person', {}, { csrf: await other.csrfToken() }]);
  for (const [name, headers, form] of attempts) {
    t.equal((await post(headers, form)).status, 403, name);
    t.match((await guarded.records()).at(-1), { decision: 'deny', reason: 'origin_denied', http: { method: 'POST' } });
  }
  t.equal((await browser.send('/')).status, 200, 'the session goes on');
  const text = await guarded.gateway.admin.inject({
    method: 'POST',
    url: '/logout',
    headers: {
      host: 'console.example.com',
      'content-type': 'text/plain',
      cookie: [...browser.cookies].map((p) => p.join('=')).join(),
    },
    payload: `csrf=${csrf}`,
  });
  t.equal(text.statusCode, 415, 'a body that is no form');
  t.equal((await post({}, { csrf })).status, 303);
});

t.test('a rebound name and a proxy do not reach the console that asks nobody', async (t) => {
  const accept = 'text/html';
  for (const host of ['evil.example', 'evil', 'evil.local', 'printer.internal', 'a.svc', '127.0.0.1.evil.example']) {
    const answer = await local.gateway.admin.inject({ url: '/', headers: { host, accept } });
    t.equal(answer.statusCode, 421, host);
  }
  for (const host of ['127.0.0.1:9090', '[::1]:9090', 'localhost', 'LOCALHOST:1', '10.1.2.3:9090']) {
    t.equal((await local.gateway.admin.inject({ url: '/', headers: { host, accept } })).statusCode, 200, host);
  }
  const added = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'];
  for (const header of [...added, 'x-client-ip', 'true-client-ip', 'cf-connecting-ip']) {
    const headers = { host: 'localhost', accept, [header]: '203.0.113.9' };
    const answer = await local.gateway.admin.inject({ url: '/', headers });
    t.match(answer, { statusCode: 403, body: /admin\.authenticate/ }, header);
  }
  const posted = await local.gateway.admin.inject({ method: 'POST', url: '/logout', headers: { host: 'localhost' } });
  t.equal(posted.statusCode, 403, 'nobody can act where nobody is asked');
});
