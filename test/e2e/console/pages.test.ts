// Each page of the console in a browser: three widths, light and dark, with and without script.
import { strict as assert } from 'node:assert';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { sidewaysScroll, startBrowser, violations, watchPage } from './browser.ts';
import { type ConsoleScene, makeTraffic, startConsoleScene } from './scene.ts';

const pages = ['/', '/decisions', '/policy', '/credentials', '/streams', '/connect'];
const widths = [360, 768, 1280];
const themes = ['light', 'dark'] as const;
const photographs = process.env.PHOTOGRAPHS;

let scene: ConsoleScene;
let browser: Browser;

before(async () => {
  scene = await startConsoleScene();
  browser = await startBrowser();
  await makeTraffic(scene);
  if (photographs !== undefined) await mkdir(photographs, { recursive: true });
});
after(async () => {
  await browser?.close();
  await scene?.close();
});

for (const path of pages) {
  test(`${path}: no error, no request elsewhere, below 100 KB, no violation, no sideways scroll`, async () => {
    for (const theme of themes) {
      for (const width of widths) {
        const which = `${path} at ${width} px, ${theme}`;
        const watched = await watchPage(browser, scene.origin, {
          viewport: { width, height: 900 },
          colorScheme: theme,
        });
        const { page } = watched;
        const answer = await page.goto(scene.origin + path, { waitUntil: 'load' });
        assert.equal(answer?.status(), 200, which);
        await page.waitForSelector('main h1');
        assert.ok((await watched.weight()) < 100_000, `${which} weighs ${await watched.weight()} bytes`);
        assert.deepEqual(await violations(page), [], which);
        assert.ok((await sidewaysScroll(page)) <= 0, `${which} is ${await sidewaysScroll(page)} px too wide`);
        if (photographs !== undefined) {
          const name = `${path === '/' ? 'overview' : path.slice(1)}-${width}-${theme}.png`;
          await page.screenshot({ path: join(photographs, name), fullPage: true });
        }
        assert.deepEqual(watched.complaints, [], which);
        assert.deepEqual(watched.foreign, [], which);
        await watched.close();
      }
    }
  });

  test(`${path}: readable without script, and by the keyboard`, async () => {
    const plain = await watchPage(browser, scene.origin, { javaScriptEnabled: false });
    await plain.page.goto(scene.origin + path);
    assert.ok((await plain.page.innerText('main')).length > 50, 'the page says something');
    assert.deepEqual(plain.complaints, []);
    await plain.close();
    const { page, close } = await watchPage(browser, scene.origin);
    await page.goto(scene.origin + path, { waitUntil: 'load' });
    await page.keyboard.press('Tab');
    assert.match(await page.evaluate('document.activeElement.textContent'), /skip/i);
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate('document.activeElement.id'), 'main');
    await close();
  });
}
