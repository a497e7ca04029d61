// docs/architecture.md: pictures of the rooms and of a request's way, and the files that the page names.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { pipeline } from '../../src/gateway/request/pipeline.ts';
import { ground, rooms } from './imports.ts';
import { root } from './source.ts';

const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
const [picture = '', way = ''] = [...page.matchAll(/```mermaid\n([\s\S]*?)```/g)].map(([, text]) => text);

t.test('the picture of the rooms has an arrow for each import of the table that no other arrows imply', (t) => {
  const imports = new Map(rooms);
  const reached = (from: string): string[] => (imports.get(from) ?? []).flatMap((to) => [to, ...reached(to)]);
  const expected = rooms.flatMap(([from, below]) =>
    below.filter((to) => !below.some((other) => reached(other).includes(to))).map((to) => `${from} --> ${to}`),
  );
  t.same(arrowsOf(picture).sort(), expected.sort());
  t.end();
});

t.test('the picture of a request, and the table below it, have the steps of the pipeline in their order', (t) => {
  const steps = [...pipeline.onRequest, ...pipeline.preHandler].map(({ name }) => name).concat('pathProxy');
  t.same(
    arrowsOf(way).sort(),
    steps
      .slice(1)
      .map((step, index) => `${steps[index]} --> ${step}`)
      .sort(),
  );
  for (const [hook, { length }] of Object.entries(pipeline))
    t.match(way, new RegExp(`subgraph ${hook}\\[[^\\]]*\\]\n(?: {4}.*\n){${length - 1}}  end`));
  t.same(firstCells(/^\| step/m), steps);
  t.end();
});

t.test('every room has a line in the table, and every file that the page names exists', (t) => {
  const folders = rooms.map(([name]) => name).filter((name) => !existsSync(join(root, 'src', `${name}.ts`)));
  t.same(firstCells(/^\| room/m).sort(), folders.sort());
  for (const name of ground) t.ok(page.includes(`\`src/${name}.ts\``), name);
  const paths = [...page.matchAll(/`((?:src|test|docs)\/[\w./-]+)`/g)].map(([, path]) => path!);
  t.ok(paths.length > 40, `${paths.length} paths`);
  for (const path of paths) t.ok(existsSync(join(root, path)), path);
  t.end();
});

/** The first cells of a table, without their backquotes. */
function firstCells(header: RegExp): string[] {
  const table = page.slice(header.exec(page)!.index).split('\n\n', 1)[0]!;
  return [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, cell]) => cell!);
}

/** The arrows of a Mermaid flowchart of the plain kind: one arrow a line, subgraphs, no other syntax. Throws where it is none. */
function arrowsOf(text: string): string[] {
  const [header, ...lines] = text.trimEnd().split('\n');
  if (!/^flowchart (TD|LR)$/.test(header!)) throw new Error(`no flowchart: ${header}`);
  let depth = 0;
  const arrows = lines.flatMap((line) => {
    if (/^\s*subgraph [\w-]+\["[^"]*"\]$/.test(line)) depth += 1;
    else if (/^\s*end$/.test(line)) depth -= 1;
    else {
      const [, from, to] = /^\s*([\w/-]+)(?:\["[^"]*"\])?(?: --> ([\w/-]+)(?:\["[^"]*"\])?)?$/.exec(line) ?? [];
      if (from === undefined) throw new Error(`not understood: ${line}`);
      if (to !== undefined) return [`${from} --> ${to}`];
    }
    return [];
  });
  if (depth !== 0) throw new Error('a subgraph without its end');
  return arrows;
}
