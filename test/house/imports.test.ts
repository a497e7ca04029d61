// Imports between the files of src: downward in the order of rooms, without circles, pure rooms without I/O.
import { isBuiltin } from 'node:module';
import t from 'tap';
import { circles, ground, importGraph, reachable, roomOf, rooms } from './imports.ts';
import { globalsOf, importsOf, parse, parseSource } from './source.ts';

/** Rooms that only compute, each with the packages that it imports. */
const pureRooms: Readonly<Record<string, readonly string[]>> = {
  json: ['node:buffer'],
  mcp: ['node:crypto', 'zod'],
  policy: ['@marcbachmann/cel-js', 'node:module', 'zod'],
  'authn/token/claims': [],
};
/**
 * Builtin modules that pure rooms load, by way of other files too: `node:net` for BlockList and isIP, which open nothing, `node:module` to load the
 * library of conditions with the first one.
 */
const pureBuiltins = ['node:buffer', 'node:crypto', 'node:module', 'node:net'];

const files = parseSource();
const graph = importGraph(files);
const edges = [...graph].flatMap(([path, imports]) =>
  imports
    .filter(({ specifier }) => specifier?.endsWith('.ts'))
    .map(({ specifier, line }) => ({
      place: `${path}:${line} ${specifier}`,
      from: roomOf(path) ?? '',
      to: roomOf(specifier!) ?? '',
    })),
);

t.test('every file belongs to a room, every room has a file, and every ground file serves two rooms', (t) => {
  const used = new Set([...files.keys()].map(roomOf));
  t.same(
    [...files.keys()].filter((path) => roomOf(path) === undefined),
    [],
  );
  t.same(
    [...ground, ...rooms.map(([name]) => name)].filter((name) => !used.has(name)),
    [],
  );
  for (const name of ground)
    t.ok(new Set(edges.filter(({ to }) => to === name).map(({ from }) => from)).size > 1, name);
  t.end();
});

t.test('every import leads to a file of ours, or to a package by its name', (t) => {
  const lost = [...graph].flatMap(([path, imports]) =>
    imports
      .filter(({ specifier }) => specifier === undefined || (/^\.|\.ts$/.test(specifier) && !graph.has(specifier)))
      .map(({ line, specifier }) => `${path}:${line} ${specifier ?? 'a computed name'}`),
  );
  t.same(lost, []);
  t.end();
});

t.test('every import between rooms is named in the table, and leads downward', (t) => {
  const order = [...ground, ...rooms.map(([name]) => name)];
  const named = new Map(rooms);
  const other = edges.filter(({ from, to }) => from !== to && !named.get(from)?.includes(to) && !ground.includes(to));
  t.same(other, []);
  t.same(
    edges.filter(({ from, to }) => order.indexOf(to) > order.indexOf(from)),
    [],
  );
  t.end();
});

t.test('the table names no import that does not occur', (t) => {
  const unused = rooms.flatMap(([name, imports]) =>
    imports
      .filter((below) => !edges.some(({ from, to }) => from === name && to === below))
      .map((below) => `${name} imports ${below}`),
  );
  t.same(unused, []);
  t.end();
});

t.test('no files import each other, by way of others or for types either', (t) => {
  t.same(circles(graph), []);
  t.end();
});

t.test('pure rooms import the packages that are named for them, and no others', (t) => {
  for (const [room, packages] of Object.entries(pureRooms)) {
    const found = new Set<string>();
    for (const path of filesOf(room)) {
      for (const { specifier } of graph.get(path) ?? []) if (!specifier?.endsWith('.ts')) found.add(specifier!);
    }
    t.same([...found].sort(), packages, room);
  }
  t.end();
});

t.test('pure rooms reach no builtin module that opens something, by way of other files either', (t) => {
  const reached = new Set<string>();
  for (const path of Object.keys(pureRooms).flatMap(filesOf)) {
    for (const module of reachable(path, graph, ({ typeOnly }) => !typeOnly))
      if (isBuiltin(module)) reached.add(module);
  }
  t.same([...reached].sort(), pureBuiltins);
  t.end();
});

t.test('pure rooms read no clock, no process and no network by global names', (t) => {
  for (const path of Object.keys(pureRooms).flatMap(filesOf)) t.same(globalsOf(files.get(path)!), [], path);
  t.end();
});

t.test('zod is imported as a namespace, of which the build keeps what is used', (t) => {
  const whole = [...files].filter(([, { text }]) => /import (?!type)[^*;]*from 'zod'/.test(text)).map(([path]) => path);
  t.same(whole, []);
  t.end();
});

t.test('an import is seen in each of its forms', (t) => {
  const forms: [text: string, specifier: string | undefined, typeOnly: boolean][] = [
    [`import { b } from './b.ts';`, './b.ts', false],
    [`import\n  type\n  { B } from './b.ts';`, './b.ts', true],
    [`import { type B } from './b.ts';`, './b.ts', false],
    [`import * as b from /* here */ './b.ts'`, './b.ts', false],
    [`import './b.ts';`, './b.ts', false],
    [`export { b } from './b.ts';`, './b.ts', false],
    [`export * from './b.ts';`, './b.ts', false],
    [`export type * from './b.ts';`, './b.ts', true],
    [`let b: import('./b.ts').B;`, './b.ts', true],
    [`let b: typeof import('./b.ts');`, './b.ts', true],
    [`await import('./b.ts');`, './b.ts', false],
    ['await import(`./b.ts`);', './b.ts', false],
    ['await import(`./${name}.ts`);', undefined, false],
    [`require('node:fs');`, 'node:fs', false],
    [`createRequire(import.meta.url)('node:fs');`, undefined, false],
    [`const require = createRequire(import.meta.url); require('node:fs');`, 'node:fs', false],
    [`process.getBuiltinModule('node:fs');`, 'node:fs', false],
  ];
  const parsed = parse(Object.fromEntries(forms.map(([text], index) => [`${index}.ts`, text])));
  for (const [index, [text, specifier, typeOnly]] of forms.entries()) {
    t.match(importsOf(parsed.get(`${index}.ts`)!), [{ specifier, typeOnly }], text);
  }
  const none = parse({ 'a.ts': `// import './b.ts'\nconst text = "import './b.ts'";` });
  t.same(importsOf(none.get('a.ts')!), []);
  t.end();
});

t.test('a circle of three files is seen where one of its imports is for a type', (t) => {
  const found = importGraph(
    parse({
      'x/a.ts': `import type { B } from '../y/b.ts';`,
      'y/b.ts': `export * from './c.ts';`,
      'y/c.ts': `let a: import('../x/a.ts').A;`,
      'y/d.ts': `import './c.ts';`,
    }),
  );
  t.same(circles(found), [['x/a.ts', 'y/b.ts', 'y/c.ts']]);
  t.equal(roomOf('config/schema/values.ts'), 'config/schema/values');
  t.equal(roomOf('config/schema/server.ts'), 'config/schema');
  t.equal(roomOf('configuration.ts'), undefined);
  t.end();
});

t.test('a global that reads the clock or the world is seen, a member of that name is not', (t) => {
  const text = `process.exit(); fetch(url); new Date(); Date.now(); Math.random(); at.process; ({ process: 1 }); new Date(0);`;
  t.same(globalsOf(parse({ 'a.ts': text }).get('a.ts')!), [
    'process',
    'fetch',
    'new Date()',
    'Date.now',
    'Math.random',
  ]);
  t.end();
});

function filesOf(room: string): string[] {
  return [...files.keys()].filter((path) => path === `${room}.ts` || path.startsWith(`${room}/`));
}
