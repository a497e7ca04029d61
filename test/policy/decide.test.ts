// Policies in YAML, and who may do what under them.
import t from 'tap';
import { decide } from '../../src/policy/decide.ts';
import { denial } from '../../src/policy/decision.ts';
import {
  agent,
  assertTable,
  attributesOf,
  call,
  callerOf,
  callThrough,
  frontend,
  mcpPolicy,
  pathPolicy,
  reporting,
  rpc,
  verdict,
} from './scene.ts';

t.test('the scenario: three clients, one MCP route', (t) => {
  const policy = mcpPolicy(`
    - deny: {tools: ["delete_*"]}
    - allow: {tools: [get_chart_data], when: "has(args.request) && has(args.request.format) && args.request.format == 'json'"}
      require: {scopes: [dashboards:read]}
    - allow: {tools: [get_chart_data]}
      require: {scopes: [exports:create]}
    - allow: {tools: [list_dashboards, get_dashboard_info, "get_chart_*"]}
      require: {scopes: [dashboards:read]}
    - name: sql
      allow: {tools: [execute_sql]}
      require:
        scopes: [queries:execute]
        authenticatedBy: [workloads]
        when: "has(args.request) && has(args.request.limit) && args.request.limit <= 1000"
  `);
  const json = { request: { format: 'json' } };
  const small = { request: { sql: 'SELECT 1', limit: 10 } };
  const agentWithoutCertificate = callerOf({ clientId: 'ai_agent_prod' }, agent.scopes);
  assertTable(t, policy, [
    ['the agent lists dashboards', agent, call('list_dashboards'), 'allow rules[3]'],
    ['so does the frontend', frontend, call('list_dashboards', {}), 'allow rules[3]'],
    ['the agent runs SQL', agent, call('execute_sql', small), 'allow sql'],
    ['but not without its certificate', agentWithoutCertificate, call('execute_sql', small), 'denied sql'],
    ['nor beyond the limit', agent, call('execute_sql', { request: { limit: 1001 } }), 'denied sql'],
    ['nor without one', agent, call('execute_sql', { request: {} }), 'denied sql'],
    ['nor without arguments', agent, call('execute_sql'), 'denied sql'],
    [
      'nor with a limit that is no number',
      agent,
      call('execute_sql', { request: { limit: '10' } }),
      'condition_error sql',
    ],
    ['chart data as JSON is reading', frontend, call('get_chart_data', json), 'allow rules[1]'],
    [
      'in another format it is an export',
      frontend,
      call('get_chart_data', { request: { format: 'csv' } }),
      'insufficient_scope rules[2]: exports:create',
    ],
    [
      'which the reporting tool may',
      reporting,
      call('get_chart_data', { request: { format: 'csv' } }),
      'allow rules[2]',
    ],
    ['a deny stands before what would allow', agent, call('delete_dashboard'), 'denied rules[0]'],
    ['what no rule names is denied', agent, call('generate_chart'), 'denied no rule'],
    ['names are exact', agent, call('Execute_sql', small), 'denied no rule'],
    ['a homoglyph is another name', agent, call('еxecute_sql', small), 'denied no rule'],
    ['so is a trailing space', agent, call('execute_sql ', small), 'denied no rule'],
    ['and a zero-width character', agent, call('execute\u200b_sql', small), 'denied no rule'],
    ['and what follows a NUL', agent, call('execute_sql\u0000x', small), 'denied no rule'],
    [
      'a prompt of the same name is not the tool',
      agent,
      rpc('prompts/get', { name: 'list_dashboards' }),
      'denied no rule',
    ],
  ]);
  t.end();
});

t.test('an unmet demand never falls through to a later rule', (t) => {
  const policy = mcpPolicy(`
    - allow: {tools: [a]}
      require: {scopes: [x, dashboards:read, y]}
    - allow: {tools: ["*"]}
  `);
  assertTable(t, policy, [
    ['all missing scopes are named, and only those', frontend, call('a'), 'insufficient_scope rules[0]: x y'],
    ['the later rule is for other tools', frontend, call('b'), 'allow rules[1]'],
  ]);
  t.strictSame(decide(attributesOf(frontend, call('a')), policy), {
    allow: false,
    reason: 'insufficient_scope',
    rule: 'rules[0]',
    requiredScopes: ['x', 'dashboards:read', 'y'],
    missingScopes: ['x', 'y'],
    unmet: 'scopes',
  });
  t.end();
});

t.test('missing scopes are asked for only where they alone are missing', (t) => {
  const policy = mcpPolicy(`
    - {name: proof, allow: {tools: [a]}, require: {scopes: [x], authenticatedBy: [workloads]}}
    - {name: "no", allow: {tools: [b]}, require: {scopes: [x], when: "has(args.ok)"}}
    - {name: error, allow: {tools: [c]}, require: {scopes: [x], when: "args.ok"}}
    - {name: any, allow: {tools: [d]}, require: {anyScope: [x, y, dashboards:read]}}
    - {name: none, allow: {tools: [e]}, require: {anyScope: [x, y], scopes: [z]}}
  `);
  assertTable(t, policy, [
    ['a certificate is missing too', frontend, call('a'), 'denied proof'],
    ['only the scope is missing', agent, call('a'), 'insufficient_scope proof: x'],
    ['the condition is false too', frontend, call('b'), 'denied no'],
    ['only the scope is missing', frontend, call('b', { ok: 1 }), 'insufficient_scope no: x'],
    ['the condition errs', frontend, call('c'), 'condition_error error'],
    ['one of several scopes is enough', frontend, call('d'), 'allow any'],
    [
      'of several the first is asked for, beside the others that are missing',
      frontend,
      call('e'),
      'insufficient_scope none: z x',
    ],
  ]);
  const bound = { ...frontend, senderConstrained: true };
  const binding = mcpPolicy(`
    - {name: bound, allow: {tools: [a]}, require: {scopes: [x], senderConstrained: true}}
    - {name: any, allow: {tools: [b]}, require: {senderConstrained: false}}
  `);
  assertTable(t, binding, [
    ['a token of any bearer, which no scope would cure', frontend, call('a'), 'denied bound'],
    ['a bound token without the scope', bound, call('a'), 'insufficient_scope bound: x'],
    ['a bound token', { ...bound, scopes: ['x'] }, call('a'), 'allow bound'],
    ['nothing is demanded', frontend, call('b'), 'allow any'],
  ]);
  const allowed = decide(attributesOf(frontend, call('d')), policy);
  t.same(allowed.requiredScopes, ['dashboards:read'], 'the record names the scope that was used');
  t.end();
});

t.test('selectors must all match: clients, claims, networks, condition', (t) => {
  const policy = mcpPolicy(`
    - name: bare
      allow: {tools: [a], clients: [ai_agent_prod, reporting_tool]}
    - name: qualified
      allow: {tools: [b], clients: [corp-oauth/ai_agent_prod, "https://client.example/metadata.json"]}
    - name: claims
      allow: {tools: [c], claims: {tenant: [acme, 7], groups: [admins]}}
    - name: networks
      allow: {tools: [d], networks: [10.0.0.0/8, "2001:db8::/32"]}
    - name: all
      allow: {tools: [e], clients: [ai_agent_prod], networks: [10.0.0.0/8], when: "principal.subject == 'alice'"}
  `);
  const metadataClient = callerOf({ clientId: 'https://client.example/metadata.json' }, []);
  const partnerAgent = callerOf({ clientId: 'ai_agent_prod', authenticator: 'partner' }, []);
  const pretender = callerOf({ clientId: 'corp-oauth/ai_agent_prod', authenticator: 'partner' }, []);
  const claims = (of: Record<string, unknown>) => callerOf({ claims: of }, []);
  const from = (address: string, tool = 'd') => ({ ...call(tool), address });
  assertTable(t, policy, [
    ['a client by its id', agent, call('a'), 'allow bare'],
    ['whoever named it', partnerAgent, call('a'), 'allow bare'],
    ['another client', frontend, call('a'), 'denied no rule'],
    ['a token without a client', callerOf({}, []), call('a'), 'denied no rule'],
    ['a qualified client', agent, call('b'), 'allow qualified'],
    ['the same id from elsewhere', partnerAgent, call('b'), 'denied no rule'],
    ['an id that looks qualified', pretender, call('b'), 'denied no rule'],
    ['an id with slashes is bare', metadataClient, call('b'), 'allow qualified'],
    [
      'every claim has one of its values',
      claims({ tenant: 'acme', groups: ['staff', 'admins'] }),
      call('c'),
      'allow claims',
    ],
    ['a number is a number', claims({ tenant: 7, groups: 'admins' }), call('c'), 'allow claims'],
    ['and not its text', claims({ tenant: '7', groups: 'admins' }), call('c'), 'denied no rule'],
    ['one claim is not enough', claims({ tenant: 'acme' }), call('c'), 'denied no rule'],
    [
      'a claim that every object has',
      claims(JSON.parse('{"__proto__":{"tenant":"acme","groups":"admins"}}')),
      call('c'),
      'denied no rule',
    ],
    ['an address in the range', agent, from('10.1.2.3'), 'allow networks'],
    ['the same address on a dual-stack socket', agent, from('::ffff:10.1.2.3'), 'allow networks'],
    ['an IPv6 address in the range', agent, from('2001:db8::1'), 'allow networks'],
    ['an address outside', agent, from('11.0.0.1'), 'denied no rule'],
    ['no address', agent, from(''), 'denied no rule'],
    ['all of them', agent, from('10.0.0.1', 'e'), 'allow all'],
    ['all but the network', agent, from('11.0.0.1', 'e'), 'denied no rule'],
    ['all but the client', frontend, from('10.0.0.1', 'e'), 'denied no rule'],
    [
      'all but the condition',
      callerOf({ clientId: 'ai_agent_prod', subject: 'bob' }, []),
      from('10.0.0.1', 'e'),
      'denied no rule',
    ],
  ]);
  t.end();
});

t.test('a condition that errs denies, as selector and as demand, in allow and in deny', (t) => {
  const policy = mcpPolicy(`
    - {allow: {tools: [a], when: "args.x == 1"}}
    - {deny: {tools: [b], when: "args.x == 1"}}
    - {allow: {tools: [c]}, require: {when: "args.x == 1"}}
    - {allow: {tools: ["*"]}}
  `);
  assertTable(t, policy, [
    ['true', agent, call('a', { x: 1 }), 'allow rules[0]'],
    ['false: the rule does not govern', agent, call('a', { x: 2 }), 'allow rules[3]'],
    ['an error never falls through', agent, call('a'), 'condition_error rules[0]'],
    ['a deny whose condition errs', agent, call('b'), 'condition_error rules[1]'],
    ['a deny whose condition is false', agent, call('b', { x: 2 }), 'allow rules[3]'],
    ['a demand that errs', agent, call('c'), 'condition_error rules[2]'],
    ['an argument named constructor', agent, call('a', { constructor: 1, x: 1 }), 'allow rules[0]'],
    ['it hides no field from a deny', agent, call('b', { constructor: 1, x: 1 }), 'denied rules[1]'],
  ]);
  t.end();
});

t.test('without rules every caller may do what opens a connection, and nothing else', (t) => {
  const policy = mcpPolicy('[]');
  const open = [
    'initialize',
    'notifications/initialized',
    'notifications/cancelled',
    'notifications/progress',
    'notifications/roots/list_changed',
    'ping',
  ];
  const lists = [
    'server/discover',
    'logging/setLevel',
    'tools/list',
    'resources/list',
    'resources/templates/list',
    'prompts/list',
  ];
  for (const method of [...open, ...lists, 'subscriptions/listen'])
    t.equal(verdict(policy, frontend, rpc(method)), 'allow open', method);
  const response = { ...rpc('ping').message!, kind: 'response' as const, method: undefined };
  t.equal(verdict(policy, frontend, { message: response }), 'allow open', 'a response');
  for (const method of ['GET', 'DELETE']) t.equal(verdict(policy, frontend, { method }), 'allow open', method);
  for (const method of ['POST', 'PUT', 'OPTIONS', 'HEAD'])
    t.equal(verdict(policy, frontend, { method }), 'denied no rule', `${method} without a message`);
  const closed = [
    'sampling/createMessage',
    'roots/list',
    'elicitation/create',
    'tasks/get',
    'x/unknown',
    'Initialize',
    'tools/list/',
  ];
  for (const method of closed) t.equal(verdict(policy, frontend, rpc(method)), 'denied no rule', method);
  for (const method of ['notifications/unknown', 'notifications/cancelled2', 'notifications/']) {
    t.equal(verdict(policy, frontend, rpc(method)), 'denied no rule', `${method}: a missing id opens nothing`);
  }
  t.end();
});

t.test('rules may name methods, and a rule about everything governs the open ones too', (t) => {
  const policy = mcpPolicy(`
    - deny: {methods: [logging/setLevel]}
    - allow: {methods: ["tasks/*"]}
      require: {scopes: [queries:execute]}
    - deny: {clients: [reporting_tool]}
    - allow: {resources: ["superset://*"], methods: [resources/read]}
  `);
  const read = (method: string) => rpc(method, { uri: 'superset://schema' });
  assertTable(t, policy, [
    ['an open method can be denied', agent, rpc('logging/setLevel'), 'denied rules[0]'],
    ['others stay open', agent, rpc('initialize'), 'allow open'],
    ['a method can be allowed', agent, rpc('tasks/get', { taskId: 'x' }), 'allow rules[1]'],
    ['with scopes', frontend, rpc('tasks/get', { taskId: 'x' }), 'insufficient_scope rules[1]: queries:execute'],
    ['a client that may nothing may not even initialize', reporting, rpc('initialize'), 'denied rules[2]'],
    ['nor open a stream', reporting, { method: 'GET' }, 'denied rules[2]'],
    ['a target and a method together', agent, read('resources/read'), 'allow rules[3]'],
    ['are both demanded', agent, read('resources/subscribe'), 'denied no rule'],
  ]);
  t.end();
});

t.test('completion and subscription follow the rule of what they are about', (t) => {
  const policy = mcpPolicy(`
    - deny: {resources: ["superset://secret/*"], prompts: [internal]}
    - allow: {resources: ["superset://*"], prompts: ["*"]}
      require: {scopes: [dashboards:read]}
  `);
  const prompt = (name: string) =>
    rpc('completion/complete', { ref: { type: 'ref/prompt', name }, argument: { name: 'a', value: '' } });
  const resource = (method: string, uri: string) =>
    rpc(method, method === 'completion/complete' ? { ref: { type: 'ref/resource', uri } } : { uri });
  const rows = ['resources/read', 'resources/subscribe', 'resources/unsubscribe', 'completion/complete'].flatMap(
    (method) => [
      [
        `${method} of an allowed resource`,
        frontend,
        resource(method, 'superset://schema/x.json'),
        'allow rules[1]',
      ] as const,
      [`${method} of a denied resource`, frontend, resource(method, 'superset://secret/x'), 'denied rules[0]'] as const,
      [
        `${method} of a resource no rule names`,
        frontend,
        resource(method, 'file:///etc/passwd'),
        'denied no rule',
      ] as const,
      [
        `${method} without the scope`,
        callerOf({}, []),
        resource(method, 'superset://schema'),
        'insufficient_scope rules[1]: dashboards:read',
      ] as const,
    ],
  );
  assertTable(t, policy, [
    ...rows,
    ['a prompt', frontend, rpc('prompts/get', { name: 'quarterly' }), 'allow rules[1]'],
    ['its completion', frontend, prompt('quarterly'), 'allow rules[1]'],
    ['a denied prompt', frontend, rpc('prompts/get', { name: 'internal' }), 'denied rules[0]'],
    ['its completion', frontend, prompt('internal'), 'denied rules[0]'],
  ]);
  t.end();
});

t.test('a subscription needs every URI that it names to be allowed', (t) => {
  const policy = mcpPolicy(`
    - deny: {resources: ["superset://secret/*"]}
    - {name: schema, allow: {resources: ["superset://schema/*"]}, require: {scopes: [dashboards:read]}}
    - {name: sql, allow: {resources: ["superset://sql/*"]}, require: {scopes: [queries:read, dashboards:read]}}
    - {name: exports, allow: {resources: ["superset://exports/*"], methods: [resources/read]}}
    - {name: audits, allow: {resources: ["superset://audits/*"], methods: [subscriptions/listen]}}
    - {name: rest, allow: {methods: ["*"]}}
  `);
  const listen = (...uris: string[]) =>
    rpc('subscriptions/listen', { notifications: { toolsListChanged: true, resourceSubscriptions: uris } });
  const nobody = callerOf({}, []);
  assertTable(t, policy, [
    ['none', nobody, listen(), 'allow rest'],
    ['one', frontend, listen('superset://schema/a'), 'allow rest, schema'],
    ['one that is denied', frontend, listen('superset://secret/a'), 'denied rules[0]'],
    [
      'a denied one behind allowed ones',
      frontend,
      listen('superset://schema/a', 'superset://secret/a'),
      'denied rules[0]',
    ],
    ['one that only a rule for methods would reach', frontend, listen('file:///etc/passwd'), 'denied no rule'],
    ['one that may only be read', frontend, listen('superset://exports/a'), 'denied no rule'],
    ['one whose rule names the method', nobody, listen('superset://audits/a'), 'allow rest, audits'],
    ['a dangerous one', frontend, listen('superset://schema/../secret/a'), 'denied no rule'],
    [
      'the scopes of all are asked for at once',
      nobody,
      listen('superset://schema/a', 'superset://sql/a'),
      'insufficient_scope schema: dashboards:read queries:read',
    ],
    [
      'only those that are missing',
      frontend,
      listen('superset://schema/a', 'superset://sql/a'),
      'insufficient_scope sql: queries:read',
    ],
    ['but not where scope would not help', nobody, listen('superset://schema/a', 'file:///a'), 'denied no rule'],
    [
      'several rules',
      reporting,
      listen('superset://schema/a', 'superset://sql/a', 'superset://sql/b'),
      'allow rest, schema, sql',
    ],
  ]);
  t.strictSame(decide(attributesOf(nobody, listen('superset://schema/a', 'superset://sql/a')), policy).requiredScopes, [
    'dashboards:read',
    'queries:read',
  ]);
  const guarded = mcpPolicy(`
    - {name: listen, allow: {methods: [subscriptions/listen]}, require: {scopes: [queries:execute]}}
    - {name: all, allow: {resources: ["*"]}}
  `);
  assertTable(t, guarded, [
    [
      'what the method itself demands is demanded with a URI too',
      frontend,
      listen('a:b'),
      'insufficient_scope listen: queries:execute',
    ],
    ['and met', agent, listen('a:b'), 'allow listen, all'],
  ]);
  const anyMethod = mcpPolicy('[{allow: {methods: ["*"]}}]');
  const tasks = (notifications: object) => rpc('subscriptions/listen', { notifications });
  assertTable(t, anyMethod, [
    ['tasks that may be read', agent, tasks({ taskIds: ['task-1'] }), 'allow rules[0]'],
    ['what no rule can judge', agent, tasks({ toolsListChanged: true, tasks: ['task-1'] }), 'denied no rule'],
  ]);
  const closed = mcpPolicy('[{deny: {methods: ["subscriptions/*"]}}, {allow: {resources: ["*"]}}]');
  assertTable(t, closed, [['a deny by method governs', agent, listen('a:b'), 'denied rules[0]']]);
  t.end();
});

t.test('a resource URI that two readers could resolve differently matches no allow', (t) => {
  const policy = mcpPolicy(`
    - deny: {resources: ["file:///etc/*"]}
    - allow: {resources: ["*"]}
    - allow: {methods: ["*"]}
  `);
  const read = (uri: string) => verdict(policy, agent, rpc('resources/read', { uri }));
  const dangerous = [
    'file:///srv/../etc/passwd',
    'file:///srv/..',
    'file:///./a',
    'file:///srv/.',
    '../a',
    '.',
    'superset:../a',
    'file:///srv\\..\\a',
    'file:///srv/..?x',
    'file:///srv/..#x',
    'file:///srv/%2e%2E/a',
    'file:///srv%2fa',
    'file:///srv%5Ca',
    'file:///srv/%252e',
    'file:///srv/%00',
    'file:///srv/a%0d%0a',
    'file:///srv/a\n',
    'file:///srv/a\u0000',
    'file:///srv/a\u0085',
  ];
  const open = mcpPolicy('[{allow: {resources: ["*"]}}, {allow: {methods: ["*"]}}]');
  for (const uri of dangerous) {
    t.equal(verdict(open, agent, rpc('resources/read', { uri })), 'denied no rule', JSON.stringify(uri));
    t.match(read(uri), /^denied /, `${JSON.stringify(uri)} behind a deny`);
  }
  t.equal(read('file:///srv/../etc/passwd'), 'denied rules[0]', 'a deny matches what a browser reads');
  t.equal(read('file:///etc/../etc/passwd'), 'denied rules[0]', 'a deny still matches');
  const harmless = [
    'file:///srv/a.b',
    'file:///srv/..a',
    'file:///srv/a..',
    'file:///srv/.../a',
    'file:///srv/.hidden',
    'superset://chart/1?x=%20%C3%A9',
    'urn:a:b',
  ];
  for (const uri of harmless) t.equal(read(uri), 'allow rules[1]', uri);
  t.end();
});

t.test('denies see the meta-tool and what is behind it, allowances only what is behind it', (t) => {
  const policy = mcpPolicy(`
    - deny: {tools: [execute_sql]}
    - {name: meta, deny: {tools: [run_anything]}}
    - allow: {tools: [call_tool, list_dashboards]}
  `);
  assertTable(t, policy, [
    ['an allowed tool behind the meta-tool', agent, callThrough('call_tool', 'list_dashboards'), 'allow rules[2]'],
    ['a denied one', agent, callThrough('call_tool', 'execute_sql'), 'denied rules[0]'],
    [
      'that the meta-tool is allowed allows nothing',
      agent,
      callThrough('call_tool', 'get_chart_info'),
      'denied no rule',
    ],
    ['a denied meta-tool', agent, callThrough('run_anything', 'list_dashboards'), 'denied meta'],
  ]);
  t.end();
});

t.test('path routes: scopes are short for one rule', (t) => {
  assertTable(t, pathPolicy('scopes: [dashboards:read]'), [
    ['with the scope', frontend, { method: 'GET', path: '/api/dashboards' }, 'allow scopes'],
    ['without', callerOf({}, ['other']), { method: 'GET' }, 'insufficient_scope scopes: dashboards:read'],
    ['nobody', undefined, { method: 'GET' }, 'denied scopes'],
  ]);
  assertTable(t, pathPolicy('{}'), [
    ['without rules whoever is authenticated', frontend, { method: 'GET' }, 'allow authenticated'],
    ['or anybody where no credential is asked for', undefined, { method: 'GET' }, 'allow authenticated'],
  ]);
  assertTable(t, pathPolicy('rules: []'), [
    ['no rules at all allow nothing', agent, { method: 'GET' }, 'denied no rule'],
    ['and nothing is open', agent, { method: 'DELETE' }, 'denied no rule'],
  ]);
  t.end();
});

t.test('path routes: rules by method and path', (t) => {
  const policy = pathPolicy(`
    rules:
      - deny: {paths: [/api/dashboards/private/*]}
      - allow: {methods: [GET], paths: [/api/dashboards/*]}
        require: {scopes: [dashboards:read]}
      - allow: {methods: [POST], paths: [/api/queries], when: "request.path == '/api/queries' && principal.kind == 'oauth' && tool == ''"}
        require: {scopes: [queries:execute]}
      - allow: {methods: [DELETE]}
        require: {when: "request.address == '192.0.2.1' && route == 'superset-mcp' && !has(args.x)"}
  `);
  const at = (method: string, path: string, address?: string) => ({ method, path, ...(address && { address }) });
  assertTable(t, policy, [
    ['the path itself', frontend, at('GET', '/api/dashboards'), 'allow rules[1]'],
    ['one trailing slash', frontend, at('GET', '/api/dashboards/'), 'allow rules[1]'],
    ['below it', frontend, at('GET', '/api/dashboards/7/charts'), 'allow rules[1]'],
    ['HEAD follows GET', frontend, at('HEAD', '/api/dashboards/7'), 'allow rules[1]'],
    ['a sibling with the same beginning', frontend, at('GET', '/api/dashboardsX'), 'denied no rule'],
    ['another case', frontend, at('GET', '/API/dashboards'), 'denied no rule'],
    ['a denied subtree', frontend, at('GET', '/api/dashboards/private'), 'denied rules[0]'],
    ['and below it', frontend, at('GET', '/api/dashboards/private/7'), 'denied rules[0]'],
    ['another method', frontend, at('PUT', '/api/dashboards/7'), 'denied no rule'],
    ['a query', agent, at('POST', '/api/queries'), 'allow rules[2]'],
    ['exact paths have nothing below', agent, at('POST', '/api/queries/7'), 'denied no rule'],
    ['a key is not a token', reporting, at('POST', '/api/queries'), 'denied no rule'],
    ['the facts of the request', agent, at('DELETE', '/x'), 'allow rules[3]'],
    ['from elsewhere', agent, at('DELETE', '/x', '192.0.2.2'), 'denied rules[3]'],
  ]);
  t.end();
});

t.test('a denial is told to the client in a stable way', (t) => {
  const policy = mcpPolicy(
    '[{allow: {tools: [a]}, require: {scopes: [x, y]}}, {allow: {tools: [b], when: "args.x == 1"}}, {deny: {tools: [c]}}]',
  );
  const errorFor = (tool: string) => {
    const decision = decide(attributesOf(frontend, call(tool)), policy);
    if (decision.allow) throw new Error('expected a denial');
    return denial(decision);
  };
  t.match(errorFor('a'), {
    code: 'insufficient_scope',
    status: 403,
    missingScopes: ['x', 'y'],
    message: /needs the scopes x y\. Ask for a token with these scopes and call again/,
  });
  t.match(errorFor('b'), { code: 'condition_error', status: 403, missingScopes: [] });
  t.match(errorFor('c'), { code: 'denied', status: 403, missingScopes: [], reason: 'rule' });
  t.match(errorFor('d'), { code: 'denied', reason: 'no_rule' });
  t.equal(errorFor('c').message, errorFor('d').message, 'a client does not learn which');
  t.end();
});
