// The public listener's TLS: whom it asks for a certificate, whom it refuses and what it records, and what a reload changes.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/dev/pki.ts';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { createClient, type TestClient } from '../support/client.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream();
t.teardown(() => upstream.close());
const certificates = await createTestCertificates();
const { authority } = certificates;
const ca = authority.certificatePem;
const key = `sk_${randomBytes(32).toString('base64url')}`;
const noneRevoked = await authority.revoke([]);
const agentRevoked = await authority.revoke([certificates.agent.serialNumber]);
const bearer = { authorization: `Bearer ${key}` };

type Asking = 'off' | 'optional' | 'required';

function yamlOf(asking: Asking, more: { tls?: string; listen?: string; server?: string } = {}): string {
  const clients = asking === 'off' ? '' : ', clientCaFile: clients-ca.crt';
  return `
version: 1
server:
  listen: ${more.listen ?? '127.0.0.1:0'}
  publicUrl: https://mcp.example.com
  ${more.server ?? `tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: "${asking}"${clients}${more.tls ?? ''}}`}
admin: {listen: "127.0.0.1:0"}
authenticators:
  keys:
    type: apiKey
    keys: [{id: k1, hash: "sha256:${createHash('sha256').update(key).digest('hex')}", clientId: ai_agent_prod, scopes: [dashboards:read], expires: 2099-01-01}]
  ${
    asking === 'off'
      ? ''
      : 'workloads: {type: mtls, allow: [{commonName: client-ai-agent-1, clientId: ai_agent_prod, scopes: [dashboards:read]}]}'
  }
upstreams: {superset: {url: "${upstream.url}"}}
routes:
  - {path: /key, upstream: superset, authenticate: keys}
  ${asking === 'off' ? '' : '- {path: /certificate, upstream: superset, authenticate: workloads}'}
  - {path: /health, authenticate: none, respond: {text: ok}}
`;
}

async function gatewayFor(
  t: Test,
  yaml: string,
  files: Readonly<Record<string, string>> = {},
): Promise<TestGateway & { client(certificate?: IssuedCertificate, tlsVersion?: 'TLSv1.2' | 'TLSv1.3'): TestClient }> {
  const gateway = await startTestGateway({ yaml, files: { ...certificates.files, ...files } });
  t.teardown(() => gateway.close());
  return {
    ...gateway,
    client(certificate, tlsVersion) {
      const client = createClient({ port: gateway.port, ca, certificate, ...(tlsVersion && { tlsVersion }) });
      t.teardown(() => client.close());
      return client;
    },
  };
}

/** Waits for so many records of refused connections; gives what they say. */
async function connectionRecords(gateway: TestGateway, count: number): Promise<object[]> {
  const found = await gateway.matchingRecords(
    count,
    ({ http, reason }) => http === undefined && reason === 'invalid_certificate',
  );
  return found.map(({ stage, decision, reason, outcome, client, principal }) => ({
    stage,
    decision,
    reason,
    outcome,
    client,
    principal,
  }));
}

const refusedConnection = {
  stage: 'completed',
  decision: 'deny',
  reason: 'invalid_certificate',
  outcome: 'refused',
  client: { address: '127.0.0.1' },
  principal: undefined,
};

t.test('off: nobody is asked for a certificate, and one that is at hand does not matter', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('off'));
  const seen = upstream.requests.length;
  for (const certificate of [undefined, certificates.agent, certificates.otherAuthority]) {
    const answer = await gateway.client(certificate).send({ path: '/key', headers: bearer });
    t.equal(answer.status, 200);
    const { credentials } = await gateway.record(({ id }) => id === answer.id);
    t.same(credentials, [{ kind: 'api-key', authenticator: 'keys', id: 'k1' }]);
  }
  t.equal(upstream.requests.length, seen + 3);
});

t.test(
  'required: without a certificate, or with a bad one, the connection ends before a request, with a record',
  async (t) => {
    const gateway = await gatewayFor(t, yamlOf('required', { tls: ', clientCrlFile: clients.crl' }), {
      'clients.crl': await authority.revoke([certificates.reporting.serialNumber]),
    });
    const serverOnly = await authority.issue({ commonName: 'client-ai-agent-1', extendedKeyUsage: ['serverAuth'] });
    const expired = await authority.issue({ commonName: 'client-ai-agent-1', notAfter: new Date(Date.now() - 1000) });
    const early = await authority.issue({
      commonName: 'client-ai-agent-1',
      notBefore: new Date(Date.now() + 3_600_000),
    });
    const bad: [string, IssuedCertificate | undefined][] = [
      ['none', undefined],
      ["another authority's", certificates.otherAuthority],
      ['an expired one', expired],
      ['one that is not valid yet', early],
      ["a server's", serverOnly],
      ['a revoked one', certificates.reporting],
    ];
    const seen = upstream.requests.length;
    let expectedRecords = 0;
    for (const tlsVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const [name, certificate] of bad) {
        const request = gateway.client(certificate, tlsVersion).send({ path: '/health' });
        await t.rejects(request, `${name} over ${tlsVersion}`);
        expectedRecords += 1;
        t.same((await connectionRecords(gateway, expectedRecords)).at(-1), refusedConnection);
      }
    }
    const answer = await gateway.client(certificates.agent).send({ path: '/certificate' });
    t.equal(answer.status, 200);
    t.match(await gateway.record(({ id }) => id === answer.id), {
      principal: { kind: 'mtls', subject: 'client-ai-agent-1', credentialId: fingerprintOf(certificates.agent) },
    });
    t.equal(upstream.requests.length, seen + 1);
    const unlisted = await gateway.client(certificates.unlisted).send({ path: '/certificate' });
    t.equal(unlisted.status, 401, 'a trusted one that is on no list gets in and is refused there');
    t.equal(JSON.parse(unlisted.text).code, 'invalid_certificate');
    t.equal(upstream.requests.length, seen + 1);
    t.match(
      await gateway.metrics(),
      `portcullis_requests_total{route="none",outcome="refused",status="invalid_certificate"} ${expectedRecords}\n`,
    );
  },
);

t.test('no certificate where one is required ends in a TLS alert that says so', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('required'));
  const failure = await handshake(gateway.port, { minVersion: 'TLSv1.3' });
  t.match(failure, { code: /ALERT_CERTIFICATE_REQUIRED/ });
});

t.test('optional: a bad certificate is refused and never taken for none', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('optional'));
  const seen = upstream.requests.length;
  const client = gateway.client(certificates.otherAuthority);
  for (const path of ['/key', '/certificate']) {
    const answer = await client.send({ path, headers: path === '/key' ? bearer : {} });
    t.equal(answer.status, 401);
    t.equal(JSON.parse(answer.text).code, 'invalid_certificate');
    t.equal(answer.headers.connection, 'close', 'what is wrong with the connection ends with it');
    t.match(await gateway.record(({ id }) => id === answer.id), {
      reason: 'invalid_certificate',
      credentials: [{ kind: 'client-certificate' }],
    });
  }
  t.equal(upstream.requests.length, seen);
  const again = await client.send({ path: '/key', headers: bearer });
  t.ok(again.resumed, 'also over a resumed session');
  t.equal(again.status, 401);
  t.equal((await gateway.client().send({ path: '/key', headers: bearer })).status, 200);
  t.match(
    await gateway.metrics(),
    'portcullis_authentications_total{authenticator="workloads",result="refused",reason="untrusted"} 3\n',
  );
});

t.test('C3: a certificate that a reload revokes is refused on the next request of its open connection', async (t) => {
  for (const asking of ['optional', 'required'] as const) {
    const yaml = yamlOf(asking, { tls: ', clientCrlFile: clients.crl' });
    const gateway = await gatewayFor(t, yaml, { 'clients.crl': noneRevoked });
    const client = gateway.client(certificates.agent);
    const before = await client.send({ path: '/certificate' });
    t.equal(before.status, 200);
    const seen = upstream.requests.length;
    await gateway.write('clients.crl', agentRevoked);
    await gateway.reload(yaml);
    const after = await client.send({ path: '/certificate' });
    t.equal(after.connection, before.connection, 'the same connection');
    t.equal(after.status, 401);
    t.equal(JSON.parse(after.text).code, 'invalid_certificate');
    t.equal(after.headers.connection, 'close');
    t.equal(upstream.requests.length, seen, 'nothing reached the upstream');
    t.match(await gateway.record(({ id }) => id === after.id), { decision: 'deny', reason: 'invalid_certificate' });
    t.match(
      await gateway.metrics(),
      /authentications_total\{authenticator="workloads",result="refused",reason="revoked"\} 1/,
    );
  }
});

t.test('C3: session tickets from before a reload are worth nothing', async (t) => {
  for (const tlsVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const yaml = yamlOf('optional', { tls: ', clientCrlFile: clients.crl' });
    const gateway = await gatewayFor(t, yaml, { 'clients.crl': noneRevoked });
    const client = gateway.client(certificates.agent, tlsVersion);
    const reconnect = { path: '/certificate', headers: { connection: 'close' } };
    const first = await client.send(reconnect);
    const second = await client.send(reconnect);
    t.same([first.resumed, second.resumed], [false, true], `${tlsVersion} resumes while nothing has changed`);
    t.same([first.status, second.status], [200, 200], 'and the identity stays');
    await gateway.write('clients.crl', agentRevoked);
    await gateway.reload(yaml);
    const third = await client.send(reconnect);
    t.same([third.resumed, third.status], [false, 401], `${tlsVersion} starts anew after a reload`);
  }
});

t.test('a reload that takes a name off the allowlist refuses its open connection', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('optional'));
  const client = gateway.client(certificates.agent);
  const before = await client.send({ path: '/certificate' });
  await gateway.reload(yamlOf('optional').replace('commonName: client-ai-agent-1', 'commonName: client-ai-agent-9'));
  const after = await client.send({ path: '/certificate' });
  t.same([before.status, after.status, after.connection], [200, 401, before.connection]);
});

t.test('C4: without usable authorities it does not start, and says which file is wrong', async (t) => {
  const cases: [string, Readonly<Record<string, string>>, RegExp][] = [
    ['an empty file', { 'clients-ca.crt': '' }, /clientCaFile/],
    ['garbage', { 'clients-ca.crt': 'garbage' }, /clientCaFile/],
    [
      'a broken certificate',
      { 'clients-ca.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      /clientCaFile/,
    ],
    ['only a leaf', { 'clients-ca.crt': certificates.agent.certificatePem }, /clientCaFile.*authority/],
    [
      'an expired revocation list',
      { 'clients.crl': await authority.revoke([], { nextUpdate: new Date(Date.now() - 1000) }) },
      /clientCrlFile.*expired/,
    ],
    ["a stranger's revocation list", { 'clients.crl': await certificates.stranger.revoke([]) }, /clientCrlFile/],
  ];
  for (const [name, files, message] of cases) {
    const yaml = yamlOf('optional', { tls: 'clients.crl' in files ? ', clientCrlFile: clients.crl' : '' });
    const started = startTestGateway({ yaml, files: { ...certificates.files, ...files } });
    await t.rejects(started, { message }, name);
    await started.catch((error: Error) => t.equal(error.message.trim().split('\n').length, 1, 'in one line'));
  }
  const { 'clients-ca.crt': _, ...withoutAuthorities } = certificates.files;
  await t.rejects(startTestGateway({ yaml: yamlOf('optional'), files: withoutAuthorities }), {
    message: /clientCaFile/,
  });
  const unnamed = yamlOf('required').replace(', clientCaFile: clients-ca.crt', '');
  await t.rejects(startTestGateway({ yaml: unnamed, files: certificates.files }), { message: /needs clientCaFile/ });
});

t.test('C4: a reload to broken authorities leaves the old ones in force', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('required'));
  const client = gateway.client(certificates.agent);
  t.equal((await client.send({ path: '/certificate' })).status, 200);
  await gateway.write('clients-ca.crt', 'garbage');
  await gateway.reload(yamlOf('required'));
  t.match(await gateway.metrics(), 'portcullis_config_last_reload_success 0\n');
  t.match(await gateway.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reload refused'), {
    detail: { problem: /clientCaFile/ },
  });
  t.equal((await gateway.client(certificates.agent).send({ path: '/certificate' })).status, 200);
  await t.rejects(gateway.client().send({ path: '/health' }), 'and still asks for a certificate');
});

t.test('a reload from off to optional to required and back counts for connections opened after it', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('off'));
  const early = gateway.client();
  t.equal((await early.send({ path: '/key', headers: bearer })).status, 200);

  await gateway.reload(yamlOf('optional'));
  const agent = gateway.client(certificates.agent);
  t.equal((await agent.send({ path: '/certificate' })).status, 200, 'now certificates are asked for');
  t.equal((await gateway.client().send({ path: '/key', headers: bearer })).status, 200, 'and none is still good');
  t.equal((await gateway.client(certificates.otherAuthority).send({ path: '/key', headers: bearer })).status, 401);

  await gateway.reload(yamlOf('required'));
  await t.rejects(gateway.client().send({ path: '/health' }), 'none is refused in the handshake');
  await t.rejects(gateway.client(certificates.otherAuthority).send({ path: '/health' }), 'a bad one too');
  await connectionRecords(gateway, 2);
  t.equal((await gateway.client(certificates.agent).send({ path: '/certificate' })).status, 200);
  const seen = upstream.requests.length;
  const late = await early.send({ path: '/key', headers: bearer });
  t.equal(late.status, 401, 'an open connection without a certificate serves no further request');
  t.equal(JSON.parse(late.text).code, 'credentials_required');
  t.equal(late.headers.connection, 'close');
  t.equal(upstream.requests.length, seen);

  await gateway.reload(yamlOf('off'));
  t.equal((await gateway.client().send({ path: '/key', headers: bearer })).status, 200);
  const open = await agent.send({ path: '/key', headers: bearer });
  t.equal(open.status, 200, 'a certificate from before is not looked at any more');
});

t.test('C4: a new server certificate and a new authority are used after a reload', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('optional'));
  t.equal((await gateway.client(certificates.otherAuthority).send({ path: '/certificate' })).status, 401);
  const renewed = await authority.issue({ commonName: 'renewed', dnsNames: ['mcp.example.com'], server: true });
  await gateway.write('tls.crt', renewed.certificatePem);
  await gateway.write('tls.key', renewed.keyPem);
  await gateway.write('clients-ca.crt', certificates.stranger.certificatePem);
  await gateway.reload(yamlOf('optional'));
  t.equal((await gateway.client(certificates.otherAuthority).send({ path: '/certificate' })).status, 200);
  t.equal((await gateway.client(certificates.agent).send({ path: '/certificate' })).status, 401);
  const socket = await connected(gateway.port, {});
  t.equal(socket.getPeerCertificate().subject.CN, 'renewed');
  socket.destroy();
});

t.test('TLS below 1.2 is refused, and 1.2 where the configuration asks for 1.3', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('off'));
  const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  for (const maxVersion of ['TLSv1', 'TLSv1.1'] as const) {
    t.match(await handshake(gateway.port, { ...old, maxVersion }), { code: /ALERT_PROTOCOL_VERSION/ });
  }
  t.match(
    await gateway.metrics(),
    'portcullis_requests_total{route="none",outcome="refused",status="tls_handshake"} 2\n',
  );
  const socket = await connected(gateway.port, { maxVersion: 'TLSv1.2' });
  t.equal(socket.getProtocol(), 'TLSv1.2');
  socket.destroy();
  await gateway.reload(yamlOf('off', { tls: ', minVersion: TLSv1.3' }));
  t.match(await handshake(gateway.port, { maxVersion: 'TLSv1.2' }), { code: /ALERT_PROTOCOL_VERSION/ });
});

t.test('C5: HTTP/2 is never agreed on, and renegotiation is off', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('off'));
  const both = await connected(gateway.port, { ALPNProtocols: ['h2', 'http/1.1'] });
  t.equal(both.alpnProtocol, 'http/1.1');
  both.destroy();
  t.match(await handshake(gateway.port, { ALPNProtocols: ['h2'] }), { code: /NO_APPLICATION_PROTOCOL/ });
  const socket = await connected(gateway.port, { maxVersion: 'TLSv1.2' });
  const renegotiated = await new Promise<Error | null>((resolve) => {
    socket.once('error', resolve);
    socket.renegotiate({}, resolve);
  });
  t.match(renegotiated, { code: /NO_RENEGOTIATION/ }, 'the handshake is not done again');
  socket.destroy();
  t.equal((await gateway.client().send({ path: '/health' })).status, 200, 'and it goes on serving');
});

t.test('plain HTTP on the TLS port ends, and off loopback the configuration refuses it', async (t) => {
  const gateway = await gatewayFor(t, yamlOf('off'));
  const socket = connectTcp(gateway.port, '127.0.0.1');
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk)).on('error', () => {});
  socket.write('GET /health HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n');
  await once(socket, 'close');
  t.notMatch(Buffer.concat(received).toString('latin1'), /HTTP\/1\.1 200/);
  const plain = yamlOf('off', { listen: '0.0.0.0:0', server: '' });
  await t.rejects(startTestGateway({ yaml: plain, files: {} }), { message: /plain HTTP is served on loopback only/ });
});

function connected(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'mcp.example.com', ca, ...options });
    socket.once('secureConnect', () => resolve(socket)).once('error', reject);
  });
}

/** The error that a handshake ends in; in TLS 1.3 it comes only after the client believes it is done. */
function handshake(port: number, options: ConnectionOptions): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'mcp.example.com', ca, ...options });
    socket.once('error', resolve).once('close', () => resolve(undefined));
    socket.resume();
  });
}
