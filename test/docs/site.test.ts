// The pages of the site: the references are whole, and every link leads to a page, a heading or a file.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { exampleFiles, supersetFiles } from '../config/example-files.ts';
import { linesOf } from '../config/support.ts';
import { folderFor } from './folder.ts';
import { codes, metrics } from './site/codes.ts';
import { entries } from './site/configuration.ts';
import { variants, withValue } from './site/examples.ts';
import { anchorsOf, isExternal, linksOf, resolved } from './site/links.ts';
import { sitePages } from './site/pages.ts';

const root = join(import.meta.dirname, '../..');

test('every key of the schema has a type, a default, a version, a sentence and an example', () => {
  const keys = entries(root);
  assert.ok(keys.length > 300, `${keys.length} keys`);
  const unfinished = keys
    .filter(
      ({ type, fallback, since, description, example }) =>
        type === '' || fallback === '' || !/^\d+\.\d+\.\d+$/.test(since) || description === '' || example === undefined,
    )
    .map(({ title }) => title);
  assert.deepEqual(
    unfinished,
    [],
    'give the key a description, and an example in gateway.example.yaml or test/docs/site/rare.yaml',
  );
  const anchors = keys.map(({ anchor }) => anchor);
  assert.deepEqual(anchors, [...new Set(anchors)]);
});

test('the examples are of files that the loader takes without a warning', async (t) => {
  const files = {
    ...(await exampleFiles()),
    'keys.yaml': (await supersetFiles())['keys.yaml']!,
    'secrets/valkey': 'the-password-of-the-gateway\n',
    'superset-tools.json': readFileSync(join(root, 'deploy/superset/superset-6.1.0.catalog.json')),
    'next.yaml': readFileSync(join(root, 'test/docs/site/next.yaml')),
  };
  const env = { HEC_TOKEN: 'a-token-of-the-collector', OTLP_TOKEN: 'another-token-of-the-collector' };
  const example: unknown = parse(readFileSync(join(root, 'gateway.example.yaml'), 'utf8'));
  const texts = [
    readFileSync(join(root, 'test/docs/site/rare.yaml'), 'utf8'),
    ...variants.map(([path, value]) => stringify(withValue(example, path, value))),
  ];
  for (const text of texts) assert.deepEqual(await linesOf(folderFor(t), text, { files, env }), []);
});

test('every metric has a meaning, and every error code has advice', () => {
  const declared = metrics(root);
  assert.ok(declared.length > 40, `${declared.length} metrics`);
  assert.deepEqual(
    declared.filter(({ help, type }) => help === '' || type === '').map(({ name }) => name),
    [],
  );
  assert.ok(declared.some(({ labels }) => labels.join() === 'route,outcome,status'));
  assert.deepEqual(
    codes(root)
      .filter(({ advice }) => advice.length === 0)
      .map(({ code }) => code),
    [],
    'give the code a row in "Answers and what to do" of docs/operations.md',
  );
});

test('every link of the site leads to a page of it, to a heading there, or to a file', async () => {
  const { pages, files } = await sitePages(root);
  assert.ok(pages.size > 35, `${pages.size} pages`);
  const anchors = new Map([...pages].map(([path, text]) => [path, anchorsOf(text)]));
  const dead: string[] = [];
  for (const [path, text] of pages) {
    for (const { target, anchor } of linksOf(text)) {
      if (isExternal(target)) continue;
      if (target.startsWith('/')) {
        if (!files.has(target.slice(1))) dead.push(`${path}: ${target}`);
        continue;
      }
      const place = resolved(path, target);
      if (/\.(svg|png)$/.test(place)) {
        if (!existsSync(join(root, 'docs', place))) dead.push(`${path}: ${target}`);
      } else if (!anchors.has(place) || (anchor !== undefined && !anchors.get(place)!.has(anchor))) {
        dead.push(`${path}: ${target}${anchor === undefined ? '' : `#${anchor}`}`);
      }
    }
  }
  assert.deepEqual(dead, []);
  const targets = linksOf(pages.get('reference.md')!).map(({ target }) => resolved('reference.md', target));
  for (const name of ['configuration/index', 'commands', 'metrics', 'codes']) {
    assert.ok(targets.includes(`reference/${name}.md`), name);
  }
});

test('the page of the commands has every command with its options and no colour', async () => {
  const { pages } = await sitePages(root);
  const page = pages.get('reference/commands.md')!;
  for (const name of ['serve', 'check', 'dev', 'keys new', 'certs issue', 'audit verify', 'schema'])
    assert.match(page, new RegExp(`^## \`portcullis ${name}\`$`, 'm'));
  assert.match(page, /Usage: portcullis audit verify \[options\] <files\.\.\.>/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape that begins a colour.
  assert.doesNotMatch(page, /\u001b/);
});

test('every page can be found in the side bar', async () => {
  const { pages } = await sitePages(root);
  const sidebar = readFileSync(join(root, 'docs/.vitepress/config.ts'), 'utf8');
  // The sections of the configuration are listed from their folder.
  const named = [...pages.keys()].filter((path) => path !== 'index.md' && !path.startsWith('reference/configuration/'));
  assert.deepEqual(
    named.filter((path) => !sidebar.includes(`'/${path.replace(/\.md$/, '')}'`)),
    [],
  );
});
