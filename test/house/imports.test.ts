// The rooms of src and who may import whom, held against the import lines themselves.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';

const source = join(import.meta.dirname, '../../src');
const everywhere = ['errors', 'log', 'ip-ranges', 'pem', 'key-strength', 'named-files'];
/** What sections of the configuration share stands below the rooms that declare a section. */
const sharedSchema = /^config.schema.(values|reporter|suggestion)\.ts$/;
/** For each room: what it may import, and of which rooms it may import types only. */
const allowed: Record<string, { values: string[]; types: string[] }> = {
  errors: { values: [], types: [] },
  log: { values: [], types: [] },
  'ip-ranges': { values: [], types: [] },
  pem: { values: [], types: [] },
  'key-strength': { values: [], types: [] },
  'named-files': { values: [], types: [] },
  metrics: { values: [], types: [] },
  policy: { values: ['http', 'shared schema'], types: ['authn', 'mcp'] },
  json: { values: [], types: [] },
  mcp: { values: ['json', 'http'], types: [] },
  oauth: { values: ['shared schema'], types: [] },
  authn: { values: ['shared schema', 'http', 'oauth'], types: [] },
  'shared schema': { values: ['http'], types: [] },
  audit: { values: ['shared schema'], types: [] },
  upstream: { values: ['http'], types: ['config', 'authn', 'audit'] },
  http: { values: [], types: ['config', 'authn', 'audit', 'upstream', 'mcp', 'policy'] },
  config: { values: ['shared schema', 'oauth', 'authn', 'policy', 'mcp', 'http', 'upstream', 'audit'], types: [] },
  dev: { values: [], types: ['config', 'cli'] },
  gateway: { values: ['config', 'http', 'oauth', 'authn', 'policy', 'mcp', 'upstream', 'audit', 'metrics'], types: [] },
  cli: { values: ['authn', 'config', 'audit', 'gateway', 'dev'], types: [] },
  main: { values: ['cli'], types: [] },
};

t.test('every import goes the way the house allows', (t) => {
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )) {
    const room = roomOf(file);
    const rule = allowed[room];
    if (rule === undefined) {
      t.fail(`${file}: no room of this name`);
      continue;
    }
    for (const { target, typeOnly } of importsOf(file)) {
      if (target === room || everywhere.includes(target)) continue;
      const fine = rule.values.includes(target) || (typeOnly && rule.types.includes(target));
      t.ok(fine, `${file} imports ${typeOnly ? 'types of ' : ''}${target}`);
    }
  }
  t.end();
});

t.test('only cli/dev imports dev, only cli imports the gateway', (t) => {
  for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )) {
    for (const { target } of importsOf(file)) {
      if (target === 'dev' && roomOf(file) !== 'dev') t.equal(file, join('cli', 'dev.ts'));
      if (target === 'gateway' && roomOf(file) !== 'gateway') t.equal(roomOf(file), 'cli', file);
    }
  }
  t.end();
});

function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const text = readFileSync(join(source, file), 'utf8');
  const found: { target: string; typeOnly: boolean }[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?(?:([^;'"]*?)\s+from\s+)?'(\.[^']+)'/gm)) {
    const names = match[2]?.match(/^\{([^}]*)\}$/)?.[1];
    const eachIsType =
      names?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type ')) ?? false;
    found.push({ target: targetOf(file, match[3]!), typeOnly: match[1] !== undefined || eachIsType });
  }
  for (const match of text.matchAll(/import\('(\.[^']+)'\)/g))
    found.push({ target: targetOf(file, match[1]!), typeOnly: false });
  return found;
}

function targetOf(file: string, specifier: string): string {
  return roomOf(relative(source, join(source, dirname(file), specifier)));
}

function roomOf(file: string): string {
  if (sharedSchema.test(file)) return 'shared schema';
  return file.split(/[/\\]/)[0]!.replace(/\.ts$/, '');
}
