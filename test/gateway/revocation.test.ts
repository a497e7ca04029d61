// The revocation file through the running gateway: refused at once whatever is cached, streams ended, and every failure of the file bounded.
import { rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { boundTo, createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, type Changes, listDashboards } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const certificates = await createTestCertificates();
const issuer = await createFakeIssuer();
t.teardown(() => issuer.close());
const call = toolCall('list_dashboards');

const changes: Changes = {
  authenticators: {
    workloads: {
      allow: [{ commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] }],
    },
  },
  revocation: { file: 'revoked.yaml' },
  routes: [{ path: '/mcp', authenticate: { anyOf: ['corp', 'keys', 'workloads'] }, mcp: { rules: [listDashboards] } }],
  audit: { timeout: '60s' },
};
const surroundings = (list: string) => ({
  issuer,
  tls: certificates,
  files: { 'revoked.yaml': list },
  streamTickMs: 10,
  revocationPollMs: 40,
});

async function begin(t: Test, list = '{}', mayAnswer: Promise<void> = Promise.resolve()) {
  /** The upstream's side of each stream, in their order. */
  const open: ServerResponse[] = [];
  const scenario = await startScenario(t, changes, {
    ...surroundings(list),
    reply(request, response) {
      if (request.method === 'GET') open.push(response);
      response.writeHead(200, { 'content-type': request.method === 'GET' ? 'text/event-stream' : 'application/json' });
      if (request.method === 'GET') void mayAnswer.then(() => response.flushHeaders());
      else response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  });
  return {
    ...scenario,
    open,
    /** Writes the list, and waits for the record that it is in force, or is not. */
    async revoke(content: string, event = 'revocation list taken') {
      const before = (await scenario.records()).length;
      await scenario.write('revoked.yaml', content);
      return scenario.record(({ seq, detail }) => seq > before && detail?.event === event);
    },
  };
}

const inSeconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;
const withKey = { authorization: `Bearer ${apiKey}` };

interface Presented {
  readonly headers?: Readonly<Record<string, string>>;
  readonly certificate?: IssuedCertificate;
}

const token = async (claims: Readonly<Record<string, unknown>> = {}) => ({
  headers: { authorization: `Bearer ${await issuer.token(claims)}` },
});
const { agent } = certificates;
const serial = agent.serialNumber.replace(/..(?=.)/g, '$&:').toLowerCase();

/** Each credential, the list that revokes it, and what is said of it. */
const revoked: Record<string, { from: Presented; list: string; code: string; by: string; id: string | undefined }> = {
  'a token by its id': {
    from: await token({ jti: 'j1' }),
    list: 'jti: [j1]',
    code: 'invalid_token',
    by: 'jti',
    id: 'j1',
  },
  'the tokens of a subject': {
    from: await token({ sub: 'mallory', jti: 'j2' }),
    list: 'subjects: [corp/mallory]',
    code: 'invalid_token',
    by: 'subject',
    id: 'j2',
  },
  'the tokens of a client': {
    from: await token({ client_id: 'stolen', jti: 'j3' }),
    list: 'clientIds: [stolen]',
    code: 'invalid_token',
    by: 'clientId',
    id: 'j3',
  },
  'tokens from before an incident': {
    from: await token({ iat: inSeconds(-100), jti: 'j4' }),
    list: `issuedBefore: ${new Date(inSeconds(-50) * 1000).toISOString()}`,
    code: 'invalid_token',
    by: 'issuedBefore',
    id: 'j4',
  },
  'a token that does not say when it is from': {
    from: await token({ iat: undefined, jti: 'j5' }),
    list: 'issuedBefore: 2001-01-01',
    code: 'invalid_token',
    by: 'issuedBefore',
    id: 'j5',
  },
  'a key by its id': {
    from: { headers: withKey },
    list: 'keyIds: [k1]',
    code: 'invalid_api_key',
    by: 'keyId',
    id: 'k1',
  },
  'the keys of a client': {
    from: { headers: withKey },
    list: 'clientIds: [keys/reporting_tool]',
    code: 'invalid_api_key',
    by: 'clientId',
    id: 'k1',
  },
  'a certificate by its serial number': {
    from: { certificate: agent },
    list: `certificates: ["${serial}"]`,
    code: 'invalid_certificate',
    by: 'certificate',
    id: fingerprintOf(agent),
  },
  'a certificate by its fingerprint': {
    from: { certificate: agent },
    list: `certificates: ["${fingerprintOf(agent)}"]`,
    code: 'invalid_certificate',
    by: 'certificate',
    id: fingerprintOf(agent),
  },
  'a certificate beside a good token': {
    from: { ...(await token()), certificate: agent },
    list: `certificates: ["${serial}"]`,
    code: 'invalid_certificate',
    by: 'certificate',
    id: fingerprintOf(agent),
  },
  'the certificate of a client': {
    from: { certificate: agent },
    list: 'clientIds: [workloads/ai_agent_prod]',
    code: 'invalid_certificate',
    by: 'clientId',
    id: fingerprintOf(agent),
  },
};

const scenario = await begin(t);
for (const [name, { from, list, code, by, id }] of Object.entries(revoked)) {
  t.test(`revoked: ${name}, on a connection and in a cache that know it, and on its stream`, async (t) => {
    const streamsBefore = scenario.open.length;
    const client = scenario.connect({ certificate: from.certificate });
    const send = () => client.post(call, { headers: from.headers ?? {} });
    t.equal((await send()).status, 200);
    t.equal((await send()).status, 200, 'known by now');
    const stream = await scenario.hold(from);
    const bystander = await scenario.hold(await token());
    t.match([stream, bystander], [{ response: { statusCode: 200 } }, { response: { statusCode: 200 } }]);
    const forwarded = scenario.upstream.requests.length;
    const authenticator = { invalid_token: 'corp', invalid_api_key: 'keys', invalid_certificate: 'workloads' }[code];
    const labels = { authenticator: authenticator!, result: 'refused', reason: 'revoked' };
    const refusedBefore = await scenario.metric('portcullis_authentications_total', labels);
    const taken = await scenario.revoke(list);
    t.match(taken, { stage: 'config', detail: { event: 'revocation list taken', entries: 1 } });
    const refused = await send();
    t.equal(refused.status, 401);
    t.match(JSON.parse(refused.text), { error: { data: { code } } });
    t.equal(scenario.upstream.requests.length, forwarded, 'nothing was forwarded');
    const record = await scenario.record((each) => each.id === refused.id);
    t.match(record, {
      stage: 'completed',
      decision: 'deny',
      reason: code,
      status: 401,
      outcome: 'refused',
      detail: { credential: { problem: 'revoked', revokedBy: by } },
    });
    t.ok(
      record.credentials?.some((each) => each.id === id),
      'the record names the credential',
    );
    t.equal(await scenario.metric('portcullis_authentications_total', labels), refusedBefore + 1);
    t.equal(await stream.ended(), 'clean');
    const ended = await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream');
    t.match(ended, { reason: 'revoked', detail: { event: 'ended' } });
    scenario.open[streamsBefore + 1]!.write('data: on\n\n');
    await bystander.saw('data: on\n\n');
    bystander.leave();
    await scenario.revoke('{}');
    await scenario.record(({ detail }) => detail?.event === 'revocation list taken' && detail.entries === 0);
    await until(async () => (await send()).status === 200, 'it is let in again, once the list has been still');
  });
}

t.test('a certificate that only proves who sends a bound token is revoked like any other', async (t) => {
  const scenario = await begin(t);
  await scenario.reload({
    authenticators: { workloads: undefined },
    routes: { '/mcp': { authenticate: { anyOf: ['corp', 'keys'] } } },
  });
  const from = { ...(await token(boundTo(agent))), certificate: agent };
  const client = scenario.connect({ certificate: agent });
  t.equal((await client.post(call, from)).status, 200);
  const stream = await scenario.hold(from);
  await scenario.revoke(`certificates: ["${serial}"]`);
  const refused = await client.post(call, from);
  t.match([refused.status, refused.text], [401, /invalid_certificate/]);
  t.equal(await stream.ended(), 'clean');
});

t.test('a stream whose request was let in before the change, and began after it, ends as well', async (t) => {
  let answer = () => {};
  const scenario = await begin(t, '{}', new Promise((resolve) => (answer = resolve)));
  const holding = scenario.hold(await token({ jti: 'late' }));
  await scenario.record(({ stage }) => stage === 'decided');
  await scenario.revoke('jti: [late]');
  answer();
  const stream = await holding;
  t.equal(await stream.ended(), 'clean');
});

t.test('a bad file changes nothing but what operators see, and a reload goes on with the last good list', async (t) => {
  const scenario = await begin(t, 'keyIds: [k1]');
  const client = scenario.anybody;
  const send = async () => (await client.post(call, { headers: withKey })).status;
  t.equal(await send(), 401);
  t.match((await scenario.records())[0], { detail: { event: 'started', revocation: { entries: 1 } } });
  const refused = await scenario.revoke('keyIds: [', 'revocation list refused');
  t.match(refused.detail, { problem: /revoked\.yaml:1:\d+ not valid YAML/ });
  t.equal(await send(), 401);
  t.match(await scenario.status(), { revocation: { entries: 1, problem: /not valid YAML/ } });
  t.equal((await scenario.readiness()).status, 200, 'it goes on serving');
  t.match(await scenario.metrics(), /^portcullis_revocation_last_reload_success 0$/m);
  t.equal(await scenario.metric('portcullis_revocation_entries'), 1);
  await scenario.reload({ server: { drainTimeout: '31s' } });
  await scenario.record(({ detail }) => detail?.event === 'reloaded');
  t.equal(await send(), 401);
  rmSync(join(scenario.directory, 'revoked.yaml'));
  await scenario.record(({ detail }) => /no such file/.test(String(detail?.problem)));
  t.equal(await send(), 401);
  await scenario.revoke('{}');
  t.equal(await scenario.metric('portcullis_revocation_last_reload_success'), 1);
});

t.test('a start with a list that is bad or not there refuses to start', async (t) => {
  const start = (files: Readonly<Record<string, string>>) =>
    startScenario(t, changes, { issuer, tls: certificates, files });
  await t.rejects(start({ 'revoked.yaml': 'jti: x' }), {
    name: 'ConfigError',
    message: /revoked\.yaml:1:6 jti: expected a list/,
  });
  await t.rejects(start({}), { name: 'ConfigError', message: /revocation\.file: cannot read the file/ });
});
