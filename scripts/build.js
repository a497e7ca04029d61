// Build of dist: the program and the packages that are no dependencies, in chunks, loaded on use; those of the demo in dist/vendor. Types are checked apart (`npm run typecheck`).
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { build } = await import('esbuild').catch(() => {
  console.error('The build needs the development packages: run `npm ci` first.');
  process.exit(1);
});

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
/** What only `portcullis dev` and a terminal need: in the package, so that nobody who runs the gateway installs it. */
const vendored = [
  'oidc-provider',
  '@modelcontextprotocol/sdk/server/index.js',
  '@modelcontextprotocol/sdk/server/streamableHttp.js',
  '@modelcontextprotocol/sdk/types.js',
];
/** The same, loaded by `require`. */
const vendoredByRequire = ['pino-pretty'];
const fileOf = (specifier, extension) => `vendor/${specifier.replace(/\.js$/, '').replaceAll('/', '-')}.${extension}`;

const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const installed = Object.keys({ ...dependencies, ...peerDependencies });
const common = {
  bundle: true,
  // V8 holds the text of what is loaded, at twice the size where a comment has a character outside Latin-1. Names stay as they are.
  minifyWhitespace: true,
  lineLimit: 160,
  platform: 'node',
  target: 'node22',
  absWorkingDir: root,
  outdir: dist,
  metafile: true,
  logLevel: 'warning',
  external: installed.flatMap((name) => [name, `${name}/*`]),
};

/** Packages in CommonJS require modules of Node. */
const requireOfNode = {
  js: "import { createRequire as requireOf } from 'node:module';const require = requireOf(import.meta.url);",
};

/** Leads from the program to the files in dist/vendor. */
const toVendor = {
  name: 'vendor',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^.]/ }, ({ path }) =>
      vendored.includes(path) ? { path: `./${fileOf(path, 'js')}`, external: true } : undefined,
    );
    onLoad({ filter: /\/src\/log\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: vendoredByRequire.reduce(
        (text, name) => text.replace(`require('${name}')`, `require('./${fileOf(name, 'cjs')}')`),
        readFileSync(path, 'utf8'),
      ),
    }));
  },
};

rmSync(dist, { recursive: true, force: true });
const bundles = [
  await build({
    ...common,
    entryPoints: {
      main: 'src/main.ts',
      'file-thread': 'src/console/decisions/file-thread.ts',
      'query-process': 'src/dev/superset/query-process.ts',
    },
    format: 'esm',
    splitting: true,
    sourcemap: true,
    sourcesContent: false,
    plugins: [toVendor],
    banner: requireOfNode,
  }),
  await build({
    ...common,
    entryPoints: Object.fromEntries(vendored.map((name) => [fileOf(name, 'js').slice(0, -3), name])),
    format: 'esm',
    splitting: true,
    chunkNames: 'vendor/[name]-[hash]',
    banner: requireOfNode,
  }),
  await build({
    ...common,
    entryPoints: Object.fromEntries(vendoredByRequire.map((name) => [fileOf(name, 'cjs').slice(0, -4), name])),
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
  }),
];
writeLicenses(bundles.flatMap(({ metafile }) => Object.keys(metafile.inputs)));
if (existsSync(join(root, 'src/console/assets'))) {
  cpSync(join(root, 'src/console/assets'), join(dist, 'assets'), { recursive: true });
}
const man = spawnSync(process.execPath, [join(dist, 'main.js'), 'man'], { encoding: 'utf8' });
if (man.status !== 0) throw new Error(man.stderr);
writeFileSync(join(dist, 'portcullis.1'), man.stdout);

/** The packages in dist with their versions, and the texts of their licences. */
function writeLicenses(inputs) {
  const folders = new Set(inputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []));
  const sections = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
    const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
    return [`${name} ${version}: ${license}`, ...texts].join('\n\n');
  });
  writeFileSync(join(dist, 'LICENSES.txt'), `${sections.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
}
