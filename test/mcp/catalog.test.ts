// The catalogue file: the same definitions give the same bytes, and a file that was changed by hand is not read.
import t from 'tap';
import { canonicalJson } from '../../src/json/canonical.ts';
import { type Catalog, catalogFaults, formatCatalog, parseCatalog } from '../../src/mcp/catalog/catalog.ts';
import { type Definition, digestOf, recordedOf } from '../../src/mcp/catalog/definition.ts';
import { differencesOf } from '../../src/mcp/catalog/difference.ts';
import { createPins, type DefinitionChange } from '../../src/mcp/catalog/pins.ts';

const tool: Definition = { name: 'execute_sql', description: 'Runs SQL', inputSchema: { type: 'object' } };
const catalogOf = (...tools: Definition[]): Catalog => ({
  protocolVersion: '2025-11-25',
  server: { name: 'Superset', version: '6.1.0' },
  tools: new Map(tools.map((each) => [String(each.name), { listed: recordedOf('tools', each) }])),
  resources: new Map(),
  resourceTemplates: new Map(),
  prompts: new Map(),
});

t.test('the canonical form is that of RFC 8785', (t) => {
  const text =
    '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"literals":[null,true,false],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/"}';
  t.equal(
    canonicalJson(JSON.parse(text)),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
  const names = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 };
  t.same(
    [...canonicalJson(names).matchAll(/:(\d)/g)].map(([, digit]) => Number(digit)),
    [2, 4, 6, 7, 1, 5, 3],
  );
  t.equal(canonicalJson(JSON.parse('{"__proto__":1,"a":{"__proto__":[]}}')), '{"__proto__":1,"a":{"__proto__":[]}}');
  t.end();
});

t.test('the digest does not depend on the order of members, and on every value', (t) => {
  const reordered = JSON.parse('{"inputSchema":{"type":"object"},"description":"Runs SQL","name":"execute_sql"}');
  t.equal(digestOf(reordered), digestOf(tool));
  t.not(digestOf({ ...tool, description: 'Runs SQL.' }), digestOf(tool));
  t.not(digestOf({ ...tool, annotations: { readOnlyHint: true } }), digestOf(tool));
  t.end();
});

t.test('the state of a resource is no part of its definition', (t) => {
  const resource = { uri: 'a://b', name: 'b', size: 1, annotations: { priority: 1, lastModified: '2026-01-01' } };
  const { definition } = recordedOf('resources', resource);
  t.same(definition, { uri: 'a://b', name: 'b', annotations: { priority: 1 } });
  t.equal(recordedOf('resources', { ...resource, size: 2 }).digest, digestOf(definition));
  const dated = { uri: 'a://b', name: 'b', annotations: { lastModified: '2026-01-01' } };
  t.equal(recordedOf('resources', dated).digest, digestOf({ uri: 'a://b', name: 'b' }));
  t.not(recordedOf('resources', { ...resource, name: 'c' }).digest, digestOf(definition));
  t.end();
});

t.test('the same definitions in another order give the same bytes, which are read back', (t) => {
  const other: Definition = { name: 'add_chart', inputSchema: {} };
  const text = formatCatalog(catalogOf(tool, other));
  t.equal(formatCatalog(catalogOf(other, { inputSchema: { type: 'object' }, ...tool })), text);
  const read = parseCatalog(Buffer.from(text));
  t.equal(formatCatalog(read), text);
  t.same([...read.tools.keys()], ['add_chart', 'execute_sql']);
  t.end();
});

t.test('a file that was changed by hand is not read', (t) => {
  const text = formatCatalog(catalogOf(tool));
  const refusals: readonly (readonly [change: string, to: string, place: string])[] = [
    ['Runs SQL', 'Runs SQL quickly', 'tools.0.digest'],
    ['"name": "execute_sql",\n      "digest"', '"name": "other",\n      "digest"', 'tools.0.definition'],
    ['portcullis-catalog-1', 'portcullis-catalog-9', 'format'],
    ['"prompts": []', '"prompts": {}', 'prompts'],
  ];
  for (const [from, to, place] of refusals) {
    const changed = text.replace(from, to);
    t.not(changed, text);
    t.equal(catalogFaults(JSON.parse(changed))[0]?.path.join('.'), place);
    t.throws(() => parseCatalog(Buffer.from(changed)), { message: new RegExp(`^${place}: `) });
  }
  const entry = /\{\n {6}"name"[\s\S]*?\n {4}\}/.exec(text)![0];
  t.throws(() => parseCatalog(Buffer.from(text.replace(entry, `${entry}, ${entry}`))), { message: /twice/ });
  t.throws(() => parseCatalog(Buffer.from(text.replace('{', '{"format": "portcullis-catalog-1",'))), 'a name twice');
  t.end();
});

t.test(
  'an answer with any number of names that are not recorded: all are hidden, the first hundred are read and reported',
  (t) => {
    const reports: DefinitionChange[] = [];
    const pins = createPins(catalogOf(tool), (change) => reports.push(change));
    const view = pins.view('');
    let read = 0;
    let hidden = 0;
    for (let index = 0; index < 1000; index += 1) {
      const item = () => ({ name: `t${read++}` });
      if (view.changeOf({ member: 'tools' }, `t${index}`, item, 'listed') !== undefined) hidden += 1;
    }
    t.equal(
      view.changeOf({ member: 'tools' }, 'execute_sql', () => tool, 'listed'),
      undefined,
    );
    t.same([hidden, reports.length, read, pins.changed().length], [1000, 100, 100, 0]);
    t.end();
  },
);

t.test('pointers, texts and names of any length are cut where a change is made', (t) => {
  const name = 'N'.repeat(1_000_000);
  const differences = differencesOf(
    { a: { b: 1 } },
    { a: { b: '\u200b'.repeat(1000), [name]: { [name]: 1 } }, [name]: 1 },
  );
  t.same(
    differences.map(({ pointer }) => pointer.length),
    [4, 257, 257],
  );
  for (const { text } of differences) t.ok(text.length < 600, text);
  const reports: DefinitionChange[] = [];
  const pins = createPins(catalogOf(tool), (change) => reports.push(change));
  const view = pins.view('');
  view.changeOf({ member: 'tools' }, name, () => ({ name }), 'listed');
  view.changeOf({ member: 'tools' }, 'execute_sql', () => ({ ...tool, [name]: 1, a: 1, b: 2, c: 3, d: 4 }), 'listed');
  t.same([reports[0]?.name.length, reports[1]?.differences.length], [257, 5]);
  t.match(pins.changed(), [{ name: 'execute_sql', differences: { length: 4 } }], 'less is kept than was reported');
  t.end();
});

t.test('what each of many viewers saw is bounded by bytes, and the last of them are kept', (t) => {
  const tools = Array.from({ length: 300 }, (_, index) => ({ name: `t${index}` }));
  const pins = createPins(catalogOf(...tools), () => {});
  const changed = Object.fromEntries(Array.from({ length: 4 }, (_, index) => [`${index}${'m'.repeat(300)}`, 1]));
  const message = { target: { kind: 'tool', name: 't1' }, via: undefined, named: undefined } as never;
  const lookAt = (viewer: string, more: object) => {
    const view = pins.view(viewer);
    for (const each of tools) view.changeOf({ member: 'tools' }, each.name, () => ({ ...each, ...more }), 'listed');
  };
  for (let index = 0; index < 60; index += 1) lookAt(`v${index}`, changed);
  lookAt('other', {});
  t.equal(pins.refusalOf(message, 'v0'), undefined, 'the first was forgotten');
  t.match(pins.refusalOf(message, 'v59'), { name: 't1' });
  lookAt('v59', {});
  t.equal(pins.refusalOf(message, 'v59'), undefined);
  t.end();
});

t.test('a search shows fewer members than a list: those that it shows have to be the recorded ones', (t) => {
  const view = createPins(catalogOf(tool), () => {}).view('');
  const found = (item: Definition) => view.changeOf({ member: 'tools' }, 'execute_sql', () => item, 'found');
  t.equal(found({ name: 'execute_sql' }), undefined);
  t.equal(found({ name: 'execute_sql', description: 'Runs SQL' }), undefined);
  t.match(found({ name: 'execute_sql', score: 1 })?.differences, [{ pointer: '/score' }]);
  t.end();
});

t.test('differences say where and what, and write out what cannot be seen', (t) => {
  const changed = {
    name: 'execute_sql',
    description: 'Runs S\u200bQL',
    inputSchema: { type: 'object', required: ['a/b'] },
    extra: null,
  };
  t.same(differencesOf({ ...tool, title: 'SQL' }, changed), [
    { pointer: '/description', text: '"Runs SQL" is now "Runs S\\u{200b}QL"' },
    { pointer: '/inputSchema/required', text: 'is new: ["a/b"]' },
    { pointer: '/title', text: 'is gone; it was "SQL"' },
    { pointer: '/extra', text: 'is new: null' },
  ]);
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`m~${index}`, index]));
  t.equal(differencesOf({}, many).length, 20);
  t.equal(differencesOf({}, many)[0]!.pointer, '/m~00');
  const long = differencesOf(
    { description: 'x'.repeat(9000) },
    { description: `${'x'.repeat(4000)}y${'x'.repeat(4999)}` },
  );
  t.ok(long[0]!.text.length < 600, long[0]!.text);
  t.end();
});
