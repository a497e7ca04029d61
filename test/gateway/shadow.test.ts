// Shadow: another policy file is decided beside the live one. Records and metrics say where they differ, and no answer does.
import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { compareWithShadow } from '../../src/gateway/request/shadow-comparison.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { type Changes, configure, keyEntry, yamlOf } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { type Surroundings, startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const issuer = await createFakeIssuer();
const upstream = await startUpstream();
t.teardown(async () => {
  await upstream.close();
  await issuer.close();
});
const tool = (name: string, require: object = {}) => ({ name, allow: { tools: [name] }, require });
const mcp = (...rules: object[]): Changes => ({ routes: { '/mcp': { mcp: { rules } } } });

/** A gateway with a shadow, each the scenario's configuration with changes. */
async function begin(t: Test, live: Changes, next: Changes, surroundings: Surroundings = {}) {
  const tls = surroundings.tls !== undefined;
  const shadowOf = (changes: Changes) =>
    yamlOf(configure({ upstreamUrl: upstream.url, issuer: issuer.issuer, tls }, changes));
  const before = upstream.requests.length;
  const scenario = await startScenario(
    t,
    { shadow: { file: 'next.yaml' }, ...live },
    { issuer, upstream, files: { 'next.yaml': shadowOf(next) }, ...surroundings },
  );
  const differences = (live: string, shadow: string, route = '/mcp') =>
    scenario.metric('portcullis_shadow_differences_total', { route, live, shadow });
  const untold = (reason: string, route = '/mcp') =>
    scenario.metric('portcullis_shadow_untold_total', { route, reason });
  return {
    ...scenario,
    shadowOf,
    differences,
    untold,
    forwarded: () => upstream.requests.length - before,
    shadowHash: async () => (await scenario.status()).shadow?.policy,
    /** Installs another shadow; the live configuration stays as it is. */
    async shadow(changes: Changes | string) {
      await scenario.write('next.yaml', typeof changes === 'string' ? changes : shadowOf(changes));
      await scenario.reload(await readFile(`${scenario.directory}/gateway.yaml`, 'utf8'));
    },
  };
}

t.test(
  'calls on the wire that the shadow would deny, allow, or decide alike: answers of the live policy',
  async (t) => {
    const { agent, recordsOf, differences, forwarded, shadowHash, metrics } = await begin(
      t,
      mcp(tool('now', { scopes: ['dashboards:read'] }), tool('both')),
      mcp(tool('now', { scopes: ['dashboards:read', 'x'] }), tool('both'), tool('later'), {
        ...tool('neither'),
        mode: 'report',
      }),
    );
    const policy = await shadowHash();
    const allowed = await agent.call('now');
    t.equal(allowed.status, 200);
    const shadow = {
      decision: 'deny',
      rule: 'now',
      reason: 'insufficient_scope',
      unmet: 'scopes',
      missing: ['x'],
      policy,
    };
    t.strictSame(
      (await recordsOf(allowed)).map(({ stage, decision, shadow }) => ({ stage, decision, shadow })),
      ['decided', 'completed'].map((stage) => ({ stage, decision: 'allow', shadow })),
    );
    t.equal(forwarded(), 1);
    const same = await agent.call('both');
    t.strictSame(
      (await recordsOf(same)).map((record) => 'shadow' in record),
      [false, false],
      'no member where they agree',
    );
    const denied = await agent.call('later');
    t.equal(JSON.parse(denied.text).error.data.code, 'denied');
    t.match(await recordsOf(denied), [{ decision: 'deny', shadow: { decision: 'allow', rule: 'later', policy } }]);
    await agent.call('neither');
    t.equal(forwarded(), 2, 'the upstream saw nothing of what the live policy denies');
    t.strictSame([await differences('allow', 'deny'), await differences('deny', 'allow')], [1, 1]);
    t.notMatch(await metrics(), /portcullis_shadow_untold_total\{/);
  },
);

t.test('an exception in the shadow is counted and goes no further', (t) => {
  const untold: unknown[] = [];
  const lines: object[] = [];
  const match = () => {
    throw new TypeError('of the shadow');
  };
  const context = { id: 'r1', route: { name: 'mcp' }, snapshot: { shadow: { match } } };
  const runtime = {
    log: { debug: (fields: object) => void lines.push(fields) },
    metrics: { shadowUntold: (...labels: unknown[]) => void untold.push(labels) },
  };
  compareWithShadow(context as never, true, runtime as never);
  t.strictSame(untold, [['mcp', 'error']]);
  t.match(lines, [{ id: 'r1', route: 'mcp', reason: 'error', err: TypeError }]);
  t.notOk('shadow' in context);
  t.end();
});

t.test('routes: not there, for another method, without credentials, of the other kind', async (t) => {
  const { agent, anybody, as, recordOf, differences, untold, send, forwarded } = await begin(
    t,
    { routes: { '/mcp': { mcp: { rules: [tool('a')] } }, '/gone': { path: '/gone' }, '/x': { path: '/x' } } },
    {
      routes: {
        '/mcp': { path: '/other' },
        '/x': { path: '/x', methods: ['POST'] },
        '/api/*': { authenticate: 'none', scopes: undefined },
        '/open/*': { authenticate: 'corp' },
      },
    },
    { inject: true },
  ).then((scenario) => ({ ...scenario, send: (path: string) => scenario.agent.send({ path }) }));
  t.match((await recordOf(await send('/gone'))).shadow, { decision: 'deny', reason: 'not_found' });
  t.match((await recordOf(await send('/x'))).shadow, { decision: 'deny', reason: 'method_not_allowed' });
  t.match((await recordOf(await agent.call('a'))).shadow, { decision: 'deny', reason: 'not_found' });
  const refused = await anybody.send({ path: '/api/a' });
  t.equal(refused.status, 401);
  t.match(await recordOf(refused), {
    reason: 'credentials_required',
    shadow: { decision: 'allow', rule: 'anyone' },
  });
  t.equal(await differences('deny', 'allow', '/api/*'), 1);
  const sent = forwarded();
  await anybody.send({ path: '/open/a' });
  t.equal(await untold('credentials', '/open/*'), 1, 'credentials that the live route does not look at');
  t.equal(forwarded(), sent + 1);
  const bad = await as({ headers: { authorization: 'Bearer sk_unknown' } });
  t.match((await recordOf(await bad.send({ path: '/api/a' }))).shadow, { decision: 'allow', rule: 'anyone' });
  t.equal((await recordOf(await bad.send({ path: '/gone' }))).shadow, undefined, 'both refuse');
});

t.test('credentials that were refused, and a message that was not read, cannot be told', async (t) => {
  const { anybody, as, untold, differences, recordOf } = await begin(
    t,
    mcp(tool('a')),
    {
      routes: { '/mcp': { mcp: { rules: [tool('a')] } }, '/api/*': { mcp: { rules: [tool('a')] }, scopes: undefined } },
    },
    { inject: true },
  );
  const stranger = await as({ headers: { authorization: 'Bearer sk_unknown' } });
  const refused = await stranger.call('a');
  t.equal((await recordOf(refused)).shadow, undefined);
  t.equal(await untold('credentials'), 1);
  t.equal((await recordOf(await anybody.call('a'))).shadow, undefined, 'without credentials both refuse');
  t.equal(await untold('credentials'), 1);
  const agent = await as({ claims: {} });
  await agent.send({ method: 'POST', path: '/api/a', body: '{}' });
  t.equal(await untold('message', '/api/*'), 1, 'the body of a path route');
  t.equal(await differences('deny', 'allow'), 0);
});

t.test('API keys under the shadow: taken out, renamed, expired, with other scopes, of another prefix', async (t) => {
  const key = `sk_${'k'.repeat(43)}`;
  const keys = (...entries: object[]): Changes => ({ authenticators: { keys: { keys: entries } } });
  const rule = tool('a', { scopes: ['queries:read'] });
  const { reporting, recordOf, untold, shadow } = await begin(t, mcp(rule), { ...mcp(rule) }, { inject: true });
  const told = async (changes: Changes) => {
    await shadow({ ...changes, ...mcp(rule) });
    return (await recordOf(await reporting.call('a'))).shadow;
  };
  t.equal(await told({}), undefined);
  const other = keyEntry('k2', `sk_${'z'.repeat(43)}`);
  t.match(await told(keys(other)), { decision: 'deny', reason: 'invalid_api_key' }, 'taken out');
  t.equal(await told(keys(keyEntry('renamed', key))), undefined, 'the same key under another id');
  t.match(await told(keys(keyEntry('k1', key, { scopes: ['x'] }))), {
    reason: 'insufficient_scope',
    missing: ['queries:read'],
  });
  t.match(await told(keys(keyEntry('k1', key, { expires: '2020-01-01' }))), { reason: 'invalid_api_key' });
  t.match(await told({ authenticators: { keys: { maxScopes: ['x'] } } }), { reason: 'insufficient_scope' });
  await shadow({
    authenticators: { keys: undefined },
    routes: { '/mcp': { authenticate: 'corp', mcp: { rules: [rule] } }, '/api/*': { authenticate: 'corp' } },
  });
  t.match((await recordOf(await reporting.call('a'))).shadow, { decision: 'deny', reason: 'invalid_token' });
  t.equal(await told({ authenticators: { keys: { prefix: 'sk_k' } } }), undefined);
  t.equal(await untold('authenticator'), 1, 'another prefix');
});

t.test('tokens under the shadow: another cap, claims, issuer, name; scopes that imply others', async (t) => {
  const rule = tool('a', { scopes: ['dashboards:read'] });
  const capped = { authenticators: { corp: { maxScopes: ['dashboards:read', 'queries:execute'] } } };
  const scenario = await begin(t, { ...capped, ...mcp(rule) }, { ...capped, ...mcp(rule) }, { inject: true });
  const { agent, recordOf, untold, shadow } = scenario;
  const told = async (changes: Changes) => {
    await shadow({ ...changes, ...mcp(rule) });
    return (await recordOf(await agent.call('a'))).shadow;
  };
  t.equal(await told(capped), undefined);
  t.match(await told({ authenticators: { corp: { maxScopes: ['queries:execute'] } } }), {
    reason: 'insufficient_scope',
    missing: ['dashboards:read'],
  });
  t.equal(
    await told({
      authenticators: { corp: { maxScopes: ['queries:execute'] } },
      scopeImplies: { 'queries:execute': ['dashboards:read'] },
    }),
    undefined,
    'the scopes that its own implications add',
  );
  t.equal(await untold('scopes'), 0);
  t.equal(await told({}), undefined);
  t.equal(await untold('scopes'), 1, 'a wider cap: the token may have had more');
  t.equal(
    await told({ authenticators: { corp: { ...capped.authenticators.corp, claims: { tenant: 'org' } } } }),
    undefined,
  );
  t.equal(await untold('authenticator'), 1, 'claims that were not kept');
  const elsewhere = { corp: { issuer: 'http://127.0.0.1:1/', jwksUri: 'http://127.0.0.1:1/' } };
  t.match(
    await told({ authenticators: elsewhere }),
    { decision: 'deny', reason: 'invalid_token' },
    'nobody has its issuer',
  );
  const renamed = {
    authenticators: { corp: undefined, idp: { type: 'jwt', issuer: issuer.issuer, ...capped.authenticators.corp } },
  };
  const authenticate = { anyOf: ['idp', 'keys'] };
  await shadow({
    ...renamed,
    routes: {
      '/mcp': { authenticate, mcp: { rules: [tool('a', { authenticatedBy: ['idp'] })] } },
      '/api/*': { authenticate },
    },
  });
  t.equal((await recordOf(await agent.call('a'))).shadow, undefined, 'the authenticator has another name');
  await shadow({ ...capped, routes: { '/mcp': { authenticate: 'keys', mcp: { rules: [rule] } } } });
  t.match((await recordOf(await agent.call('a'))).shadow, { reason: 'invalid_token' }, 'the route does not name it');
  t.equal(await scenario.metric('portcullis_key_set_refresh_failures_total'), 0, 'the shadow asks no issuer');
});

t.test('client certificates under the shadow: demanded, off the allowlist, another proxy', async (t) => {
  const rule = tool('a', {});
  const strict: Changes = { routes: { '/mcp': { certificateFor: ['ai_agent_prod'], mcp: { rules: [rule] } } } };
  const { agent, as, recordOf, untold, shadow } = await begin(t, mcp(rule), strict, { tls: certificates });
  t.match((await recordOf(await agent.call('a'))).shadow, { decision: 'deny', reason: 'credentials_required' });
  const bound = await as({ claims: {}, certificate: certificates.agent });
  t.equal((await recordOf(await bound.call('a'))).shadow, undefined, 'with its certificate');
  await shadow({
    ...mcp(rule),
    authenticators: { workloads: { allow: [{ commonName: 'other', clientId: 'other' }] } },
  });
  t.match((await recordOf(await bound.call('a'))).shadow, { decision: 'deny', reason: 'invalid_certificate' });
  await shadow({ ...strict, server: { tls: { clientCertificates: 'required' } } });
  t.equal((await recordOf(await bound.call('a'))).shadow, undefined);
  t.equal(await untold('certificate'), 1, 'what the listener would ask for is not known');
});

t.test('meta-tools: each policy looks through its own', async (t) => {
  const metaTools = { call_tool: { name: '/name', arguments: '/arguments' } };
  const route = (rules: object[], metaTools = {}) => ({ routes: { '/mcp': { mcp: { rules, metaTools } } } });
  const { agent, recordOf, shadow } = await begin(
    t,
    route([tool('inner')], metaTools),
    route([tool('inner')], metaTools),
    { inject: true },
  );
  const told = async () => (await recordOf(await agent.call('call_tool', { name: 'inner', arguments: {} }))).shadow;
  t.equal(await told(), undefined);
  await shadow(route([tool('inner')]));
  t.match(await told(), { decision: 'deny', reason: 'denied' }, 'call_tool is a tool like any other there');
  await shadow(route([tool('inner')], { call_tool: { name: '/tool', arguments: '/arguments' } }));
  t.match(await told(), { decision: 'deny', reason: 'invalid_jsonrpc' }, 'the arguments have no inner tool there');
});

t.test('reload of either file: a bad shadow keeps the last good one, a bad live file keeps both', async (t) => {
  const scenario = await begin(t, mcp(tool('a')), mcp(tool('b')), { inject: true, logToFile: true });
  const { agent, status, metric, record, recordOf, shadow, shadowHash, log } = scenario;
  const told = async () => (await recordOf(await agent.call('a'))).shadow;
  const first = await shadowHash();
  t.match(await told(), { decision: 'deny', policy: first });
  await shadow('routes: [');
  const { shadow: state } = await status();
  t.match(state, { policy: first, problem: /next\.yaml:\d+:\d+/ });
  t.equal(await metric('portcullis_shadow_last_reload_success'), 0);
  await record(({ detail }) => detail?.event === 'shadow refused' && /next\.yaml/.test(String(detail.problem)));
  t.match(await log(), /the shadow was not reloaded, the old one goes on: .*next\.yaml/);
  t.equal(await metric('portcullis_config_last_reload_success'), 1, 'the live configuration is in force');
  t.match(await told(), { decision: 'deny', policy: first });
  await shadow(mcp(tool('a')));
  t.equal(await metric('portcullis_shadow_last_reload_success'), 1);
  t.equal(await told(), undefined);
  const second = await shadowHash();
  t.not(second, first);
  await record(({ detail }) => detail?.event === 'reloaded' && detail.shadow === second);
  await scenario.reload('routes: [');
  t.equal(await shadowHash(), second);
  t.equal(await metric('portcullis_config_last_reload_success'), 0);
  await scenario.reload({ shadow: { file: 'missing.yaml' } });
  t.equal(await shadowHash(), second, 'a shadow that was never good refuses the reload');
  await scenario.reload({ shadow: undefined });
  t.equal(await shadowHash(), undefined);
  t.equal(await told(), undefined);
});
