// Made-up requests, held to the live gateway: the same caller by its real credentials and by a form gets the same answer.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { judge } from '../../src/review/judge.ts';
import { openPolicyFile } from '../../src/review/policy-file.ts';
import { FormError, readForm, requestForm } from '../../src/review/request-form.ts';
import {
  allowedCertificates,
  type CertificateState,
  certificatesByState,
  combinations,
  neededScope,
  type Presented,
  routeSections,
  routes,
} from '../gateway/matrix-oracle.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { type ClientAnswer, type TestClient, toolCall } from '../support/client.ts';
import { keyEntry } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

const key = (name: string) => `sk_${name.padEnd(43, '0')}`;
const oldKey = key('sunset').replace('sk_', 'old_');
const keyEntries = [
  keyEntry('key-good', key('good')),
  keyEntry('key-expired', key('expired'), { expires: '2020-01-01' }),
  keyEntry('key-later', key('later'), { notBefore: '2090-01-01' }),
  keyEntry('key-elsewhere', key('elsewhere'), { networks: ['192.0.2.0/24'] }),
  keyEntry('key-revoked', key('revoked')),
];
const catalog = JSON.stringify({
  format: 'portcullis-catalog-1',
  protocolVersion: '2025-06-18',
  server: { name: 'superset', version: '6.1.0' },
  tools: [{ name: 'recorded' }],
  resources: [],
  resourceTemplates: [],
  prompts: [],
});
const certificates = await createTestCertificates();
const scenario = await startScenario(
  t,
  {
    scopes: {
      'dashboards:read': 'See dashboards',
      'dashboards:write': 'Edit dashboards',
      'queries:read': 'See queries',
      'queries:execute': 'Run SQL',
      'exports:create': 'Export',
    },
    scopeImplies: { 'dashboards:write': ['dashboards:read'] },
    revocation: { file: 'revoked.yaml' },
    authenticators: {
      corp: { claims: { tenant: 'org_id' }, maxScopes: ['dashboards:read', 'dashboards:write', 'queries:execute'] },
      workloads: {
        allow: allowedCertificates,
      },
      keys: { keys: keyEntries },
      old: {
        type: 'apiKey',
        prefix: 'old_',
        header: 'x-old-key',
        sunset: '2026-01-01',
        keys: [keyEntry('key-sunset', oldKey)],
      },
    },
    upstreams: {
      named: {
        url: 'http://127.0.0.1:1',
        identity: { assertion: { audience: 'superset', username: { default: `\${claims.tenant}` } } },
      },
    },
    routes: [
      ...routeSections,
      { name: 'bound', path: '/bound', senderConstraint: 'required' },
      { name: 'named', path: '/named', upstream: 'named', scopes: [neededScope] },
      { name: 'old', path: '/old', authenticate: 'old', scopes: [neededScope] },
      { name: 'read-only', path: '/read-only/*', methods: ['GET'], scopes: [neededScope] },
      { name: 'health', path: '/health', authenticate: 'none', respond: { json: { status: 'healthy' } } },
      {
        name: 'mcp',
        path: '/mcp',
        authenticate: { anyOf: ['corp', 'keys'], optional: ['workloads'] },
        mcp: {
          preset: { name: 'superset', rules: false },
          rules: [
            { name: 'no-deletes', deny: { tools: ['delete_*'] } },
            {
              name: 'sql',
              allow: { tools: ['execute_sql'] },
              require: {
                scopes: ['queries:execute'],
                authenticatedBy: ['workloads'],
                when: 'args.request.limit <= 1000 && args.request.limit >= 1',
              },
            },
            { name: 'lists', allow: { tools: ['list_*'] }, require: { scopes: [neededScope] } },
            { name: 'guides', allow: { resources: ['superset://*'] } },
          ],
        },
      },
      {
        name: 'pinned',
        path: '/pinned',
        mcp: { catalog: { file: 'catalog.json' }, rules: [{ name: 'all', allow: { tools: ['*'] } }] },
      },
      {
        name: 'strict',
        path: '/strict',
        mcp: { denials: 'http', rules: [{ deny: { tools: ['*'] } }] },
      },
    ],
  },
  {
    tls: certificates,
    files: {
      'revoked.yaml': 'clientIds: [former_agent]\nsubjects: [leaver]\nkeyIds: [key-revoked]\n',
      'catalog.json': catalog,
    },
  },
);
const file = join(scenario.directory, 'gateway.yaml');
const policyFile = await openPolicyFile(file, { env: process.env });
t.teardown(policyFile.close);

const judged = (form: unknown) => judge(policyFile, readForm(requestForm, form), { now: Date.now });

interface Live {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly certificate?: CertificateState;
  readonly path: string;
  readonly method?: string;
  readonly message?: unknown;
}

const connections = new Map<CertificateState, TestClient>();
const certificateOf = certificatesByState(certificates);
const commonNames: Partial<Record<CertificateState, string>> = {
  good: 'client-ai-agent-1',
  'other-client': 'client-reporting-1',
  unlisted: 'client-ai-agent-2',
};

async function send({
  claims,
  headers,
  certificate = 'no',
  path,
  method = 'GET',
  message,
}: Live): Promise<ClientAnswer> {
  const client =
    connections.get(certificate) ?? scenario.connect({ certificate: certificateOf[certificate], connections: 4 });
  connections.set(certificate, client);
  const shown = { ...headers, ...(claims !== undefined && (await scenario.bearer(claims))) };
  return message === undefined
    ? client.send({ path, method, headers: shown })
    : client.post(message, { path, headers: shown });
}

/** What both must agree on: the whole answer of a refusal, the rule, and the codes of the record. */
async function same(t: Test, live: Live, form: unknown, about: string): Promise<void> {
  const answer = await send(live);
  const record = await scenario.recordOf(answer);
  const { answer: own, decision, error } = judged(form);
  const compared = ['content-type', 'www-authenticate', 'allow', 'cache-control', 'deprecation', 'sunset'];
  const isOurs = record.upstream === undefined;
  t.same(
    {
      status: isOurs ? own?.status : undefined,
      headers: isOurs && compared.map((name) => headersOf(own?.headers ?? {})[name]),
      body: isOurs ? own?.body.replaceAll('request-id', answer.id) : undefined,
      code: error?.code,
      rule: decision?.rule,
      missing: decision?.allow === false ? decision.missingScopes : [],
    },
    {
      status: isOurs ? answer.status : undefined,
      headers: isOurs && compared.map((name) => answer.headers[name]),
      body: isOurs ? answer.text : undefined,
      code: record.decision === 'deny' ? record.reason : undefined,
      rule: record.rule,
      missing: record.scopes?.missing ?? [],
    },
    about,
  );
}

function headersOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const agent = { client_id: 'ai_agent_prod', sub: 'ai-agent' };
const agentForm = { client: 'ai_agent_prod', subject: 'ai-agent' };

t.test('every combination of token, certificate and key on every form of authenticate', async (t) => {
  const scopes = { good: [neededScope, 'queries:execute'], 'under-scoped': ['queries:execute'] };
  const stated = combinations().filter(
    ({ token, certificate, key, keyPlace }) =>
      (token === 'no' || (token in scopes && key === 'no')) &&
      certificate !== 'other-authority' &&
      keyPlace === 'header',
  );
  t.equal(stated.length, 20);
  const form = ({ token, certificate, key }: Presented) => {
    const as = {
      ...(token !== 'no' && { ...agentForm, scopes: scopes[token as keyof typeof scopes] }),
      ...(certificate !== 'no' && { certificate: commonNames[certificate] }),
      ...(key !== 'no' && { key: `key-${key}` }),
    };
    return Object.keys(as).length === 0 ? 'none' : as;
  };
  const cells = stated.flatMap((presented) => routes.map(({ name }) => ({ presented, name })));
  await Promise.all(
    cells.map(({ presented, name }) => {
      const { token, certificate, key: shown } = presented;
      const scope = token === 'no' ? undefined : scopes[token as keyof typeof scopes].join(' ');
      return same(
        t,
        {
          path: `/${name}`,
          certificate,
          ...(scope !== undefined && { claims: { ...agent, scope } }),
          ...(shown !== 'no' && { headers: { 'x-api-key': key(shown) } }),
        },
        { as: form(presented), call: { method: 'GET', path: `/${name}` } },
        `${name}: ${JSON.stringify(presented)}`,
      );
    }),
  );
});

t.test('refusals before the policy', async (t) => {
  const get = (path: string) => ({ method: 'GET', path });
  const token = { claims: { ...agent, scope: neededScope } };
  const as = { ...agentForm, scopes: [neededScope] };
  const keyed = (name: string) => ({ headers: { 'x-api-key': key(name) } });
  await same(t, { path: '/nowhere' }, { call: get('/nowhere') }, 'no route');
  await same(t, { path: '/read-only', method: 'POST' }, { call: { method: 'POST', path: '/read-only' } }, 'method');
  await same(t, { ...token, path: '/a%2fb' }, { as, call: get('/a%2fb') }, 'a path that is not plain');
  await same(t, { path: '/jwt' }, { call: get('/jwt') }, 'no credential');
  for (const name of ['later', 'elsewhere', 'revoked'])
    await same(t, { ...keyed(name), path: '/key' }, { as: { key: `key-${name}` }, call: get('/key') }, name);
  const sunset = { headers: { 'x-old-key': oldKey }, path: '/old' };
  await same(t, sunset, { as: { key: 'key-sunset' }, call: get('/old') }, 'a key past the sunset');
  const former = { claims: { client_id: 'former_agent', sub: 'former', scope: neededScope }, path: '/jwt' };
  await same(
    t,
    former,
    { as: { client: 'former_agent', subject: 'former', scopes: [neededScope] }, call: get('/jwt') },
    'a revoked client',
  );
  const leaver = { claims: { ...agent, sub: 'leaver', scope: neededScope }, path: '/jwt' };
  await same(t, leaver, { as: { ...as, subject: 'leaver' }, call: get('/jwt') }, 'a revoked subject');
  await same(t, { ...token, path: '/bound' }, { as, call: get('/bound') }, 'a bearer token where it must be bound');
  await same(t, { ...token, path: '/named' }, { as, call: get('/named') }, 'a token without the claim of the username');
  await same(t, { path: '/health' }, { call: get('/health') }, 'a fixed answer');
  const capped = { claims: { ...agent, scope: 'exports:create dashboards:write' }, path: '/jwt' };
  await same(
    t,
    capped,
    { as: { ...agentForm, scopes: ['exports:create', 'dashboards:write'] }, call: get('/jwt') },
    'implied and capped scopes',
  );
});

t.test('arguments as text are judged as they are written: numbers, repeated names, __proto__', async (t) => {
  const live = {
    claims: { ...agent, scope: `${neededScope} queries:execute` },
    path: '/mcp',
    certificate: 'good' as const,
  };
  const as = { ...agentForm, scopes: [neededScope, 'queries:execute'], certificate: 'client-ai-agent-1' };
  // The certificate limits the scopes: insufficient_scope means that the condition is met.
  for (const [args, code] of [
    ['{"request":{"limit":1.0}}', 'insufficient_scope'],
    ['{"request":{"limit":1},"__proto__":{}}', 'insufficient_scope'],
    ['{"request":{"limit":-0}}', 'condition_error'],
    ['{"request":{"limit":1.0000000000000000001}}', 'condition_error'],
    ['{"request":{"limit":1,"limit":1}}', 'invalid_jsonrpc'],
    ['{"request":{"limit":1},"request":{"limit":1}}', 'invalid_jsonrpc'],
    ['{"__proto__":{"request":{"limit":1}}}', 'condition_error'],
    ['{"request":{"limit":1e400}}', 'invalid_json'],
    ['{"request":{"limit":1},"text":"\\ud800"}', 'invalid_json'],
    ['[1]', 'invalid_jsonrpc'],
    ['null', 'condition_error'],
  ] as const) {
    const call = { route: 'mcp', tool: 'execute_sql', args };
    const direct = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_sql","arguments":${args}}}`;
    await same(t, { ...live, message: direct }, { as, call }, args);
    t.equal(judged({ as, call }).error?.code, code, args);
    const inner = direct.replace('"arguments":', '"arguments":{"name":"execute_sql","arguments":');
    const through = `${inner.replace('"name":"execute_sql"', '"name":"call_tool"')}}`;
    await same(t, { ...live, message: through }, { as, call: { ...call, via: 'call_tool' } }, `${args} in call_tool`);
  }
});

t.test('calls of an MCP route', async (t) => {
  const token = { claims: { ...agent, scope: `${neededScope} queries:execute` } };
  const as = { ...agentForm, scopes: [neededScope, 'queries:execute'] };
  const certificate = { certificate: 'client-ai-agent-1' };
  const limited = (limit: number) => ({ request: { limit } });
  const cases: [tool: string, args: Record<string, unknown> | undefined, certified: boolean][] = [
    ['list_dashboards', undefined, false],
    ['delete_dashboard', {}, false],
    ['execute_sql', limited(10), false],
    ['execute_sql', limited(10), true],
    ['execute_sql', limited(5000), true],
    ['execute_sql', {}, true],
    ['unknown_tool', {}, false],
  ];
  for (const [tool, args, certified] of cases) {
    const live = { ...token, path: '/mcp', ...(certified && { certificate: 'good' as const }) };
    const whole = certified ? { ...as, ...certificate } : as;
    const call = { route: 'mcp', tool, ...(args && { args }) };
    await same(t, { ...live, message: toolCall(tool, args) }, { as: whole, call }, `${tool} ${JSON.stringify(args)}`);
    const inner = toolCall('call_tool', { name: tool, ...(args && { arguments: args }) });
    await same(
      t,
      { ...live, message: inner },
      { as: whole, call: { ...call, via: 'call_tool' } },
      `${tool} in call_tool`,
    );
  }
  const frontend = { claims: { client_id: 'analytics_frontend', sub: 'frontend', scope: neededScope }, path: '/mcp' };
  const frontendForm = { client: 'analytics_frontend', subject: 'frontend', scopes: [neededScope], ...certificate };
  await same(
    t,
    { ...frontend, message: toolCall('list_charts') },
    { as: { ...frontendForm, certificate: undefined }, call: { route: 'mcp', tool: 'list_charts' } },
    'the frontend',
  );
  await same(
    t,
    { ...frontend, certificate: 'good', message: toolCall('list_charts') },
    { as: frontendForm, call: { route: 'mcp', tool: 'list_charts' } },
    "another client's certificate",
  );
  const poor = { claims: { ...agent, scope: 'queries:execute' }, path: '/mcp' };
  await same(
    t,
    { ...poor, message: toolCall('list_charts') },
    { as: { ...as, scopes: ['queries:execute'] }, call: { route: 'mcp', tool: 'list_charts' } },
    'a missing scope',
  );
  await same(
    t,
    { path: '/mcp', message: toolCall('list_charts') },
    { call: { route: 'mcp', tool: 'list_charts' } },
    'no credential',
  );
  for (const uri of ['superset://guide', 'superset://a/../b', 'file:///etc/passwd']) {
    const mcp = { method: 'resources/read', params: { uri } };
    await same(
      t,
      { ...token, path: '/mcp', message: { jsonrpc: '2.0', id: 1, ...mcp } },
      { as, call: { route: 'mcp', mcp } },
      uri,
    );
  }
  const mcp = { method: 'tools/call', params: { name: 'call_tool', arguments: { name: 'call_tool' } } };
  await same(
    t,
    { ...token, path: '/mcp', message: { jsonrpc: '2.0', id: 1, ...mcp } },
    { as, call: { route: 'mcp', mcp } },
    'nested',
  );
  await same(
    t,
    { ...token, path: '/strict', message: toolCall('x') },
    { as, call: { route: 'strict', tool: 'x' } },
    'denials: http',
  );
  t.equal(judged({ as, call: { route: 'mcp', mcp: { method: 'initialize' } } }).decision?.rule, 'open');
  for (const tool of ['recorded', 'unrecorded'])
    await same(
      t,
      { ...token, path: '/pinned', message: toolCall(tool) },
      { as, call: { route: 'pinned', tool } },
      `${tool} in the catalogue`,
    );
});

t.test('what is not on the wire: time, address, binding', (t) => {
  const call = { method: 'GET', path: '/key' };
  const codeOf = (form: unknown) => judged(form).error?.code;
  t.equal(codeOf({ as: { key: 'key-expired' }, at: '2019-12-31', call }), undefined);
  t.equal(codeOf({ as: { key: 'key-expired' }, at: '2020-01-01', call }), 'invalid_api_key');
  t.equal(codeOf({ as: { key: 'key-elsewhere' }, from: '192.0.2.7', call }), undefined);
  t.equal(judged({ as: { key: 'key-elsewhere' }, from: '::ffff:192.0.2.7', call }).clientAddress, '192.0.2.7');
  t.equal(codeOf({ as: { key: 'key-sunset' }, at: '2025-12-31', call: { method: 'GET', path: '/old' } }), undefined);
  const bound = { ...agentForm, senderConstrained: true };
  t.equal(codeOf({ as: bound, call: { method: 'GET', path: '/bound' } }), undefined, 'bound');
  const { caller } = judged({
    as: { ...bound, certificate: 'client-ai-agent-1' },
    call: { method: 'GET', path: '/optional' },
  });
  t.match(caller, { senderConstrained: true, method: 'mtls+oauth' });
  const { assertion } = judged({
    as: { ...agentForm, scopes: [neededScope], claims: { tenant: 'acme' } },
    call: { method: 'GET', path: '/named' },
  });
  t.match(assertion, { sub: 'acme', client_id: 'ai_agent_prod' });
  t.end();
});

t.test('a client alone shows a token where the route takes one, or else its key or certificate', (t) => {
  const methodOf = (client: string, path: string) =>
    judged({ as: { client, senderConstrained: false }, call: { method: 'GET', path } }).caller?.method;
  t.equal(methodOf('reporting_tool', '/any'), 'oauth');
  t.equal(methodOf('reporting_tool', '/key'), 'api-key');
  t.equal(methodOf('reporting_tool', '/mtls'), 'mtls');
  t.equal(methodOf('ai_agent_prod', '/key-or-mtls'), 'mtls');
  const stranger = judged({ as: { client: 'stranger' }, call: { method: 'GET', path: '/key' } });
  t.match(stranger.error, { code: 'invalid_token', reason: 'not_accepted' });
  t.end();
});

t.test('where the listener requires certificates, nobody gets anything without one', async (t) => {
  const yaml = (await readFile(file, 'utf8')).replace('clientCertificates: optional', 'clientCertificates: required');
  await writeFile(join(scenario.directory, 'required.yaml'), yaml);
  const required = await openPolicyFile(join(scenario.directory, 'required.yaml'), { env: process.env });
  t.teardown(required.close);
  const form = readForm(requestForm, { call: { method: 'GET', path: '/health' } });
  t.match(judge(required, form, { now: Date.now }), { decision: undefined, error: { code: 'invalid_certificate' } });
});

t.test('a form that names what the file does not have is misuse, and says what there is', (t) => {
  const problemsOf = (form: unknown) => {
    try {
      judged(form);
      return [];
    } catch (error) {
      if (error instanceof FormError) return error.problems.map(({ path, message }) => `${path.join('.')}: ${message}`);
      throw error;
    }
  };
  const call = { method: 'GET', path: '/jwt' };
  const tool = { route: 'mcp', tool: 'x' };
  const cases: [form: unknown, ...problems: string[]][] = [
    [{ call: tool, whom: 1 }, 'whom: unknown key "whom"'],
    [{ as: { clint: 'x' }, call }, 'as.clint: unknown key "clint" (did you mean "client"?)'],
    [{ as: {}, call }, 'as: names no caller; give client, key or certificate, or say none'],
    [{ as: { none: true, client: 'x' }, call }, 'as.none: goes with nothing beside it'],
    [{ as: { scopes: ['x'] }, call }, 'as: a token needs client or subject'],
    [
      { as: { key: 'key-god' }, call: { route: 'mpc', tool: 'x' } },
      'call.route: unknown route "mpc" (did you mean "mcp"?); MCP routes are mcp, pinned, strict',
      'as.key: unknown key "key-god" (did you mean "key-good"?); there are key-good, key-expired, key-later, key-elsewhere, key-revoked, key-sunset',
    ],
    [{ as: { key: 'key-good', scopes: [] }, call }, 'as.scopes: is of the configured key: leave it out beside a key'],
    [
      { as: { client: 'x', authenticator: 'crop' }, call },
      'as.authenticator: unknown authenticator "crop" (did you mean "corp"?); there are corp, keys, workloads, old',
    ],
    [
      { as: { client: 'x', claims: { tenent: 1 } }, call },
      'as.claims.tenent: "corp" maps no claim "tenent" (did you mean "tenant"?); it maps tenant',
    ],
    [
      { as: { client: 'x', authenticator: 'keys' }, call },
      'as.authenticator: no key of client "x"; there are key-good, key-expired, key-later, key-elsewhere, key-revoked',
    ],
    [{ as: { client: 'x', authenticator: 'workloads' }, call }, 'as.client: "workloads" has no entry of client "x"'],
    [{ as: { client: 'corp/x' }, call }, 'as.client: is qualified: give client: x and authenticator: corp'],
    [
      { as: { client: 'x', scopes: ['openid', 'queries:exeucte'] }, call },
      'as.scopes.1: "queries:exeucte" is not in the vocabulary of scopes (did you mean "queries:execute"?)',
    ],
    [{ call: { ...tool, args: { list: [1, Number.NaN] } } }, 'call.args: holds a number that JSON does not have'],
    [{ call: {} }, 'call: needs one of: tool, mcp, or method and path'],
    [{ call: { path: '/jwt' } }, 'call: needs both method and path'],
    [{ call: { tool: 'x' } }, 'call: needs route, which is one of mcp, pinned, strict'],
    [
      { call: { route: 'jwt', tool: 'x' } },
      'call.route: is no MCP route: give method and path; MCP routes are mcp, pinned, strict',
    ],
    [{ call: { method: 'POST', path: '/mcp' } }, 'call.path: is the MCP route "mcp": give route, and tool or mcp'],
    [
      { call: { ...tool, via: 'cal_tool' } },
      'call.via: unknown meta-tool "cal_tool" (did you mean "call_tool"?); this route has call_tool',
    ],
    [{ from: 'here', call }, 'from: expected an IP address'],
    [{ at: 'now', call }, 'at: expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z'],
  ];
  for (const [form, ...problems] of cases) t.same(problemsOf(form), problems, JSON.stringify(form));
  t.end();
});
