// Attack: a stranger at the address of an operator, or a page that the operator has open beside the console, uses up the rate of that address with
// refused requests, so that the operator's session, key and log-in are refused as well, and the session ends.
import t from 'tap';
import { apiKey } from '../support/configuration.ts';
import { openBrowser } from '../support/console-browser.ts';
import { startLoginProvider } from '../support/login-provider.ts';
import { startScenario } from '../support/scenario.ts';

const provider = await startLoginProvider();
t.teardown(provider.close);
const time = Date.now();
const { gateway, records, reload, upstream } = await startScenario(
  t,
  {
    server: { limits: { refusalsPerAddress: '3/s' } },
    admin: {
      publicUrl: 'https://console.example.com',
      authenticate: { anyOf: ['staff', 'keys'] },
      login: { clientId: 'console' },
      metrics: 'protected',
    },
    authenticators: { staff: { type: 'jwt', issuer: provider.issuer } },
  },
  { now: () => time },
);
const metrics = async (key: string) => {
  const headers = { accept: '*/*', authorization: `Bearer ${key}` };
  return (await gateway.admin.inject({ url: '/metrics', headers })).statusCode;
};

t.test('refusals of an address, cross-site images and bad keys, keep nobody there from the console', async (t) => {
  const operator = openBrowser(gateway);
  await operator.enter(provider);
  const image = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' };
  const statuses: number[] = [];
  for (let load = 0; load < 5; load += 1) statuses.push((await operator.send('/', { headers: image })).status);
  t.same(statuses, [403, 403, 403, 429, 429]);
  t.equal(await metrics(`sk_${'x'.repeat(43)}`), 429, 'a bad key');
  t.equal((await operator.send('/')).status, 200, 'the session goes on');
  t.equal(await metrics(apiKey), 200, 'a good key');
  const other = openBrowser(gateway);
  t.match(await other.send('/'), { status: 303, location: '/login?next=%2F' }, 'who is not logged in is sent to do so');
  t.equal((await other.logIn(provider)).status, 303, 'a log-in');
  t.equal((await other.send('/')).status, 200);
  t.equal((await records()).filter(({ reason }) => reason === 'origin_denied').length, 3);
  t.equal(upstream.requests.length, 0);

  await reload({ admin: { allow: { clients: ['keys/reporting_tool'] } } });
  t.equal((await operator.send('/')).status, 429, 'a right that is gone, at an address over its rate');
  await reload();
  t.match(await operator.send('/'), { status: 303 }, 'its session has ended');
  t.equal((await other.send('/')).status, 200, 'another one has not');
});

t.test('codes that the identity provider does not know have a rate of their own', async (t) => {
  const stranger = openBrowser(gateway);
  const guess = (query: string) => query.replace(/code=[^&]*/, 'code=guess');
  for (let attempt = 0; attempt < 30; attempt += 1) await stranger.logIn(provider, guess);
  const asked = provider.tokenRequests.length;
  t.equal((await stranger.logIn(provider, guess)).status, 429);
  t.equal(provider.tokenRequests.length, asked, 'the identity provider is not asked');
});
