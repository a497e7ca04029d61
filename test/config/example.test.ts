// The example file, the reference and the JSON Schema, held against the schema of the configuration.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { isObject } from '../../src/config/tree.ts';
import { exampleFiles } from './example-files.ts';
import { loadText } from './support.ts';

const root = join(import.meta.dirname, '../..');
const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');

t.test('the example is valid and says what the scenario says', async (t) => {
  const { config, warnings, files } = await loadText(t.testdir(), example, { files: await exampleFiles() });
  t.same(
    warnings.map(({ path, message }) => `${path}: ${message}`),
    [],
  );
  t.equal(files.size, 16);
  t.match(
    config.routes.map(({ name, path, methods }) => [name, path, methods]),
    [
      ['superset-mcp', '/mcp', undefined],
      ['dashboards', '/api/dashboards/*', ['GET']],
      ['queries', '/api/queries', ['POST']],
      ['exports', '/api/exports/*', undefined],
      ['health', '/health', undefined],
    ],
  );
  t.match(config.authenticators['legacy-keys'], { keys: [{ clientId: 'reporting_tool' }] });
  t.equal(config.upstreams['superset-api']?.authorization, 'Bearer a-token-of-the-gateway');
});

t.test('negative limits in our own examples: whatever bounds a number from above bounds it from below', (t) => {
  const folders = ['docs', 'deploy', 'src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  );
  const texts = ['gateway.example.yaml', 'README.md', ...folders].filter(
    (name) => /\.(ya?ml|md|ts)$/.test(name) && !/\/(node_modules|\.pages|\.vitepress)\//.test(name),
  );
  const bounds = texts.flatMap((name) => {
    const text = readFileSync(join(root, name), 'utf8');
    return [...text.matchAll(/(\bargs(?:\.\w+)+) <=? [\w.]+/g)].map(({ 0: bound, 1: number, index }) => ({
      place: `${name}: ${bound}`,
      isBoth: new RegExp(`${number} >=? [\\w.-]+ && $`).test(text.slice(0, index)),
    }));
  });
  t.ok(bounds.length >= 4, `${bounds.length} bounds`);
  t.same(
    bounds.filter(({ isBoth }) => !isBoth).map(({ place }) => place),
    [],
  );
  t.end();
});

t.test('what the example calls a default can be left out', async (t) => {
  const folder = t.testdir();
  const files = await exampleFiles();
  const { config } = await loadText(folder, example, { files });
  const lines = example.split('\n');
  const shortened = lines.filter((line) => !/^ *\w+: [^#]+# default(;|$)/.test(line));
  t.ok(lines.length - shortened.length > 25, `${lines.length - shortened.length} lines left out`);
  t.same((await loadText(folder, shortened.join('\n'), { files })).config, config);
});

t.test('every key of the schema is in the example or left out for a reason', (t) => {
  const reasons: Record<string, string> = {
    dnsName: 'an alternative of commonName',
    fingerprint: 'an alternative of commonName',
    keysFile: 'an alternative of keys',
    text: 'an alternative of json',
    email: 'a claim',
  };
  for (const key of keysOf(configJsonSchema())) {
    if (!(key in reasons)) t.match(example, new RegExp(`(^|[\\s{,-])${key}:`, 'm'), key);
  }
  t.end();
});

t.test('the first file of the reference is valid as it stands', async (t) => {
  const reference = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
  const first = /```yaml\n([\s\S]*?)```/.exec(reference)?.[1] ?? '';
  const files = await exampleFiles();
  const { warnings } = await loadText(t.testdir(), first, {
    files: { 'tls.crt': files['tls/tls.crt']!, 'tls.key': files['tls/tls.key']! },
  });
  t.same(warnings, []);
});

t.test('every key of the schema is in the reference', (t) => {
  const reference = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
  for (const key of keysOf(configJsonSchema())) t.ok(reference.includes(`\`${key}\``), key);
  t.end();
});

t.test('gateway.schema.json is what the schema command prints', (t) => {
  const committed: unknown = JSON.parse(readFileSync(join(root, 'gateway.schema.json'), 'utf8'));
  t.same(committed, configJsonSchema(), 'run npm run schema');
  t.end();
});

/** Every property name in a JSON Schema. */
function keysOf(schema: unknown): Set<string> {
  const keys = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(visit);
    if (!isObject(node)) return;
    if (isObject(node.properties)) for (const key of Object.keys(node.properties)) keys.add(key);
    Object.values(node).forEach(visit);
  };
  visit(schema);
  return keys;
}
