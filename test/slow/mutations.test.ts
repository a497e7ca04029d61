// Mutations of a valid file: a ConfigError with places, or a configuration whose every key is known.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { ConfigError, type LoadedConfig } from '../../src/config/load.ts';
import { exampleFiles } from '../config/example-files.ts';
import { loadText, writeFiles } from '../config/support.ts';

const text = readFileSync(join(import.meta.dirname, '../../gateway.example.yaml'), 'utf8');
const folder = t.testdir();
writeFiles(folder, await exampleFiles());
const canary = 'canary-9d1f';

async function outcomeOf(yaml: string | Buffer): Promise<LoadedConfig | ConfigError> {
  try {
    return await loadText(folder, yaml, { env: { CANARY: canary } });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error;
  }
}

function isTold(outcome: LoadedConfig | ConfigError): boolean {
  if (!(outcome instanceof ConfigError)) return true;
  return (
    outcome.problems.length > 0 &&
    outcome.problems.every(
      ({ line, column, message }) => line >= 1 && column >= 1 && message !== '' && !message.includes(canary),
    )
  );
}

/** Every path in the tree, root left out. */
function pathsOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, child]) =>
    pathsOf(child, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return path.length === 0 ? below : [path, ...below];
}

const tree: unknown = parse(text);
const path = fc.constantFrom(...pathsOf(tree));
const replacement = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(
    '${env:CANARY}',
    'x${env:CANARY}x',
    '${env:NONE}',
    '${file:secrets/superset-api}',
    '${',
    '',
    '*',
    '0s',
    '1h',
    'none',
    '__proto__',
    'constructor',
  ),
);

/** A copy of the tree with the value at the path exchanged, or removed when there is no new one. */
function changed(value: unknown, [step, ...rest]: readonly (string | number)[], replace: { value?: unknown }): unknown {
  if (step === undefined) return replace.value;
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) };
  if (rest.length > 0) Reflect.set(copy, step, changed(Reflect.get(copy, step), rest, replace));
  else if ('value' in replace) Reflect.set(copy, step, replace.value);
  else if (Array.isArray(copy)) copy.splice(Number(step), 1);
  else Reflect.deleteProperty(copy, step);
  return copy;
}

t.test('values exchanged or removed anywhere are told, or fit', () =>
  fc.assert(
    fc.asyncProperty(path, fc.option(replacement), async (where, value) => {
      const mutated = changed(tree, where, value === null ? {} : { value });
      return isTold(await outcomeOf(stringify(mutated)));
    }),
    { numRuns: 75 },
  ),
);

t.test('a key that nobody knows is refused wherever it stands', async (t) => {
  const open = new Set([
    'authenticators',
    'upstreams',
    'metaTools',
    'claims',
    'username',
    'headers',
    'scopeImplies',
    'requiredClaims',
    'json',
  ]);
  const maps = ([[]] as (string | number)[][]).concat(pathsOf(tree)).filter((where) => {
    const value = where.reduce<unknown>((inner, step) => Reflect.get(inner as object, step), tree);
    const isOpen = open.has(String(where.at(-1))) || ['scopes', 'limits'].includes(where.join());
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !isOpen;
  });
  for (const where of maps) {
    const outcome = await outcomeOf(stringify(changed(tree, [...where, 'surprise'], { value: 1 })));
    const told = outcome instanceof ConfigError ? outcome.problems.map(({ message }) => message) : [];
    t.ok(told.includes('unknown key "surprise"'), where.join('.') || 'the root');
  }
});

t.test('bytes cut out, doubled or exchanged are told, or fit', () =>
  fc.assert(
    fc.asyncProperty(
      fc.nat(text.length),
      fc.nat(80),
      fc.oneof(
        fc.string({ maxLength: 8 }),
        fc.constantFrom(
          '\n',
          '\t',
          '[',
          '{',
          '&a ',
          '*a',
          '!!',
          '---\n',
          '"',
          "'",
          '#',
          '\u0000',
          '\ufeff',
          '? ',
          '<<: ',
        ),
      ),
      async (start, length, insert) =>
        isTold(await outcomeOf(text.slice(0, start) + insert + text.slice(start + length))),
    ),
    { numRuns: 75 },
  ),
);

t.test('bytes that are no text are told', () =>
  fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => isTold(await outcomeOf(Buffer.from(bytes)))),
    { numRuns: 50 },
  ),
);

t.test('the schema for editors knows the keys of the example too', (t) => {
  const schema = JSON.stringify(configJsonSchema());
  for (const where of pathsOf(tree)) {
    const key = where.at(-1);
    const named =
      where[0] === 'scopes' ||
      (where[0] === 'limits' && where.length === 2) ||
      where.some((step) =>
        ['authenticators', 'upstreams', 'metaTools', 'claims', 'username', 'scopeImplies', 'json', 'headers'].includes(
          String(step),
        ),
      );
    if (typeof key === 'string' && !named) t.ok(schema.includes(`"${key}":`), where.join('.'));
  }
  t.end();
});
