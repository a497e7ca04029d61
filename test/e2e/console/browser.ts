// Chromium of Debian, driven by playwright-core, and what a page does in it.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Where the program is looked for, in this order. */
export const programs = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chrome'];

/** The browser's file; undefined where this machine has none. */
export function browserProgram(): string | undefined {
  return programs.find((path) => path !== undefined && existsSync(path));
}

const quiet = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts it without a window. `names` are host names that stand for 127.0.0.1, as a rebound name does. */
export async function startBrowser(names: readonly string[] = []): Promise<Browser> {
  const executablePath = browserProgram();
  if (executablePath === undefined) throw new Error('no Chromium');
  const rules = names.map((name) => `MAP ${name} 127.0.0.1`).join(', ');
  return chromium.launch({
    executablePath,
    args: [...quiet, ...(rules === '' ? [] : [`--host-resolver-rules=${rules}`])],
  });
}

/** A page with a record of what it did. */
export interface WatchedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors and warnings of the browser's console, and uncaught errors. */
  readonly complaints: readonly string[];
  /** Requests to another origin than the page's own. */
  readonly foreign: readonly string[];
  /** Bytes of the bodies of all answers so far, as they are after decoding. */
  weight(): Promise<number>;
  close(): Promise<void>;
}

/** Opens a page in a context of its own: no cookie and no cache of another one. */
export async function watchPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const foreign: string[] = [];
  const bodies: Promise<number>[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) foreign.push(url);
  });
  page.on('response', (response) => {
    // A stream of events has no end that one could wait for.
    if (response.headers()['content-type']?.startsWith('text/event-stream')) return;
    bodies.push(
      response.body().then(
        ({ length }) => length,
        () => 0,
      ),
    );
  });
  return {
    page,
    context,
    complaints,
    foreign,
    weight: async () => (await Promise.all(bodies)).reduce((sum, length) => sum + length, 0),
    close: () => context.close(),
  };
}

const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** Violations that axe finds, each with the elements. The page's policy of content stays as it is: the script is put in by the debugger. */
export async function violations(page: Page): Promise<string[]> {
  const { readFile } = await import('node:fs/promises');
  await page.evaluate(`${await readFile(axeFile, 'utf8')}; undefined`);
  const found = (await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, help, nodes }) => id + ': ' + help + ': ' + nodes.slice(0, 3).map(({ html, failureSummary }) => html + ' ' + failureSummary).join(' | ')))`,
  )) as string[];
  return found;
}

/** Pixels by which the page is wider than its window. */
export async function sidewaysScroll(page: Page): Promise<number> {
  return (await page.evaluate(
    'document.scrollingElement.scrollWidth - document.documentElement.clientWidth',
  )) as number;
}
