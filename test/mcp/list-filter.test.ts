// Filter of lists and search results: what the caller may not see is cut out, and every other byte stays.
import fc from 'fast-check';
import t from 'tap';
import { compileMetaTools } from '../../src/mcp/meta-tools.ts';
import { type Listing, listings } from '../../src/mcp/methods.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import { filterLists } from '../../src/mcp/response/list-filter.ts';
import { type Reading, readingOf, responseFilter } from '../../src/mcp/response/response-filter.ts';
import { filterSearch } from '../../src/mcp/response/search-filter.ts';

const shows = (_listing: Listing, name: string) => !name.startsWith('hidden');
const tools = listings.get('tools/list')!;
const lists = (text: string, expected: Listing | undefined = tools) =>
  filterLists(Buffer.from(text), expected, shows)?.toString();
const rpc = (result: string) => `{"jsonrpc":"2.0","id":1,"result":${result}}`;

t.test('items that stay keep their bytes, and a list of which all stay is not touched', async (t) => {
  const kept = '{ "name":"a\\u0062c", "x-mcp-header":"Region","n":12345678901234567890, "f":1.0E+2 }';
  const cases: [string, string, string | undefined][] = [
    ['all stay', rpc(`{"tools":[ ${kept} , {"name":"b"}]}`), undefined],
    ['an empty list', rpc('{"tools":[],"nextCursor":"c"}'), undefined],
    [
      'one goes',
      rpc(`{"tools":[${kept} ,\n{"name":"hidden"}],"nextCursor":"c"}`),
      rpc(`{"tools":[${kept}],"nextCursor":"c"}`),
    ],
    ['a name in escapes', rpc('{"tools":[{"name":"\\u0068idden"},{"name":"b"}]}'), rpc('{"tools":[{"name":"b"}]}')],
    ['all go', rpc('{"tools":[{"name":"hidden"}],"nextCursor":"c"}'), rpc('{"tools":[],"nextCursor":"c"}')],
    [
      'half of a surrogate pair in a text that was cut',
      rpc('{"tools":[{"name":"a","description":"\\ud83d"}]}'),
      undefined,
    ],
    ['an error', '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"tools"}}', undefined],
    [
      'a public page',
      rpc('{"ttlMs":5,"cacheScope":"public","tools":[]}'),
      rpc('{"ttlMs":5,"cacheScope":"private","tools":[]}'),
    ],
    ['a private page', rpc('{"ttlMs":5,"cacheScope":"private","tools":[]}'), undefined],
    ['a page for no one', rpc('{"ttlMs": 5 ,"tools":[]}'), rpc('{"ttlMs": 5,"cacheScope":"private" ,"tools":[]}')],
    ['a scope of another kind', rpc('{"tools":[],"cacheScope":7}'), rpc('{"tools":[],"cacheScope":"private"}')],
    ['a second list', rpc('{"tools":[],"prompts":[{"name":"hidden"}]}'), rpc('{"tools":[],"prompts":[]}')],
    [
      'a batch',
      `[${rpc('{"tools":[{"name":"hidden"}]}')}, ${rpc('{"tools":[{"name":"b"}]}')}]`,
      `[${rpc('{"tools":[]}')}, ${rpc('{"tools":[{"name":"b"}]}')}]`,
    ],
  ];
  for (const [sentence, text, expected] of cases) t.equal(lists(text), expected, sentence);
  for (const [method, listing] of listings) {
    const page = (names: string[]) =>
      rpc(JSON.stringify({ [listing.member]: names.map((name) => ({ [listing.key]: name, title: 'hidden' })) }));
    t.equal(lists(page(['a', 'hidden:b']), listing), page(['a']), method);
  }
});

t.test('a list that could be read in two ways, or not at all, is an error', async (t) => {
  const cases: Record<string, string> = {
    'no JSON': 'tools: a, b',
    'cut off': rpc('{"tools":[{"name":"a"}'),
    'a byte order mark': `\ufeff${rpc('{"tools":[]}')}`,
    'the list twice': rpc('{"tools":[],"tools":[{"name":"hidden"}]}'),
    'the list twice, once in escapes': rpc('{"tools":[],"tool\\u0073":[{"name":"hidden"}]}'),
    'the list in another case': rpc('{"tools":[],"Tools":[{"name":"hidden"}]}'),
    'the result twice': '{"result":{"tools":[]},"result":{"tools":[{"name":"hidden"}]}}',
    'the result in another case': '{"result":{"tools":[]},"Result":{"tools":[{"name":"hidden"}]}}',
    'the name twice': rpc('{"tools":[{"name":"a","name":"hidden"}]}'),
    'the name in another case': rpc('{"tools":[{"name":"a","NAME":"hidden"}]}'),
    'no list': rpc('{"items":[]}'),
    'another list': rpc('{"prompts":[]}'),
    'a list that is none': rpc('{"tools":{"hidden":{}}}'),
    'a result that is no object': rpc('[{"name":"hidden"}]'),
    'an item without a name': rpc('{"tools":[{"title":"hidden"}]}'),
    'a name that is no string': rpc('{"tools":[{"name":["hidden"]}]}'),
    'names alone': rpc('{"tools":["hidden"]}'),
    'no message': '{"tools":[{"name":"hidden"}]}',
    'a text': '"hidden"',
  };
  for (const [sentence, text] of Object.entries(cases)) t.throws(() => lists(text), Error, sentence);
});

t.test('where no list was asked for, what looks like one is filtered and all else passes', async (t) => {
  const any = (text: string) => filterLists(Buffer.from(text), undefined, shows)?.toString();
  t.equal(any(rpc('{"tools":[{"name":"hidden"},{"name":"b"}]}')), rpc('{"tools":[{"name":"b"}]}'));
  for (const text of [
    rpc('{"capabilities":{"tools":{}}}'),
    rpc('{"content":[{"type":"text","text":"hidden"}]}'),
    rpc('{"tools":{}}'),
    rpc('"x"'),
    '{"jsonrpc":"2.0","method":"notifications/message","params":{"tools":[{"name":"hidden"}]}}',
    '{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{}}',
    '{"status":"ok"}',
    '7',
  ]) {
    t.equal(any(text), undefined, text);
  }
});

const name = fc.oneof(fc.constantFrom('hidden', 'hidden2', 'a', 'b c', 'é"\\'), fc.string());
/** Names without backslashes: V8 reads the name \" as \ where an object before it had that one in its place. */
const item = fc
  .tuple(name, fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }))
  .filter((value) => !/"[^"]*\\\\[^"]*":/.test(JSON.stringify(value)))
  .filter(([, more]) => Object.keys(more).every((key) => !/name/i.test(key.normalize('NFKC'))))
  .map(([text, more]) => ({ ...more, name: text }));

t.test('what is left is what a reader would have kept of the list, in its order', async () => {
  const check = fc.property(fc.array(item), fc.nat(3), fc.option(fc.string()), (items, indent, nextCursor) => {
    const message = { jsonrpc: '2.0', id: 1, result: { tools: items, ...(nextCursor !== null && { nextCursor }) } };
    const text = JSON.stringify(message, null, indent);
    const left = lists(text) ?? text;
    const expected = { ...message.result, tools: items.filter(({ name: text }) => !text.startsWith('hidden')) };
    return JSON.stringify(JSON.parse(left).result) === JSON.stringify(expected);
  });
  fc.assert(check, { numRuns: 1000 });
});

function search(result: unknown, results = '/result'): { left: Record<string, unknown> | undefined; withheld: number } {
  let withheld = 0;
  const options = {
    tool: { results },
    shows: (text: string) => !text.startsWith('hidden'),
    withheld: () => {
      withheld += 1;
    },
  };
  const left = filterSearch(Buffer.from(rpc(JSON.stringify(result))), options);
  return { left: left && JSON.parse(left.toString()).result, withheld };
}
const text = (payload: unknown) => ({
  type: 'text',
  text: typeof payload === 'string' ? payload : JSON.stringify(payload),
});
const [a, b] = [
  { name: 'a', description: 'ä"' },
  { name: 'hidden_b', inputSchema: {} },
];

t.test('what a search found is filtered in the structured result and in the text', async (t) => {
  const found = { content: [text([a, b])], structuredContent: { result: [a, b], total: 2 } };
  const left = { content: [text([a])], structuredContent: { result: [a], total: 2 } };
  t.same(search(found), { left, withheld: 0 });
  t.same(search({ content: [text([a])] }), { left: undefined, withheld: 0 });
  t.same(search({ content: [text([b]), text(['hidden', 'c'])] }).left, { content: [text([]), text(['c'])] });
  t.same(search({ content: [text({ found: { 'x/y': [a, b] } })] }, '/found/x~1y').left, {
    content: [text({ found: { 'x/y': [a] } })],
  });
  t.same(search({ content: [] }), { left: undefined, withheld: 0 });
  t.same(search({ resultType: 'input_required', inputRequests: {} }), { left: undefined, withheld: 0 });
});

t.test('what a search found and nobody can read is put aside for an error that a model can act on', async (t) => {
  const cases: Record<string, unknown> = {
    prose: { content: [text('Found hidden_b: it deletes things')] },
    'prose in an error': { content: [text('Unknown tool; did you mean hidden_b?')], isError: true },
    'a good text beside prose': { content: [text([a]), text('and hidden_b')] },
    'another place': { content: [text({ tools: [b] })] },
    'no list at its place': { content: [text({ result: { hidden_b: {} } })] },
    'a name twice': { content: [text('[{"name":"a","name":"hidden_b"}]')] },
    'a tool without a name': { content: [text([{ title: 'hidden_b' }])] },
    'another kind of content': { content: [{ type: 'resource', resource: { uri: 'x:y', text: 'hidden_b' } }] },
    'content that is no list': { content: text([a]) },
    'a task, whose result comes with another request': { task: { taskId: 'hidden_b', status: 'working' } },
    'a task of revision 2026-07-28': { resultType: 'task', taskId: 'hidden_b', status: 'working' },
    'a kind of result that is no text': { resultType: ['complete'], taskId: 'hidden_b' },
    'a structured result that is no list': { content: [], structuredContent: { other: [b] } },
  };
  for (const [sentence, result] of Object.entries(cases)) {
    const { left, withheld } = search(result);
    t.match(
      left,
      { content: [{ type: 'text', text: /not shown\. Call a tool by its name/ }], isError: true },
      sentence,
    );
    t.notMatch(JSON.stringify(left), /hidden_b/, sentence);
    t.equal(withheld, 1);
  }
  const modern = search({ resultType: 'complete', content: [text('hidden_b')] });
  t.match(modern.left, { resultType: 'complete', isError: true });
});

const metaTools = compileMetaTools({ find: { results: '' }, run: { name: '/name', arguments: '/arguments' } });
const reading = (message: object | undefined): Reading | undefined =>
  readingOf(message && readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))), metaTools);

t.test('only lists, searches and what answers no message are read', async (t) => {
  t.match(reading({ id: 1, method: 'tools/list' }), { kind: 'list', listing: { member: 'tools' } });
  t.match(reading({ id: 1, method: 'tools/call', params: { name: 'find' } }), { kind: 'search' });
  t.match(reading(undefined), { kind: 'any list' });
  for (const message of [
    { id: 1, method: 'tools/call', params: { name: 'other' } },
    { id: 1, method: 'prompts/get', params: { name: 'find' } },
    { id: 1, method: 'initialize' },
    { id: 1, method: 'x/unknown' },
    { id: 1, result: {} },
    { method: 'notifications/initialized' },
  ]) {
    t.equal(reading(message), undefined, JSON.stringify(message));
  }
});

t.test(
  'a list is read where it is JSON or an event stream in plain UTF-8, and not shown where it is not',
  async (t) => {
    const options = { shows, withheld: () => {}, maxBytes: 1000 };
    const list = responseFilter(reading({ id: 1, method: 'tools/list' })!, options);
    const any = responseFilter(reading(undefined)!, options);
    const json = 'application/json; charset=utf-8';
    const page = Buffer.from(rpc('{"tools":[{"name":"hidden"}]}'));
    const run = (filter: typeof list, status: number, contentType?: string, contentEncoding?: string, body = page) => {
      const made = filter(status, { contentType, contentEncoding });
      if (made === undefined) return 'passes';
      return Buffer.concat([made.write(body), made.end()].filter((piece) => piece !== undefined)).toString();
    };
    const filtered = rpc('{"tools":[]}');
    for (const filter of [list, any]) {
      t.equal(run(filter, 200, json), filtered);
      t.equal(run(filter, 200, 'application/json', 'identity'), filtered);
      t.equal(run(filter, 400, json), filtered, 'an error status makes no difference to a list');
      t.equal(
        run(filter, 200, 'Text/Event-Stream;charset=UTF-8', undefined, Buffer.from(`data: ${page}\n\n`)),
        `data: ${filtered}\n\n`,
      );
      t.equal(run(filter, 204), 'passes');
      t.equal(run(filter, 500, 'text/html'), 'passes');
      t.equal(run(filter, 404, 'application/problem+json'), 'passes');
      t.equal(run(filter, 200, 'application/json', undefined, Buffer.alloc(0)), '', 'nothing is no list');
      t.throws(() => run(filter, 200, json, undefined, Buffer.alloc(1001, ' ')), RangeError);
      for (const [type, encoding] of [
        [json, 'gzip'],
        ['text/event-stream', 'br'],
        ['application/json; charset=utf-16'],
        ['Text/Event-Stream;charset=x'],
        ['text/event-stream; charset=utf-16le'],
        ['application/json,text/html'],
        ['text/event-stream,application/json'],
      ]) {
        t.throws(() => run(filter, 200, type, encoding), /neither JSON nor an event stream/, `${type} ${encoding}`);
      }
    }
    for (const type of ['text/html', 'text/plain', 'application/json-seq', '']) {
      t.throws(() => run(list, 200, type), /neither JSON nor an event stream/, type);
    }
    t.equal(run(list, 202, undefined, undefined, Buffer.alloc(0)), '');
    t.equal(run(any, 200, 'text/html'), 'passes', 'a page for browsers');
  },
);
