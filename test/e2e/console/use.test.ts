// The pages in use: live decisions, filters, why, the matrix, the explain form, the check of an endpoint; and what other pages can do to them.
import { strict as assert } from 'node:assert';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { startBrowser, type WatchedPage, watchPage } from './browser.ts';
import { type ConsoleScene, makeTraffic, startConsoleScene } from './scene.ts';

const rebound = 'rebound.example';

let scene: ConsoleScene;
let browser: Browser;
let agent: string;

before(async () => {
  scene = await startConsoleScene();
  browser = await startBrowser([rebound]);
  await makeTraffic(scene);
  agent = await scene.token();
});
after(async () => {
  await browser?.close();
  await scene?.close();
});

async function open(path: string): Promise<WatchedPage> {
  const watched = await watchPage(browser, scene.origin);
  await watched.page.goto(scene.origin + path);
  return watched;
}

/** Closes it, and fails where it complained. */
async function leave({ close, complaints, foreign }: WatchedPage): Promise<void> {
  assert.deepEqual(complaints, []);
  assert.deepEqual(foreign, []);
  await close();
}

test('a request shows while the page is open, and none while it is paused', async () => {
  const watched = await open('/decisions');
  const { page } = watched;
  await page.getByText('Live', { exact: false }).first().waitFor();
  const rows = page.locator('#decisions tbody tr');
  const earlier = await rows.count();
  await scene.call(agent, 'get_live_one', {});
  await page.locator('#decisions', { hasText: 'get_live_one' }).waitFor();
  assert.ok((await rows.count()) > earlier);
  await page.click('#pause');
  await scene.call(agent, 'get_paused_one', {});
  await page.getByText('Paused', { exact: false }).first().waitFor();
  assert.equal(await page.locator('#decisions', { hasText: 'get_paused_one' }).count(), 0);
  await page.click('#pause');
  await page.locator('#decisions', { hasText: 'get_paused_one' }).waitFor();
  await leave(watched);
});

test('a name of a client or tool is text, however it looks', async () => {
  const watched = await open('/decisions');
  const { page } = watched;
  await page.locator('#decisions', { hasText: '<img src=x onerror=alert(1)>' }).waitFor();
  assert.equal(await page.locator('main img, main table script').count(), 0);
  await leave(watched);
});

test('a filter finds denied requests, and one of them says why', async () => {
  const watched = await open('/decisions');
  const { page } = watched;
  await page.selectOption('select[name=decision]', 'deny');
  await page.fill('input[name=tool]', 'execute_sql');
  await page.click('form.filter button');
  const first = page.locator('#decisions tbody tr a').first();
  await first.waitFor();
  await first.click();
  await page.waitForURL(/\/decisions\/[^?]+/);
  assert.match(await page.innerText('main'), /queries:execute/);
  await leave(watched);
});

test('the policy: rules with hits, one that never matched, and a stated request explained', async () => {
  const watched = await open('/policy');
  const { page } = watched;
  const text = await page.innerText('main');
  assert.match(text, /never/i);
  assert.match(text, /sql/);
  await page.goto(`${scene.origin}/policy?view=explain`);
  const form = page.locator('#explain');
  await form.waitFor();
  assert.ok((await form.locator('input, textarea, select').count()) > 3);
  await page.goto(`${scene.origin}/policy?view=who-can`);
  for (let looks = 0; looks < 100 && (await page.locator('#matrix').count()) === 0; looks++) await page.reload();
  assert.match(await page.innerText('#matrix'), /execute_sql/);
  await leave(watched);
});

test('an endpoint is checked as a client sees it', async () => {
  const watched = await open('/connect');
  const { page } = watched;
  await page.getByRole('button', { name: 'Check as a client sees it' }).click();
  await page.getByText('The answer says where to log in.').waitFor();
  await page.getByText('Claude Code', { exact: true }).click();
  assert.match(await page.innerText('main'), /"type": "http"/);
  await leave(watched);
});

test('the theme is chosen by its button and kept', async () => {
  const watched = await open('/');
  const { page } = watched;
  await page.click('#theme');
  await page.click('#theme');
  assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark');
  await page.goto(`${scene.origin}/streams`);
  assert.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark');
  await leave(watched);
});

test('an open stream is shown with whose it is, and no button where nobody is asked who it is', async () => {
  const watched = await open('/streams');
  const { page } = watched;
  assert.match(await page.innerText('main'), /ai_agent_prod/);
  assert.equal(await page.locator('main form[method=post]').count(), 0);
  await leave(watched);
});

test('a page of another site cannot post to the console, frame it, or read it; nor under a rebound name', async () => {
  const target = scene.origin;
  const content = `<!doctype html><iframe id=f src="${target}/"></iframe>
<form id=p method=post action="${target}/streams/order"><input name=order value=end><input name=stream value=1></form>`;
  const foreign: Server = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(content),
  ).listen(0, '127.0.0.1');
  await new Promise((resolve) => foreign.once('listening', resolve));
  const origin = `http://127.0.0.1:${(foreign.address() as AddressInfo).port}`;
  try {
    const { page, close } = await watchPage(browser, origin);
    await page.goto(origin);
    const frame = page.frames().find((each) => each !== page.mainFrame());
    assert.doesNotMatch((await frame?.content().catch(() => '')) ?? '', /Portcullis/, 'the frame stays empty');
    const read = await page.evaluate(
      `fetch('${target}/decisions').then((a) => a.text(), (error) => 'refused ' + error.name)`,
    );
    assert.match(String(read), /^refused/);
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'POST'),
      page.evaluate("document.getElementById('p').submit()"),
    ]);
    assert.ok([400, 403, 404, 405, 421].includes(answer.status()), `a posted form got ${answer.status()}`);
    await close();
  } finally {
    foreign.close();
  }
  const { page, close } = await watchPage(browser, `http://${rebound}:${scene.adminPort}`);
  const answer = await page.goto(`http://${rebound}:${scene.adminPort}/decisions`);
  assert.equal(answer?.status(), 421);
  assert.doesNotMatch(await page.content(), /ai_agent_prod/);
  await close();
});
