// The console with log-in and TLS in a browser: a person logs in, ends a stream and revokes its credential by the buttons, and logs out.
import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { type LoginProvider, startLoginProvider } from '../../support/login-provider.ts';
import { until } from '../../support/until.ts';
import { startBrowser, violations, watchPage } from './browser.ts';
import { type ConsoleScene, startConsoleScene } from './scene.ts';

let provider: LoginProvider;
let scene: ConsoleScene;
let browser: Browser;

before(async () => {
  provider = await startLoginProvider();
  scene = await startConsoleScene(
    {
      admin: {
        tls: { certFile: 'tls.crt', keyFile: 'tls.key' },
        authenticate: 'staff',
        allow: { claims: { groups: ['platform'] } },
        login: { clientId: 'console' },
      },
      authenticators: { staff: { type: 'jwt', issuer: provider.issuer, claims: { groups: 'groups' } } },
    },
    true,
  );
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await scene?.close();
  await provider?.close();
});

async function records(): Promise<{ readonly stage: string; readonly detail?: { readonly event?: string } }[]> {
  const lines = (await readFile(join(scene.folder, 'audit.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line));
}

test('a person logs in, ends a stream and revokes its credential, and logs out', async () => {
  provider.claims = { groups: ['platform'] };
  const agent = await scene.token();
  const stream = await scene.hold(agent);
  const { close, complaints, page } = await watchPage(browser, scene.origin);
  await page.goto(`${scene.origin}/streams`);
  if (page.url().includes('/login')) await page.locator('main a, main button').first().click();
  await page.waitForURL(`${scene.origin}/streams*`);
  assert.equal(new URL(page.url()).pathname, '/streams', 'log-in leads back to the page that was asked for');
  const cookies = await page.context().cookies();
  const session = cookies.find(({ name }) => name === '__Host-portcullis');
  assert.ok(session?.httpOnly === true && session.secure && session.sameSite === 'Lax');
  assert.deepEqual(await violations(page), []);

  await page.getByRole('link', { name: /End or revoke/ }).click();
  assert.deepEqual(await violations(page), []);
  await page.click('#end');
  await stream.ended();
  await until(async () => (await records()).some(({ detail }) => /stream/.test(detail?.event ?? '')), 'a record of it');

  const another = await scene.hold(agent);
  await page.goto(`${scene.origin}/streams`);
  await page
    .getByRole('link', { name: /End or revoke/ })
    .first()
    .click();
  await page.click('#revoke');
  await another.ended();
  await until(async () => (await scene.call(agent, 'list_dashboards', {})) === 401, 'the token is refused');

  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForLoadState();
  const answer = await page.context().request.get(`${scene.origin}/streams`, { maxRedirects: 0 });
  assert.equal(answer.status(), 401, 'the session is over');
  assert.deepEqual(complaints, []);
  await close();
});

test('a person whom admin.allow does not name is told so, and sees nothing', async () => {
  provider.claims = { groups: ['sales'] };
  const { close, page } = await watchPage(browser, scene.origin);
  await page.goto(`${scene.origin}/decisions`);
  if (page.url().includes('/login') && !page.url().includes('/callback'))
    await page.locator('main a, main button').first().click();
  await page.waitForURL(/login\/callback/);
  const text = await page.innerText('body');
  assert.doesNotMatch(text, /Newest requests/);
  assert.match(text, /allow|not/i);
  assert.deepEqual(await violations(page), []);
  await close();
});
