// `npm run docs:build` and `npm run docs:dev`: writes the pages for VitePress into docs/.pages and runs it. The site is docs/.vitepress/dist.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sitePages } from './pages.ts';

const root = join(import.meta.dirname, '../../..');
const docs = join(root, 'docs');
const staged = join(docs, '.pages');

async function stage(): Promise<void> {
  const { pages, files } = await sitePages(root);
  for (const [path, text] of pages) write(path, text);
  for (const [path, file] of files) {
    const target = join(staged, 'public', path);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(root, file), target);
  }
  cpSync(join(docs, 'images'), join(staged, 'images'), { recursive: true });
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(staged, path)), { recursive: true });
  writeFileSync(join(staged, path), text);
}

/** The generator has a package.json of its own, so that `npm ci` of the gateway does not bring it. */
function install(): void {
  if (existsSync(join(docs, 'node_modules/vitepress/package.json'))) return;
  console.error('docs: installing the generator into docs/node_modules (npm ci)');
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: docs, stdio: 'inherit' });
  if (status === 0) return;
  const reason = error === undefined ? `npm ci in docs ended with ${status}` : `npm: ${error.message}`;
  console.error(
    `docs: the site needs VitePress, and it cannot be installed: ${reason}. With a registry at hand, run \`npm ci\` in docs and try again.`,
  );
  process.exit(1);
}

const [command = 'build', ...options] = process.argv.slice(2);
if (!['build', 'dev', 'preview'].includes(command)) {
  console.error(
    'usage: node test/docs/site/build.ts build|dev|preview [OPTIONS of VitePress, such as --base /portcullis/]',
  );
  process.exit(2);
}
install();
if (command !== 'preview') {
  rmSync(staged, { recursive: true, force: true });
  await stage();
}
if (command === 'dev') {
  watch(docs, (_, name) => {
    if (name?.endsWith('.md')) stage().catch((error: unknown) => console.error(error));
  });
}
const vitepress = join(docs, 'node_modules/vitepress/bin/vitepress.js');
const child = spawn(process.execPath, [vitepress, command, ...options], { cwd: docs, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code ?? 1));
