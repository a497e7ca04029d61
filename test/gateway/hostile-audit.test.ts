// Requests that cannot be recorded, and secrets that records never hold: rows A1 and A2 of the threat table.
import { mkdir, readdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { verifyChain } from '../../src/audit/verify.ts';
import { codeOf, host, post, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { apiKey } from '../support/configuration.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { rawRequest, talk } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

/** A gateway whose audit file has a directory of its own, `log`, to be broken. */
async function startRecorded(t: Test, onFailure = 'refuse'): Promise<Scenario & { readonly logs: string }> {
  const sinks = [{ type: 'file', path: 'log/audit.jsonl', fsync: 'never' }];
  const scenario = await startScenario(t, { audit: { sinks, timeout: '500ms', onFailure } });
  return { ...scenario, logs: join(scenario.directory, 'log') };
}

/** Every record in any of the directories. */
async function recordsOf(...directories: string[]): Promise<AuditRecord[]> {
  const files = await filesOf(...directories);
  return (await Promise.all(files.map((file) => readJsonLines<AuditRecord>(file)))).flat();
}

async function filesOf(...directories: string[]): Promise<string[]> {
  const names = await Promise.all(
    directories.map(async (each) => (await readdir(each)).map((name) => join(each, name))),
  );
  return names.flat().filter((name) => name.endsWith('.jsonl'));
}

/** Ways to take the file away from a running gateway, and to give it back. */
const breakages = {
  'a file stands where the directory was': {
    async break(log: string) {
      await rename(log, `${log}-1`);
      await writeFile(log, '');
    },
    mend: (log: string) => unlink(log),
  },
  'the path leads to a device that is full': {
    async break(log: string) {
      await mkdir(`${log}-2`);
      await rename(join(log, 'audit.jsonl'), join(`${log}-2`, 'audit.jsonl'));
      await symlink('/dev/full', join(log, 'audit.jsonl'));
    },
    mend: (log: string) => unlink(join(log, 'audit.jsonl')),
  },
  'a directory stands where the file was': {
    async break(log: string) {
      await mkdir(`${log}-3`);
      await rename(join(log, 'audit.jsonl'), join(`${log}-3`, 'audit.jsonl'));
      await mkdir(join(log, 'audit.jsonl'));
    },
    mend: (log: string) => rm(join(log, 'audit.jsonl'), { recursive: true }),
  },
};

t.test('what cannot be recorded is not carried out, refusals included, and it mends by itself (A1)', async (t) => {
  const scenario = await startRecorded(t);
  const { port, upstream, logs } = scenario;
  let served = 0;
  for (const [name, { break: breakIt, mend }] of Object.entries(breakages)) {
    t.match((await talk(port, post(toolCall('list_dashboards')))).answers, [{ status: 200 }], `${name}: before`);
    served += 1;
    await until(async () => (await recordsOf(logs)).some(({ stage }) => stage === 'completed'));
    await breakIt(logs);
    await until(async () => (await scenario.readiness()).status === 503);
    const attempts: Record<string, string> = {
      'a good call': post(toolCall('list_dashboards')),
      'a denied call': post(toolCall('drop_everything')),
      'no credentials': request('GET /api/x', [host]),
      'a bad token': request('GET /api/x', [host, 'Authorization: Bearer nonsense']),
      'no route': request('GET /nowhere'),
      'a bad path': request('GET /api/../x'),
      'a duplicate': request('GET /api/x', [host, withKey, withKey]),
      'the gateway’s own answer': request('GET /health'),
    };
    for (const [what, bytes] of Object.entries(attempts)) {
      const { answers } = await talk(port, bytes);
      const code = answers[0] && codeOf(answers[0]);
      t.match({ status: answers[0]?.status, code }, { status: 503, code: 'audit_unavailable' }, `${name}: ${what}`);
      t.equal(answers[0]?.headers['retry-after'], '1', `${name}: ${what} may come again`);
      t.notMatch(answers[0]?.body, /ENOSPC|EISDIR|ENOTDIR|audit\.jsonl|regular/, `${name}: ${what} tells no cause`);
    }
    t.equal(upstream.requests.length, served, `${name}: nothing was forwarded`);
    t.match((await scenario.readiness()).text, /audit: a required sink does not take records/);
    t.equal((await scenario.admin('/livez')).status, 200, `${name}: alive all the same`);
    await mend(logs);
    await until(async () => (await scenario.readiness()).status === 200);
  }
  const { answers } = await talk(port, post(toolCall('list_dashboards')));
  t.match(answers, [{ status: 200 }]);
  const metrics = await scenario.metrics();
  t.match(metrics, /portcullis_audit_write_failures_total\{sink="file"\} 30\b/);
  t.match(metrics, /portcullis_requests_total\{route="\/mcp",outcome="refused",status="503"\} 6/);
  await scenario.gateway.close();

  const directories = [logs, `${logs}-1`, `${logs}-2`, `${logs}-3`];
  const records = await recordsOf(...directories);
  // A call and an answer of the gateway's own each owe two records, a refusal one.
  const recovered = records.filter(({ reason }) => reason === 'recovered');
  t.equal(recovered.length, 3, 'each outage has its record');
  t.match(recovered[0], { stage: 'config', detail: { missed: 10 } });
  const report = await verifyChain(await filesOf(...directories));
  t.equal(report.break, undefined, 'and the chain runs through all files');
});

t.test('under load, forwarded is exactly what was recorded, however often the file goes away', async (t) => {
  const scenario = await startRecorded(t);
  const { port, upstream, logs } = scenario;
  let answered = 0;
  let refused = 0;
  let stop = false;
  const others: unknown[] = [];
  const client = async (): Promise<void> => {
    while (!stop) {
      const { answers } = await talk(port, post(toolCall('list_dashboards')));
      const status = answers[0]?.status;
      if (status === 200) answered += 1;
      else if (status === 503) refused += 1;
      else others.push(answers);
    }
  };
  const clients = Promise.all([client(), client(), client(), client()]);
  const directories = [logs];
  for (let round = 1; round <= 3; round += 1) {
    const aside = `${logs}-${round}`;
    directories.push(aside);
    const had = answered;
    await until(async () => answered > had + 20);
    await rename(logs, aside);
    await writeFile(logs, '');
    await until(async () => (await scenario.readiness()).status === 503);
    await unlink(logs);
    await until(async () => (await scenario.readiness()).status === 200);
  }
  stop = true;
  await clients;
  await scenario.gateway.close();
  const records = await recordsOf(...directories);
  const decided = records.filter(({ stage }) => stage === 'decided').map(({ id }) => id);
  const forwarded = upstream.requests.map((each) => each.header('x-request-id')[0]!);
  t.same(others, []);
  t.ok(refused > 0, `${refused} refused, ${answered} answered`);
  t.equal(forwarded.length, answered);
  t.strictSame(decided.toSorted(), forwarded.toSorted());
  t.equal((await verifyChain(await filesOf(...directories))).break, undefined);
});

t.test('onFailure: continue goes on without records, and counts them', async (t) => {
  const scenario = await startRecorded(t, 'continue');
  const { port, upstream, logs } = scenario;
  const { break: breakIt, mend } = breakages['a file stands where the directory was'];
  await breakIt(logs);
  await until(async () => (await scenario.readiness()).status === 503);
  t.match((await talk(port, post(toolCall('list_dashboards')))).answers, [{ status: 200 }]);
  t.match((await talk(port, request('GET /api/x', [host]))).answers, [{ status: 401 }]);
  t.equal(upstream.requests.length, 1);
  await mend(logs);
  await until(async () => (await scenario.readiness()).status === 200);
  t.match(await scenario.metrics(), /portcullis_audit_write_failures_total\{sink="file"\} 3\b/);
  const recovered = (await recordsOf(logs)).find(({ reason }) => reason === 'recovered');
  t.match(recovered?.detail, { missed: 3 }, 'decided, completed, refused');
});

t.test('no secret that anybody plants ends anywhere but at the upstream it was meant for (A2)', async (t) => {
  const canary = (name: string) => `canary-${name}-7f3a9c51`;
  const scenario = await startScenario(
    t,
    { upstreams: { superset: { authorization: '${env:UPSTREAM}' } } },
    { logToFile: true, env: { UPSTREAM: `Bearer ${canary('upstream')}` } },
  );
  const { issuer, port, upstream } = scenario;
  const token = await scenario.token({ extra: canary('claim') });
  const badToken = `${token.slice(0, -8)}AAAAAAAA`;
  const basic = Buffer.from(`admin:${canary('basic')}`).toString('base64');
  const api = (...headers: string[]) => request('GET /api/x', [host, ...headers]);
  const attempts = [
    api(`Authorization: Bearer ${token}`),
    api(`Authorization: Bearer ${badToken}`),
    api(`Authorization: Bearer ${canary('opaque')}`),
    api(`Authorization: Bearer sk_${canary('key')}`),
    api(`Authorization: Basic ${basic}`),
    api(`Authorization: ${canary('scheme')}`),
    api(`Authorization: Bearer a b ${canary('malformed')}`),
    api(`X-Api-Key: sk_${canary('header-key')}`),
    api(`X-Api-Key: ${apiKey}`),
    api(withKey, `X-Api-Key: sk_${canary('second-key')}`),
    api(withKey, `Cookie: session=${canary('cookie')}`, `Proxy-Authorization: Basic ${canary('proxy')}`),
    api(withKey, `DPoP: ${canary('dpop')}`, `X-Forwarded-Access-Token: ${canary('forwarded')}`),
    request(`GET /api/x?access_token=${canary('query')}`),
    request(`GET /api/x?password=${canary('query-password')}`),
    request(`GET /api/x?x-api-key=${canary('query-key')}`, [host]),
    request(`GET http://admin:${canary('url')}@mcp.example.com/api/x`),
    request(`GET /api/../x?token=${canary('bad-path')}`),
    rawRequest([`GET /api/x?token=${canary('parser')} HTTP/1.1`, host, `Cookie: ${canary('parser-cookie')}`, 'X: a\0']),
    rawRequest(['GET /api/x HTTP/1.1', host, `X: ${canary('large')}${'x'.repeat(40_000)}`]),
    post(toolCall('list_dashboards', { password: canary('argument') })),
    post(toolCall('drop_everything', { password: canary('denied-argument') })),
    post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","password":"${canary('member')}"}`),
    post(`{"password":"${canary('broken-json')}`),
    post(toolCall('list_dashboards'), [host, withKey, `Mcp-Session-Id: ${canary('session')}`]),
  ];
  let answers = '';
  for (const bytes of attempts) answers += (await talk(port, bytes)).text;
  issuer.fault = 'garbage';
  answers += (
    await talk(port, api(`Authorization: Bearer ${await scenario.token({}, { header: { kid: canary('kid') } })}`))
  ).text;
  issuer.fault = undefined;
  await scenario.reload({ upstreams: { superset: { authorization: `Bearer ${canary('reload')}`, bogus: true } } });
  await upstream.close();
  answers += (await talk(port, post(toolCall('list_dashboards')))).text;
  answers += (await talk(port, 'GARBAGE')).text;

  const toUpstream = upstream.requests.map(({ rawHeaders }) => rawHeaders.join('\n')).join('\n');
  t.match(toUpstream, canary('upstream'), 'the configured credential reached the upstream');
  for (const name of ['cookie', 'proxy', 'dpop', 'forwarded']) t.notMatch(toUpstream, canary(name), `${name} did not`);
  t.notOk(toUpstream.includes(token) || toUpstream.includes(apiKey), 'nor did any caller’s own');

  const places: Record<string, string> = {
    'the answers': answers,
    'the audit file': await readFile(join(scenario.directory, 'audit.jsonl'), 'utf8'),
    'the logs': await scenario.log(),
  };
  for (const path of ['/metrics', '/status', '/readyz']) {
    places[path] = await (await scenario.admin(path)).text();
  }
  const secrets = ['canary', basic, apiKey, token.slice(-40), badToken.slice(-40)];
  for (const [place, text] of Object.entries(places)) {
    t.ok(text.length > 0, `${place} says something`);
    for (const secret of secrets) {
      const at = text.indexOf(secret);
      t.equal(at, -1, `${place}: ${at < 0 ? 'nothing' : text.slice(Math.max(0, at - 80), at + 40)}`);
    }
  }
  const told = places['the logs']!.split('\n').filter((line) => line.includes('bad_upstream'));
  t.strictSame(
    told.map((line) => JSON.parse(line).level),
    ['warn', 'debug'],
    'the logs tell of the failure, and of each request',
  );
});

t.test(
  'whatever a caller names, a record is one line of tame text, and says it exactly or says it was cut (A2)',
  async (t) => {
    const scenario = await startRecorded(t);
    const { port, upstream, logs } = scenario;
    const names = [
      'a\nb',
      'a\r\n{"seq":1,"stage":"config"}',
      '\u001b[31mred\u001b[0m\u0007',
      'a\u2028b\u2029c',
      '"}{"',
      'a","hash":"0',
      '\u0000',
      '\u009b31m\u0085',
      '\u202edesrever',
      '\ufeff',
      '\ud83d\ude00',
      'list_dashboards ',
      'list_d\u0430shboards',
      'list_dashboards\u200b',
      '__proto__',
    ];
    for (const [index, name] of names.entries()) {
      const { answers } = await talk(port, post(toolCall(name)));
      t.match(answers, [{ status: 200, json: { error: { code: 403, data: { code: 'denied' } } } }], `name ${index}`);
    }
    const { answers } = await talk(port, post(toolCall('x'.repeat(1_000_000))));
    t.match(answers, [{ status: 200, json: { error: { data: { code: 'denied' } } } }]);
    const agent = 'agent \x85\x9b31m "}{" \\u000a';
    await talk(port, request('GET /api/x', [host, withKey, `User-Agent: ${agent}`]));
    t.equal(upstream.requests.length, 1, 'no such tool was ever called');

    await scenario.gateway.close();
    const text = await readFile(join(logs, 'audit.jsonl'), 'utf8');
    const lines = text.trimEnd().split('\n');
    t.notMatch(
      lines.join(''),
      /[\p{Cc}\u2028-\u202e\u2066-\u2069\ufeff]/u,
      'no control, no separator, no direction mark',
    );
    const records = lines.map((line) => JSON.parse(line) as AuditRecord);
    const tools = records.filter(({ mcp }) => mcp !== undefined).map(({ mcp }) => mcp?.tool);
    t.strictSame(tools.slice(0, -1), names, 'each says exactly what was asked for');
    const long = tools.at(-1)!;
    t.ok(Buffer.byteLength(long) <= 256 && long.endsWith('…1000000'), 'what was cut says how long it was');
    t.ok(records.some(({ client }) => client?.userAgent === agent));
    t.ok(lines.every((line) => line.length < 4096));
    t.equal((await verifyChain([join(logs, 'audit.jsonl')])).break, undefined);
  },
);
