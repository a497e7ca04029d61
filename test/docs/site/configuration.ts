// Reference of the configuration: a page for each section of the file, an entry for each key.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { configJsonSchema } from '../../../src/config/json-schema.ts';
import { exampleOf, variants, withValue } from './examples.ts';
import { type Key, keysOf, type Schema } from './keys.ts';
import { row, table } from './markdown.ts';
import { sinceOf } from './since.ts';

/** A key with all that the reference says of it. */
export interface Entry extends Key {
  readonly since: string;
  /** Such as `server.limits`, with the value of `type` where that tells it from another. */
  readonly title: string;
  readonly anchor: string;
  /** The way to the key and its value, as YAML; absent where no file has it. */
  readonly example: string | undefined;
}

/** All keys, with their examples from gateway.example.yaml and the files beside it. */
export function entries(root: string): Entry[] {
  const [example, rare] = ['gateway.example.yaml', 'test/docs/site/rare.yaml'].map(
    (name) => parse(readFileSync(join(root, name), 'utf8')) as unknown,
  );
  const files = [example, rare, ...variants.map(([path, value]) => withValue(example, path, value))];
  return keysOf(configJsonSchema() as Schema).map((key) => {
    const value = exampleOf(key, files);
    return {
      ...key,
      since: sinceOf(key.path),
      title: key.kind === undefined ? key.path : `${key.path} (${key.kind})`,
      anchor: [key.path, key.kind].join('-').replace(/\W+/g, '-').replace(/-$/, '').toLowerCase(),
      example: value === undefined ? undefined : stringify(value, { lineWidth: 0, flowCollectionPadding: false }),
    };
  });
}

/** The pages, by name: `index`, and one for each section. */
export function configurationPages(root: string): Map<string, string> {
  const all = entries(root);
  const sections = Map.groupBy(all, ({ path }) => /^\w+/.exec(path)![0]);
  const pages = new Map<string, string>([['index', indexPage(sections)]]);
  for (const [name, keys] of sections) pages.set(name, sectionPage(name, keys));
  return pages;
}

function indexPage(sections: ReadonlyMap<string, readonly Entry[]>): string {
  const rows = [...sections].map(([name, [head, ...keys]]) => [
    `[\`${name}\`](${name}.md)`,
    head!.fallback === 'required' ? 'yes' : '',
    String(keys.length),
    head!.description,
  ]);
  const keys = [...sections].flatMap(([name, entries]) =>
    entries.map((entry) => [
      `[\`${entry.path}\`](${name}.md#${entry.anchor})${entry.kind === undefined ? '' : ` ${entry.kind}`}`,
      entry.type,
      entry.fallback,
    ]),
  );
  return [
    '# Keys of the configuration',
    '`NAME` stands for a name of your choice, `[]` for an entry of a list. How values are written, and what keys mean together, is in [The configuration file](../../configuration.md).',
    table(['section', 'required', 'keys', 'holds'], rows),
    '## All keys',
    table(['key', 'type', 'default'], keys),
  ].join('\n\n');
}

function sectionPage(name: string, keys: readonly Entry[]): string {
  return [`# Keys of \`${name}\``, ...keys.map(entryText)].join('\n\n');
}

function entryText(entry: Entry): string {
  return [
    `## \`${entry.path}\`${entry.kind === undefined ? '' : ` (\`${entry.kind}\`)`} {#${entry.anchor}}`,
    entry.description,
    `${row(['type', 'default', 'since'])}\n|---|---|---|\n${row([entry.type, entry.fallback, entry.since])}`,
    `\`\`\`yaml\n${entry.example ?? ''}\`\`\``,
  ].join('\n\n');
}
