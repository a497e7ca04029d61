// Names that one reader takes for another: `deny: delete_*` does not match ` delete_all`, `delete\u200b_all` or the full-width `ｄelete_all`, the
// `allow: *` behind it does, and a server that trims, normalizes or resolves carries out what was denied. Likewise `file:///srv/%c0%ae%c0%ae/etc`,
// `..;/`, `％2e`, backslashes, and the paths of path routes.
import fc from 'fast-check';
import t from 'tap';
import { isPlainPath } from '../../src/http/path.ts';
import { showsItem } from '../../src/policy/visibility.ts';
import { agent, attributesOf, call, mcpPolicy, rpc, verdict } from '../policy/scene.ts';
import { startScenario } from '../support/scenario.ts';

const unseen = [
  '\0',
  '\t',
  '\n',
  ' ',
  '\u00a0',
  '\u00ad',
  '\u200b',
  '\u200d',
  '\u2060',
  '\ufeff',
  '\u202e',
  '\u{e0061}',
  '\u3164',
];
const names = [
  ...unseen.flatMap((character) => [`${character}delete_all`, `delete${character}_all`, `x${character}`]),
  '\uff44elete_all',
  'd\u0435lete_all',
  'delete\uff3fall',
  'delet\u0065\u0301_all',
  'de\u217cete_all',
  '\u{1d41d}elete_all',
  'de,lete',
  'x:delete_all',
  '',
];

t.test(
  'tool names outside of MCP’s characters under deny: delete_*, allow: *: denied, recorded, not forwarded',
  async (t) => {
    const rules = [
      { name: 'no-deletion', deny: { tools: ['delete_*'], prompts: ['internal*'], resources: ['file:///etc/*'] } },
      { name: 'rest', allow: { tools: ['*', 'my tool'], prompts: ['*'], resources: ['*'] } },
      { name: 'methods', allow: { methods: ['*'] } },
    ];
    const { agent, upstream, recordOf } = await startScenario(
      t,
      { routes: { '/mcp': { mcp: { denials: 'http', rules } } } },
      { inject: true },
    );
    const ask = (method: string, params: object) => agent.post({ jsonrpc: '2.0', id: 1, method, params });
    const attempts: [string, object][] = [
      ...names.map((name): [string, object] => ['tools/call', { name }]),
      ...unseen.map((character): [string, object] => ['prompts/get', { name: `${character}internal` }]),
      ['prompts/get', { name: '\uff49nternal' }],
      [
        'completion/complete',
        { ref: { type: 'ref/prompt', name: '\u200binternal' }, argument: { name: 'a', value: '' } },
      ],
      ['resources/read', { uri: 'file:///srv/%c0%ae%c0%ae/etc/passwd' }],
      ['resources/read', { uri: 'file:///srv/\uff0e\uff0e/etc/passwd' }],
      ['resources/subscribe', { uri: 'file:///srv/..;/etc/passwd' }],
    ];
    for (const [method, params] of attempts) {
      const answer = await ask(method, params);
      const named = JSON.stringify(params);
      t.same([answer.status, JSON.parse(answer.text).error.data.code], [403, 'denied'], named);
      t.match(
        await recordOf(answer),
        { decision: 'deny', outcome: 'refused', reason: 'denied', rule: undefined },
        named,
      );
    }
    t.equal(upstream.requests.length, 0, 'the upstream saw none of them');
    t.equal((await recordOf(await ask('tools/call', { name: 'delete_all' }))).rule, 'no-deletion');
    for (const name of ['list_dashboards', 'Get-Chart.v2', 'space/tool_1', 'my tool']) {
      t.equal((await ask('tools/call', { name })).status, 200, `${name} passes`);
    }
    t.equal(upstream.requests.length, 4);
  },
);

t.test('a name that no rule allows is in no list, but for one that is written out', (t) => {
  const policy = mcpPolicy('[{allow: {tools: ["*", "my tool"], prompts: ["*"], methods: ["*/*"]}}]');
  const shows = showsItem(attributesOf(agent, rpc('tools/list')), { policy, lists: 'usable' });
  const [tools, prompts] = [
    { kind: 'tool', member: 'tools', key: 'name' } as const,
    { kind: 'prompt', member: 'prompts', key: 'name' } as const,
  ];
  t.same(
    names.filter((name) => shows(tools, name) || shows(prompts, name)),
    [],
  );
  t.same(
    ['list_dashboards', 'my tool'].map((name) => shows(tools, name)),
    [true, true],
  );
  t.equal(verdict(policy, agent, call('my tool')), 'allow rules[0]');
  t.equal(verdict(policy, agent, call('my  tool')), 'denied no rule');
  t.end();
});

t.test('methods likewise: a glob of an allow matches those of plain characters', (t) => {
  const policy = mcpPolicy('[{deny: {methods: ["tasks/*"]}}, {allow: {methods: ["*", "x y"]}}]');
  for (const method of ['tasks\u200b/get', ' tasks/get', 'tasks\0/get', '\uff54asks/get', 'tasks\u2215get', '']) {
    t.equal(verdict(policy, agent, rpc(method)), 'denied no rule', JSON.stringify(method));
  }
  t.equal(verdict(policy, agent, rpc('tasks/get', { taskId: 'a' })), 'denied rules[0]');
  for (const method of ['vendor/list_things', 'x y'])
    t.equal(verdict(policy, agent, rpc(method)), 'allow rules[1]', method);
  t.end();
});

t.test('resource URIs with overlong UTF-8, full-width dots, ..;/, backslashes and their kin match no allow', (t) => {
  const policy = mcpPolicy(
    '[{deny: {resources: ["file:///etc/*"]}}, {allow: {resources: ["*"]}}, {allow: {methods: ["*"]}}]',
  );
  const read = (uri: string) => verdict(policy, agent, rpc('resources/read', { uri }));
  const refused = [
    ...['%c0%ae%c0%ae', '%e0%80%ae%e0%80%ae', '%f0%80%80%ae.', '%c0%2e.', '%uff0e%uff0e', '%u002e.', '%', '%e9'],
    ...['\uff0e\uff0e', '\u2025', '\u3002\u3002', '%ef%bc%8e%ef%bc%8e', '%EF%BC%8E.', '\u2024.', '%E2%80%A5'],
    ...['..;', '..;a=b', '.;', '..%3b', '.. ', '..%20', '..%09', '.\u200b.', '..%E2%80%8B'],
  ].map((segment) => `file:///srv/${segment}/etc/passwd`);
  const others = [
    ...[
      'file:///srv\\etc',
      'file:\\\\\\etc\\passwd',
      'file:///srv\uff0f..\uff0fetc',
      'file:///srv%ef%bc%8f..%ef%bc%8fetc',
      'file:///srv\u2215..\u2215etc',
    ],
    ...[
      'file:///%65tc/passwd',
      'file:///et%63/passwd',
      'file:////etc/passwd',
      'file:///srv//..//etc',
      'FILE:///etc/passwd',
      'File:///etc/passwd',
      'file:/etc/passwd',
      'file:etc/passwd',
      'file://localhost/etc/passwd',
    ],
    ...[
      '\uff46ile:///etc/passwd',
      'file\uff1a///etc/passwd',
      'file:///\uff45tc/passwd',
      'file:///etc\u200b/passwd',
      'file:///\u202eetc/passwd',
    ],
  ];
  const open = mcpPolicy('[{allow: {resources: ["*"]}}, {allow: {methods: ["*"]}}]');
  for (const uri of [...refused, ...others]) {
    t.equal(verdict(open, agent, rpc('resources/read', { uri })), 'denied no rule', JSON.stringify(uri));
    t.match(read(uri), /^denied /, `${JSON.stringify(uri)} behind a deny`);
  }
  t.equal(read('file:///etc/..;/etc'), 'denied rules[0]', 'a deny still matches');
  const plain = [
    ...[
      'file:///srv/a.b;v=1',
      'file:///srv/%E2%82%AC%20a',
      'file:///srv/r\u00e9sum\u00e9',
      'file:///srv/re\u0301sume\u0301',
      'file:///srv/a b',
    ],
    ...[
      'fetch://https://example.com/a',
      'urn:isbn:1',
      'instance://metadata',
      'chart://configs?q=A%2BB//b',
      'x://h/a...b',
      'file:///srv/a\u202fb',
    ],
  ];
  for (const uri of plain) t.equal(read(uri), 'allow rules[1]', uri);
  t.end();
});

t.test('other spellings of a denied host, such as https:///internal/x and https://INTERNAL/x, match no allow', (t) => {
  const rules = '[{deny: {resources: ["https://internal/*", "file://nas/*"]}}, {allow: {resources: ["*"]}}]';
  const policy = mcpPolicy(rules);
  const read = (uri: string) => verdict(policy, agent, rpc('resources/read', { uri }));
  const others = [
    ...['https:///internal/x', 'https:/internal/x', 'https:internal/x', 'https://internal?x', 'https://internal#x'],
    ...[
      'https://INTERNAL/x',
      'https://internal./x',
      'https://%69nternal/x',
      'https://u@internal/x',
      'https://@internal/x',
    ],
    ...['https://internal:443/x', 'https://internal:/x', 'https://internal:0443/x', 'wss://h:443/', 'ftp://h:21/'],
    ...[
      'http://2130706433/',
      'http://0x7f.1/',
      'http://127.1/',
      'http://[0:0::1]/',
      'http://[::1',
      'http://b\u00fccher/',
    ],
    ...['file://NAS/x', 'file:nas/x', 'file://localhost/x'],
  ];
  const open = mcpPolicy('[{allow: {resources: ["*"]}}]');
  for (const uri of others) {
    t.equal(verdict(open, agent, rpc('resources/read', { uri })), 'denied no rule', uri);
    t.match(read(uri), /^denied /, `${uri} behind a deny`);
  }
  for (const uri of ['https://internal/x', 'file://nas/x']) t.equal(read(uri), 'denied rules[0]', uri);
  const plain = [
    ...['https://h', 'https://h/A?b=//c', 'https://h:8443/a', 'http://127.0.0.1/', 'http://[::1]:800/'],
    ...[
      'http://xn--bcher-kva/',
      'file:///C:/x',
      'file://other/x',
      'superset://Host:443/x',
      'https://{tenantId}.h:{port}/x',
    ],
  ];
  for (const uri of plain) t.equal(read(uri), 'allow rules[1]', uri);
  const shows = showsItem(attributesOf(agent, rpc('resources/templates/list')), { policy, lists: 'usable' });
  const templates = { kind: 'resource', member: 'resourceTemplates', key: 'uriTemplate' } as const;
  for (const template of [
    'https://{host}:{port}/{+path}',
    'https://{host}',
    'https://h{?q}',
    'file:///{+path}',
    'db:{id}',
  ])
    t.equal(shows(templates, template), true, template);
  t.equal(shows(templates, 'https://H/{path}'), false);
  t.end();
});

t.test(
  'docs://s%C3%A9cret/a and its kin are judged like docs://sécret/a, by deny, by allow and in lists',
  async (t) => {
    const denied = [
      'http://secret/*',
      'docs://s\u00e9cret/*',
      'docs://a b/*',
      'docs://h:80/*',
      'docs://(x)/*',
      'http://UPPER/*',
      'http://Host-*',
    ];
    const rules = [
      { name: 'secret', deny: { resources: [...denied, 'file:///C:/*', 'docs://%E2%82%AC/*'] } },
      { name: 'guarded', allow: { resources: ['docs://caf\u00e9/*'] }, require: { scopes: ['nobody:has'] } },
      { name: 'question', allow: { resources: ['docs://ask?q=*'] }, require: { scopes: ['nobody:has'] } },
      { name: 'rest', allow: { resources: ['*'] } },
    ];
    const {
      agent: client,
      upstream,
      recordOf,
    } = await startScenario(t, { routes: { '/mcp': { mcp: { denials: 'http', rules } } } }, { inject: true });
    const read = (uri: string) => client.post({ jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri } });
    const refused: [string, string | undefined][] = [
      ...[
        'http://secret/a',
        'http://secret',
        'HTTP://secret/a',
        'http://SECRET/a',
        'http://secret:80/a',
        'http:secret/a',
      ].map((uri): [string, string] => [uri, 'secret']),
      ...['http:/secret/a', 'http:///secret/a', 'http://upper/a', 'http://host-1/a', 'http://UPPER/a'].map(
        (uri): [string, string] => [uri, 'secret'],
      ),
      ['http://u@secret/a', undefined],
      ['http://secret./a', undefined],
      ...['docs://s%C3%A9cret/a', 'docs://s%c3%a9cret/a', 'docs://se\u0301cret/a', 'docs://se%CC%81cret/a'].map(
        (uri): [string, string] => [uri, 'secret'],
      ),
      ...[
        'docs://a%20b/',
        'docs://h:080/x',
        'docs://@h:80/x',
        'docs://%28x%29/',
        'file:///C|/x',
        'docs://\u20ac/x',
      ].map((uri): [string, string] => [uri, 'secret']),
      ['docs://caf%C3%A9/x', 'guarded'],
      ['docs://cafe\u0301/x', 'guarded'],
      ['docs://ask?q=1', 'question'],
    ];
    for (const [uri, rule] of refused) {
      const answer = await read(uri);
      t.equal(answer.status, 403, uri);
      t.match(await recordOf(answer), { decision: 'deny', outcome: 'refused', rule }, uri);
    }
    t.equal(upstream.requests.length, 0, 'the upstream saw none of them');
    const plain = ['docs://x', 'ui://', 'ui://app/view.html', 'config://app', 'superset://chart/1', 'file:///a/b.txt'];
    const others = [
      'docs://caf\u00e8/x',
      'docs://ask%3Fq=1',
      'docs://secret/%28',
      'file:///srv/re\u0301sume\u0301',
      'a:b c',
    ];
    for (const uri of [...plain, ...others]) t.equal((await read(uri)).status, 200, uri);
    const policy = mcpPolicy(JSON.stringify(rules));
    const shows = showsItem(attributesOf(agent, rpc('resources/list')), { policy, lists: 'usable' });
    const resources = { kind: 'resource', member: 'resources', key: 'uri' } as const;
    const templates = { kind: 'resource', member: 'resourceTemplates', key: 'uriTemplate' } as const;
    for (const [uri] of refused) t.equal(shows(resources, uri), false, `${uri} in a list`);
    for (const uri of [...plain, ...others]) t.equal(shows(resources, uri), true, `${uri} in a list`);
    t.equal(shows(templates, 'docs://s%C3%A9cret/{id}'), false);
    t.equal(shows(templates, 'docs://se\u0301cret/{id}/x'), false);
    t.equal(shows(templates, 'docs://caf\u00e8/{id}'), true);
  },
);

t.test('no URI passes an allow whose reading by a WHATWG parser, decoder or normalizer is denied (property)', (t) => {
  const pieces = [
    's\u00e9',
    's%C3%A9',
    's%c3%a9',
    'se\u0301',
    'se%CC%81',
    'S\u00c9',
    'a',
    ' ',
    '%20',
    '(',
    '%28',
    '|',
    '%7C',
    '^',
    '%5E',
  ];
  const marks = ['/', '/', '?', '%3F', '#', '@', ':', ':80', ':080', '%2B', '+', '.', '*', '%2A', '{', '%7B'];
  const heads = [
    'docs://',
    'docs:/',
    'docs:',
    'http://',
    'http:/',
    'http:',
    'HTTP://',
    'http:///',
    'file:///',
    'file://',
    'ui://u@',
  ];
  const tail = fc.array(fc.constantFrom(...pieces, ...marks), { maxLength: 6 }).map((parts) => parts.join(''));
  const head = fc.constantFrom(...heads);
  const readings = (uri: string): string[] => {
    const href = URL.canParse(uri) ? new URL(uri).href : uri;
    const isCuttable = /%(?:3F|2[AB]|28|2B|7B)/i.test(uri);
    return [href, uri.normalize('NFC'), href.normalize('NFC'), isCuttable ? href : decodeURI(href).normalize('NFC')];
  };
  let passed = 0;
  let denied = 0;
  fc.assert(
    fc.property(head, tail, head, tail, (head, text, deniedHead, deniedText) => {
      const uri = head + text;
      for (const glob of [`${deniedHead}${deniedText}*`, `${head}${text.slice(0, 4)}*`, ...readings(uri)]) {
        const policy = mcpPolicy(JSON.stringify([{ deny: { resources: [glob] } }, { allow: { resources: ['*'] } }]));
        const verdictOf = (each: string) => verdict(policy, agent, rpc('resources/read', { uri: each }));
        if (!verdictOf(uri).startsWith('allow')) denied++;
        else {
          passed++;
          for (const reading of readings(uri)) if (verdictOf(reading) === 'denied rules[0]') return false;
        }
      }
      return true;
    }),
    { numRuns: 600 },
  );
  t.ok(passed > 100 && denied > 300, `${passed} passed, ${denied} denied`);
  t.end();
});

t.test('paths of path routes in another form than their own are no plain paths', (t) => {
  for (const segment of [
    '%c0%ae%c0%ae',
    '..;',
    '\\..',
    '%EF%BC%8E%EF%BC%8E',
    '%E2%80%A5',
    'a%EF%BC%8Fb',
    'a%E2%88%95b',
    'a%EF%BC%BCb',
    '%E3%80%82.',
  ])
    t.equal(isPlainPath(`/api/${segment}/admin`), false, segment);
  for (const segment of ['%E2%80%A6x', '%C2%BD', 'a%E2%80%AFb', '%E2%84%A2', 'caf%C3%A9'])
    t.equal(isPlainPath(`/api/${segment}/admin`), true, segment);
  t.end();
});

/** A server that takes a name for a shorter or plainer one. */
const lenientName = (name: string): string =>
  (name.split('\0')[0] ?? '')
    .normalize('NFKC')
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '')
    .trim();

/** A server that decodes twice, takes overlong UTF-8 and other widths, and then resolves the path. */
function lenientUri(uri: string): string {
  let text = uri.replace(/%c0%([89ab][0-9a-f])/gi, (_all, low: string) =>
    String.fromCharCode(Number.parseInt(low, 16) & 0x3f),
  );
  for (let i = 0; i < 2; i++)
    text = text.replace(/%([0-7][0-9a-f])/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  text = text.replace(/%EF%BC%(8E|8F)/gi, (_all, last: string) => (last.toUpperCase() === '8E' ? '.' : '/'));
  text = lenientName(text).replaceAll('\u3002', '.').replaceAll('\u2215', '/').replaceAll('\\', '/').toLowerCase();
  const [scheme = '', rest = ''] = text.split(/:(.*)/s);
  const resolved: string[] = [];
  for (const segment of rest.split('/').map((each) => each.split(';')[0]!.trim())) {
    if (segment === '..') resolved.pop();
    else if (segment !== '.' && segment !== '') resolved.push(segment);
  }
  return `${scheme}:///${resolved.join('/')}`;
}

t.test('no name passes an allow that a lenient server takes for one that is denied (property)', (t) => {
  const policy = mcpPolicy(
    '[{deny: {tools: ["delete_*"], prompts: ["delete_*"], resources: ["file:///etc*"]}}, {allow: {tools: ["*"], prompts: ["*"], resources: ["*"]}}, {allow: {methods: ["*"]}}]',
  );
  const pieces = ['delete_', 'delete', '_', 'all', 'x', '\uff44elete_', '\uff3f', 'delete\u2060_', ...unseen];
  const name = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''));
  let passed = 0;
  const allowed = (request: ReturnType<typeof rpc>) => {
    const isAllowed = verdict(policy, agent, request).startsWith('allow');
    if (isAllowed) passed++;
    return isAllowed;
  };
  fc.assert(
    fc.property(name, fc.boolean(), (name, isTool) => {
      const request = isTool ? call(name) : rpc('prompts/get', { name });
      return !allowed(request) || !lenientName(name).startsWith('delete_');
    }),
    { numRuns: 3000 },
  );
  const segments = [
    ...[
      'etc',
      'srv',
      'e',
      'tc',
      '%65tc',
      '\uff45tc',
      '/',
      '/',
      '/',
      '//',
      '\\',
      '%2f',
      '%5c',
      '\uff0f',
      '%EF%BC%8F',
      '\u2215',
    ],
    ...[
      '..',
      '.',
      '%2e',
      '%252e',
      '%c0%ae',
      '\uff0e',
      '%EF%BC%8E',
      '\u3002',
      '\u2025',
      ';',
      ';a=b',
      '%3b',
      ' ',
      '%20',
      '\u200b',
    ],
  ];
  const uri = fc
    .tuple(
      fc.constantFrom('file:///', 'FILE:///', 'file:///srv/'),
      fc.array(fc.constantFrom(...segments), { maxLength: 7 }),
    )
    .map(([scheme, parts]) => scheme + parts.join(''));
  fc.assert(
    fc.property(uri, (uri) => {
      return !allowed(rpc('resources/read', { uri })) || !/^file:\/\/\/etc/.test(lenientUri(uri));
    }),
    { numRuns: 5000 },
  );
  t.ok(passed > 300, `${passed} passed`);
  t.end();
});
