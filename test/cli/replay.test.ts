// `portcullis replay`: recorded requests under another policy, what it prints, and its exit codes.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { refused } from '../../src/authn/authenticator.ts';
import { credentialRefused } from '../../src/authn/errors.ts';
import { replayCommand } from '../../src/cli/policy/replay.ts';
import { ConfigError } from '../../src/config/load.ts';
import { GatewayError, overloadedBy } from '../../src/errors.ts';
import type { ArgumentsMode } from '../../src/mcp/audit-arguments.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { someTime } from '../audit/support.ts';
import { agent, call, callerOf, callThrough, frontend, type Request, rpc } from '../policy/scene.ts';
import { type Facts, lineOf } from '../review/recorded.ts';
import { certificateAllowlist, createTestCertificates } from '../support/certificates.ts';
import { apiKey, keyEntry } from '../support/configuration.ts';
import { capture } from './capture.ts';

const certificates = await createTestCertificates();
const folder = t.testdir({
  ...certificates.files,
  'revoked.yaml': 'clientIds: [stolen]\n',
});

type Rules = readonly object[];
const sqlRule = {
  name: 'sql',
  allow: { tools: ['execute_sql'] },
  require: {
    scopes: ['queries:execute'],
    authenticatedBy: ['workloads'],
    when: 'has(args.limit) && args.limit <= 1000',
  },
};
const readRule = { name: 'read', allow: { tools: ['list_dashboards'] }, require: { scopes: ['dashboards:read'] } };

function configuration(rules: Rules): object {
  return {
    version: 1,
    server: {
      listen: '127.0.0.1:8443',
      publicUrl: 'https://mcp.example.com',
      tls: { certFile: 'tls.crt', keyFile: 'tls.key', clientCertificates: 'optional', clientCaFile: 'clients-ca.crt' },
    },
    authenticators: {
      'corp-oauth': { type: 'jwt', issuer: 'https://idp.example.com/', claims: { tenant: 'org_id', groups: 'roles' } },
      workloads: certificateAllowlist,
      keys: {
        type: 'apiKey',
        prefix: 'sk_',
        keys: [
          keyEntry('k1', apiKey, { clientId: 'reporting_tool', scopes: ['dashboards:read'], expires: '2027-01-01' }),
        ],
      },
    },
    revocation: { file: 'revoked.yaml' },
    upstreams: { superset: { url: 'http://127.0.0.1:5008' } },
    routes: [
      {
        name: 'mcp',
        path: '/mcp',
        upstream: 'superset',
        authenticate: { anyOf: ['corp-oauth', 'keys'], optional: ['workloads'] },
        mcp: { preset: { name: 'superset', rules: false }, rules },
      },
      { name: 'api', path: '/api/*', methods: ['GET'], upstream: 'superset', authenticate: 'workloads' },
      { name: 'open', path: '/open', authenticate: 'none', respond: { text: 'hello' } },
    ],
    audit: { sinks: [{ type: 'stdout' }] },
  };
}

async function replay(facts: readonly Facts[], options: { rules?: Rules; args?: string[] } = {}) {
  const log = join(folder, 'audit.jsonl');
  fs.writeFileSync(log, facts.map((each, index) => `${lineOf({ id: `r${index + 1}`, ...each })}\n`).join(''));
  const file = join(folder, 'new.yaml');
  fs.writeFileSync(file, stringify(configuration(options.rules ?? [sqlRule, readRule])));
  const output = capture();
  const command = { output, env: {}, stdin: (async function* () {})(), now: () => someTime };
  await replayCommand(command)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .parseAsync(['-c', file, log, ...(options.args ?? [])], { from: 'user' });
  return output;
}

const token = { kind: 'access-token', authenticator: 'corp-oauth', id: 'jti-1' } as const;
const certificate = { kind: 'client-certificate', authenticator: 'workloads', id: 'sha256:00' } as const;
const allowed: Decision = { allow: true, rule: 'sql', requiredScopes: [] };
const denied: Decision = { allow: false, reason: 'denied', rule: undefined, requiredScopes: [], missingScopes: [] };

function by(caller: typeof agent, request: Request, decision: Decision, more: Facts = {}): Facts {
  const credentials = caller === agent ? [certificate, token] : [token];
  return { caller, credentials, message: request.message, decision, ...more };
}

const verdictOf = async (facts: Facts, rules?: Rules): Promise<string> => {
  const { changes, same, undecided } = JSON.parse(
    (await replay([facts], { ...(rules && { rules }), args: ['--json'] })).text(),
  );
  if (same === 1) return 'same';
  if (undecided === 1) return 'no decision';
  const [{ change, reason, ruleNow }] = changes;
  return [change, ruleNow, reason].filter((part) => part !== undefined).join(': ');
};

t.test(
  'a day under a policy without the demand on execute_sql: the refused calls of the frontend are now allowed',
  async (t) => {
    const sql = call('execute_sql', { limit: 5 });
    const output = await replay(
      [
        by(agent, sql, allowed),
        by(frontend, sql, { ...denied, rule: 'sql', unmet: 'authenticatedBy' }),
        by(frontend, sql, { ...denied, rule: 'sql', unmet: 'authenticatedBy' }),
        by(frontend, call('list_dashboards'), { ...allowed, rule: 'read' }),
      ],
      { rules: [{ name: 'sql', allow: { tools: ['execute_sql'] } }] },
    );
    t.equal(
      output.text(),
      [
        '4 requests from 2026-11-23T05:45:00.000Z to 2026-11-23T05:45:00.000Z',
        '  same            1',
        '  now allowed     2',
        '  now denied      1',
        '  cannot be told  0',
        '  no decision     0',
        '',
        'change       client              call             ruleThen  ruleNow  reason  requests  examples',
        'now allowed  analytics_frontend  execute_sql      sql       sql      denied         2  r2 r3',
        'now denied   analytics_frontend  list_dashboards  read      -        denied         1  r4',
        '',
      ].join('\n'),
    );
    t.equal(output.exitCode, 0);
  },
);

t.test('random bytes, an empty file and {"a":1} pass no gate: 1, with and without --fail-on', async (t) => {
  const files = t.testdir({ random: '\u0000\u9f8f\n\u0001', empty: '', other: '{"a":1}\n' });
  for (const file of ['random', 'empty', 'other']) {
    for (const args of [[], ['--fail-on', 'any'], ['--fail-on', 'denied', '--json']]) {
      const output = await replay([], { args: [join(files, file), ...args] });
      t.equal(output.exitCode, 1, file);
      t.equal(output.text(), '');
      t.match(output.errors(), /^portcullis: no audit record was read$/m);
    }
  }
  const before = await replay([by(frontend, call('list_dashboards'), denied)], {
    args: ['--until', '2020-01-01', '--fail-on', 'any'],
  });
  t.equal(before.exitCode, 1);
  t.match(before.errors(), /^portcullis: none of the records is of a request to replay$/m);
});

t.test('--fail-on exits with 1 for the change that is meant, and for no other', async (t) => {
  const gained = [by(frontend, call('list_dashboards'), denied)];
  const lost = [by(frontend, call('execute_sql', {}), allowed)];
  const codeOf = async (facts: Facts[], failOn: string) =>
    (await replay(facts, { args: ['--fail-on', failOn] })).exitCode;
  t.strictSame(
    [await codeOf(gained, 'allowed'), await codeOf(gained, 'denied'), await codeOf(gained, 'any')],
    [1, 0, 1],
  );
  t.strictSame([await codeOf(lost, 'allowed'), await codeOf(lost, 'denied'), await codeOf(lost, 'any')], [0, 1, 1]);
});

t.test(
  'arguments decide where they are recorded whole; else it cannot be told, unless nothing depends on them',
  async (t) => {
    const within = (limit: number | bigint, mode: ArgumentsMode) =>
      verdictOf(by(agent, call('execute_sql', { limit: Number(limit) }), denied, { arguments: mode }));
    t.equal(await within(5, 'full'), 'now allowed: sql: denied');
    t.equal(await within(5000, 'full'), 'same');
    for (const mode of ['none', 'digest', { execute_sql: ['/limit'] }] as const)
      t.equal(await within(5, mode), 'cannot be told: arguments');
    const other = by(frontend, call('list_dashboards', { x: 1 }), denied, { arguments: 'digest' });
    t.equal(await verdictOf(other), 'now allowed: read: denied', 'of a tool whose rule has no condition');
    const unauthenticated = by(frontend, call('execute_sql', { limit: 5 }), denied, { arguments: 'digest' });
    t.equal(await verdictOf(unauthenticated), 'same', 'denied with any arguments');
    const empty = by(agent, call('execute_sql', {}), denied, { arguments: 'digest' });
    t.equal(await verdictOf(empty), 'same', 'the digest is that of {}');
  },
);

t.test(
  'a number that another reader takes for another one is replayed in the digits in which it was sent',
  async (t) => {
    const message = { ...call('execute_sql').message!, argumentBytes: Buffer.from('{"limit":1.00000000000000000001}') };
    t.equal(
      await verdictOf(by(agent, { message }, allowed, { arguments: 'full' })),
      'now denied: sql: condition_error',
    );
  },
);

t.test('claims that records do not hold cannot be told; the tenant can', async (t) => {
  const bound = (claims: object) => [{ name: 'own', allow: { tools: ['list_dashboards'], claims } }];
  const acme = callerOf({ clientId: 'analytics_frontend', claims: { tenant: 'acme' } }, []);
  const asked = by(acme, call('list_dashboards'), denied);
  t.equal(await verdictOf(asked, bound({ groups: ['staff'] })), 'cannot be told: claims of the token');
  t.equal(await verdictOf(asked, bound({ tenant: ['acme'] })), 'now allowed: own: denied');
  t.equal(await verdictOf(asked, bound({ tenant: ['other'] })), 'same');
});

t.test('a token that a certificate came with may be bound to it or not', async (t) => {
  const rules = [{ name: 'bound', allow: { tools: ['list_dashboards'] }, require: { senderConstrained: true } }];
  t.equal(await verdictOf(by(agent, call('list_dashboards'), denied), rules), 'cannot be told: binding of the token');
  t.equal(
    await verdictOf(by(frontend, call('list_dashboards'), denied), rules),
    'same',
    'without a certificate it is not',
  );
  const proven = by(frontend, call('list_dashboards'), denied, { credentials: [{ ...token, kind: 'dpop-token' }] });
  t.equal(await verdictOf(proven, rules), 'now allowed: bound: denied');
});

t.test('keys are those of the new file at the time of the request; certificates those of its allowlist', async (t) => {
  const keyed = (credentialId: string) =>
    by(
      callerOf(
        {
          kind: 'api-key',
          authenticator: 'keys',
          issuer: 'keys',
          subject: 'reporting_tool',
          clientId: 'reporting_tool',
          credentialId,
        },
        ['gone:scope'],
      ),
      call('list_dashboards'),
      allowed,
      { credentials: [{ kind: 'api-key', authenticator: 'keys', id: credentialId }] },
    );
  t.equal(await verdictOf(keyed('k1')), 'same', 'with the scopes of the new file');
  t.equal(await verdictOf(keyed('taken-out')), 'now denied: invalid_api_key: unknown');
  const workload = (subject: string, clientId: string): Facts => ({
    method: 'GET',
    path: '/api/x',
    caller: callerOf(
      { kind: 'mtls', authenticator: 'workloads', issuer: 'workloads', subject, clientId, credentialId: 'sha256:00' },
      [],
    ),
    credentials: [certificate],
    decision: allowed,
  });
  t.equal(await verdictOf(workload('client-ai-agent-1', 'ai_agent_prod')), 'same');
  t.equal(await verdictOf(workload('client-ai-agent-9', 'ai_agent_9')), 'now denied: invalid_certificate: identity');
});

t.test('credentials of another issuer, and revoked clients, are refused', async (t) => {
  const other = callerOf({ clientId: 'partner', issuer: 'https://other.example/' }, ['dashboards:read']);
  t.equal(await verdictOf(by(other, call('list_dashboards'), allowed)), 'now denied: invalid_token: issuer');
  const stolen = callerOf({ clientId: 'stolen' }, ['dashboards:read']);
  t.equal(await verdictOf(by(stolen, call('list_dashboards'), allowed)), 'now denied: invalid_token: revoked');
});

t.test('a request that was refused before the decision is told only where the record suffices', async (t) => {
  const before = (code: string, error: GatewayError, more: Facts = {}) =>
    verdictOf({ error, ...more }).then((verdict) => t.equal(verdict, code, error.code));
  const none = new GatewayError('credentials_required', 'x');
  await before('same', none);
  await before('now allowed: anyone: credentials_required', none, { method: 'GET', path: '/open' });
  await before(
    'cannot be told: refused then: invalid_token',
    credentialRefused('access-token', refused('expired').reason),
    {
      credentials: [token],
    },
  );
  await before('same', new GatewayError('not_found', 'x'), { path: '/none' });
  await before('same', new GatewayError('method_not_allowed', 'x'), { method: 'PUT', path: '/api/x' });
  await before('cannot be told: refused then: bad_host', new GatewayError('bad_host', 'x'), { credentials: [] });
  const open = { method: 'GET', path: '/api/x', decision: { ...allowed, rule: 'anyone' } };
  t.equal(await verdictOf(open), 'cannot be told: credentials', 'its route looked at none');
  await before('cannot be told: refused then: rate_limited', new GatewayError('rate_limited', 'x'), {
    method: 'GET',
    path: '/open',
  });
  const busy = by(
    frontend,
    call('list_dashboards'),
    { ...allowed, rule: 'read' },
    { error: overloadedBy('slots', 'x') },
  );
  t.equal(await verdictOf(busy), 'same', 'the policy had allowed it');
});

t.test(
  'messages: a meta-tool that the new policy does not know, open methods, and what no record says of them',
  async (t) => {
    t.equal(
      await verdictOf(by(frontend, callThrough('call_tool', 'list_dashboards'), denied)),
      'now allowed: read: denied',
    );
    t.equal(await verdictOf(by(frontend, callThrough('run_tool', 'list_dashboards'), denied)), 'same');
    t.equal(await verdictOf(by(frontend, rpc('tools/list'), { ...allowed, rule: 'open' })), 'same');
    t.equal(await verdictOf(by(frontend, rpc('ping'), denied)), 'cannot be told: message');
    const long = call(`list_${'x'.repeat(300)}`);
    t.equal(await verdictOf(by(frontend, long, allowed)), 'cannot be told: text that was cut');
  },
);

t.test('--json and --format; progress only on a terminal; files and files that are none', async (t) => {
  const facts = [by(frontend, call('list_dashboards'), denied), by(agent, call('execute_sql'), allowed)];
  const json = JSON.parse((await replay(facts, { args: ['--json'] })).text());
  t.match(json, {
    requests: 2,
    nowAllowed: 1,
    cannotBeTold: 1,
    lacking: { arguments: 1 },
    changes: [
      { change: 'now allowed', examples: ['r1'] },
      { change: 'cannot be told', examples: ['r2'] },
    ],
  });
  const csv = await replay(facts, { args: ['--format', 'csv'] });
  t.match(csv.text(), /^change,client,call,ruleThen,ruleNow,reason,requests,examples\r\nnow allowed,/);
  t.match(csv.errors(), /^2 requests/);
  t.notMatch(csv.errors(), '%');
  const missing = await replay(facts, { args: [join(folder, 'none.jsonl')] });
  t.equal(missing.exitCode, 2);
  await t.rejects(
    replayCommand({ output: capture(), env: {}, stdin: (async function* () {})(), now: Date.now }).parseAsync(
      ['-c', join(folder, 'none.yaml'), 'x'],
      { from: 'user' },
    ),
    ConfigError,
  );
});
