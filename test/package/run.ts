// `npm run test:package`: the tarball as its users get it: packed, installed into an empty folder, each kind of command run, by its name, by npx, and completed by shells.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callOf, freePort, launch, type Running, startScene, untilAnswers, untilRuns } from '../deploy/scene.ts';
import { checkCompletion } from './completion.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'portcullis-package-'));
const app = join(folder, 'app');
const scene = await startScene();
const started: Running[] = [];
try {
  const { files, tarball, size, unpackedSize } = pack();
  checkFiles(files);
  say(`${files.length} files, ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} unpacked`);

  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{"private":true}');
  run(app, 'npm', ['install', '--omit=dev', '--no-audit', '--no-fund', '--ignore-scripts', tarball]);
  const packages = packagesIn(join(app, 'node_modules'));
  const bytes = run(app, 'du', ['-sk', 'node_modules']).split('\t')[0];
  say(`an install has ${packages.length} packages, ${bytes} KB`);
  for (const name of [
    'commander',
    'zod',
    'oidc-provider',
    '@modelcontextprotocol/sdk',
    'pino-pretty',
    '@redis/client',
    '@opentelemetry/sdk-trace',
  ]) {
    assert.ok(!packages.includes(name), `${name} is not installed`);
  }

  checkBillOfMaterials();
  const bin = join(app, 'node_modules/.bin/portcullis');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(run(app, bin, ['--version']), `${version}\n`);
  assert.equal(run(app, 'npx', ['--offline', '--', 'mcp-portcullis', '--version']), `${version}\n`);
  checkOldNode(join(app, 'node_modules/mcp-portcullis/dist/main.js'));

  await checkServe(bin);
  await checkDev([bin, 'dev']);
  // From the tarball alone, as `npx mcp-portcullis dev` does from the registry.
  await checkDev(['npx', '--yes', `file:${tarball}`, 'dev']);
  await checkCompletion(bin, mkdtempSync(join(folder, 'completion-')));
  console.log('package: ok');
} finally {
  await Promise.all(started.map((running) => running.stop('SIGKILL')));
  await scene.close();
  rmSync(folder, { recursive: true, force: true });
}

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

function pack() {
  const text = run(root, 'npm', ['pack', '--json', '--pack-destination', folder]);
  const [packed] = Object.values(JSON.parse(text.slice(text.search(/^[[{]/m)))) as Packed[];
  const files = packed!.files.map(({ path }) => path).sort();
  return { ...packed!, files, tarball: join(folder, packed!.filename) };
}

/** What users need is in it, and nothing else. */
function checkFiles(files: readonly string[]): void {
  const named = [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'gateway.example.yaml',
    'gateway.example.cases.yaml',
    'gateway.schema.json',
  ];
  for (const name of [
    ...named,
    'dist/main.js',
    'dist/file-thread.js',
    'dist/LICENSES.txt',
    'dist/assets/console.css',
    'dist/portcullis.1',
  ]) {
    assert.ok(files.includes(name), `${name} is in the package`);
  }
  const others = files.filter(
    (file) => !named.includes(file) && !/^dist\/[\w./@-]+\.(js|cjs|css|svg|txt|1)$/.test(file),
  );
  assert.deepEqual(others, [], 'nothing else is in it');
}

/** An old Node is told what to type. */
function checkOldNode(main: string): void {
  const old = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})";
  const { status, stderr } = spawnSync(process.execPath, [`--import=${old}`, main, 'dev'], { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stderr, /needs Node\.js 24\.17 .* this is 20\.20\.2\n.*npx .*node@24.* portcullis dev\n$/);
}

/** `check`, then a gateway that lets a call in and refuses one. */
async function checkServe(bin: string): Promise<void> {
  const { running, expectAuthentication } = await scene.serve(
    { type: 'file', path: join(folder, 'audit.jsonl') },
    (configuration) => {
      const file = join(configuration, 'gateway.yaml');
      assert.match(run(app, bin, ['check', '-c', file]), /valid/);
      return [bin, 'serve', '-c', file];
    },
  );
  await expectAuthentication();
  assert.equal(await running.stop('SIGTERM'), 0);
  assert.match(run(app, bin, ['audit', 'verify', join(folder, 'audit.jsonl')]), /^valid: /m);
}

/** The demo: one call is allowed, and one is refused. */
async function checkDev(command: readonly string[]): Promise<void> {
  const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const names = ['--port', '--admin-port', '--issuer-port', '--upstream-port'];
  const directory = mkdtempSync(join(folder, 'dev-'));
  const running = launch([
    ...command,
    '--directory',
    directory,
    ...names.flatMap((name, index) => [name, String(ports[index])]),
  ]);
  started.push(running);
  await untilRuns(() => Promise.resolve(/Ctrl-C/.test(running.output())), 'dev says how it is stopped', running);
  await untilAnswers(`http://127.0.0.1:${ports[1]}/readyz`, running);
  await checkConsole(`http://127.0.0.1:${ports[1]}`);
  const ca = readFileSync(join(directory, 'pki/ca.crt'), 'utf8');
  const post = (headers: Readonly<Record<string, string>>) =>
    statusOf(`https://localhost:${ports[0]}/mcp`, ca, headers);
  assert.equal(await post({}), 401, 'nobody is refused');
  assert.equal(await post({ 'x-api-key': apiKeyIn(directory, running) }), 200, 'a client is allowed');
  say(`${command.slice(0, -1).join(' ')} dev: one call allowed, one refused`);
  await running.stop('SIGKILL');
}

/** The console has its page and every file that the page names. */
async function checkConsole(origin: string): Promise<void> {
  const page = await fetch(origin, { headers: { accept: 'text/html' } });
  assert.equal(page.status, 200);
  const files = new Set((await page.text()).match(/\/assets\/[^"]+/g));
  assert.ok(files.size > 3, `${files.size} files`);
  for (const file of files) assert.equal((await fetch(`${origin}${file}`)).status, 200, file);
}

/** The status of a call of a tool. */
async function statusOf(
  url: string,
  ca: string,
  headers: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  const accept = 'application/json, text/event-stream';
  const outgoing = request(url, {
    method: 'POST',
    ca,
    agent: false,
    headers: { 'content-type': 'application/json', accept, ...headers },
  });
  outgoing.end(callOf('list_dashboards'));
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  answer.destroy();
  return answer.statusCode;
}

/** The reporting tool's key, which the demo writes down for its user. */
function apiKeyIn(directory: string, running: Running): string {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  const texts = [running.output(), ...files.map(({ name }) => readFileSync(join(directory, name), 'utf8'))];
  const key = /\bsk_[\w-]{30,}/.exec(texts.join('\n'))?.[0];
  assert.ok(key, 'the demo shows a key');
  return key;
}

interface BillOfMaterials {
  readonly bomFormat: string;
  readonly metadata: { readonly component: { readonly name: string; readonly purl: string } };
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly purl?: string;
    readonly licenses?: readonly unknown[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** Every package that the lock file has for production or that is bundled has a row with its address and licence, and every reference leads to a row. */
function checkBillOfMaterials(): void {
  const bill = JSON.parse(run(root, 'npm', ['run', '--silent', 'sbom'])) as BillOfMaterials;
  assert.equal(bill.bomFormat, 'CycloneDX');
  assert.equal(bill.metadata.component.name, 'mcp-portcullis');
  assert.match(bill.metadata.component.purl, /^pkg:npm\/mcp-portcullis@/);
  const unknown = bill.components.filter(
    ({ purl, licenses = [] }) => !purl?.startsWith('pkg:npm/') || licenses.length === 0,
  );
  assert.deepEqual(unknown, [], 'each has a package URL and a licence');
  const rows = new Set(bill.components.map((component) => component['bom-ref'].replace(/(?<=.)@[^@]*$/, '')));
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly dev?: true; readonly devOptional?: true }>>;
  };
  const production = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 13));
  assert.ok(production.length > 60, `${production.length} packages for production`);
  const bundled = ['commander', 'zod', 'oidc-provider', '@modelcontextprotocol/sdk', 'pino-pretty'];
  const missing = [...production, ...bundled].filter((name) => !rows.has(name));
  assert.deepEqual(missing, [], 'each package has a row');
  const references = new Set([
    ...bill.components.map((component) => component['bom-ref']),
    ...bill.dependencies.map(({ ref }) => ref),
  ]);
  assert.deepEqual(
    bill.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !references.has(ref)),
    [],
  );
  say(`the bill of materials has ${bill.components.length} packages`);
}

function packagesIn(modules: string): string[] {
  return readdirSync(modules).flatMap((name) => {
    if (name.startsWith('.')) return [];
    if (name.startsWith('@')) return readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`);
    return [name];
  });
}

function run(cwd: string, command: string, args: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error?.message ?? stdout + stderr}`);
  return stdout;
}

function say(text: string): void {
  console.log(`package: ${text}`);
}

function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1024)} KB`;
}
