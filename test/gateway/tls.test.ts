// TLS of the public listener: client certificates, refused connections and their records, and reloads.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { apiKey, type Changes, type Configuration } from '../support/configuration.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream();
t.teardown(() => upstream.close());
const certificates = await createTestCertificates();
const { authority } = certificates;
const ca = authority.certificatePem;
const noneRevoked = await authority.revoke([]);
const agentRevoked = await authority.revoke([certificates.agent.serialNumber]);
const bearer = { authorization: `Bearer ${apiKey}` };

type Asking = 'off' | 'optional' | 'required';

/** Whether clients are asked for a certificate; `tls` is laid over the listener's. */
function changesFor(asking: Asking, tls: Configuration = {}): Changes {
  const off = asking === 'off';
  return {
    server: { tls: { clientCertificates: asking, clientCaFile: off ? undefined : 'clients-ca.crt', ...tls } },
    authenticators: {
      corp: undefined,
      workloads: off
        ? undefined
        : {
            type: 'mtls',
            allow: [{ commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] }],
          },
    },
    routes: [
      { path: '/key', authenticate: 'keys' },
      ...(off ? [] : [{ path: '/certificate', authenticate: 'workloads' }]),
      { path: '/health', authenticate: 'none', respond: { text: 'ok' } },
    ],
  };
}

const clientCrlFile = 'clients.crl';

function begin(t: Test, changes: Changes, files: Readonly<Record<string, string>> = {}) {
  return startScenario(t, changes, { upstream, tls: { ...certificates, files: { ...certificates.files, ...files } } });
}

async function beginAsking(t: Test, asking: Asking, tls?: Configuration, files?: Readonly<Record<string, string>>) {
  const scenario = await begin(t, changesFor(asking, tls), files);
  return {
    ...scenario,
    client: (certificate?: IssuedCertificate, tlsVersion?: 'TLSv1.2' | 'TLSv1.3') =>
      scenario.connect({ certificate, ...(tlsVersion && { tlsVersion }) }),
    ask: (now: Asking) => scenario.reload(changesFor(now)),
  };
}

/** Waits for so many records of refused connections; gives what they say. */
async function connectionRecords(scenario: Pick<Scenario, 'matchingRecords'>, count: number): Promise<object[]> {
  const found = await scenario.matchingRecords(
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
  const scenario = await beginAsking(t, 'off');
  const seen = upstream.requests.length;
  for (const certificate of [undefined, certificates.agent, certificates.otherAuthority]) {
    const answer = await scenario.client(certificate).send({ path: '/key', headers: bearer });
    t.equal(answer.status, 200);
    const { credentials } = await scenario.record(({ id }) => id === answer.id);
    t.same(credentials, [{ kind: 'api-key', authenticator: 'keys', id: 'k1' }]);
  }
  t.equal(upstream.requests.length, seen + 3);
});

t.test(
  'required: without a certificate, or with a bad one, the connection ends before a request, with a record',
  async (t) => {
    const scenario = await beginAsking(
      t,
      'required',
      { clientCrlFile },
      { 'clients.crl': await authority.revoke([certificates.reporting.serialNumber]) },
    );
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
        const request = scenario.client(certificate, tlsVersion).send({ path: '/health' });
        await t.rejects(request, `${name} over ${tlsVersion}`);
        expectedRecords += 1;
        t.same((await connectionRecords(scenario, expectedRecords)).at(-1), refusedConnection);
      }
    }
    const answer = await scenario.client(certificates.agent).send({ path: '/certificate' });
    t.equal(answer.status, 200);
    t.match(await scenario.record(({ id }) => id === answer.id), {
      principal: { kind: 'mtls', subject: 'client-ai-agent-1', credentialId: fingerprintOf(certificates.agent) },
    });
    t.equal(upstream.requests.length, seen + 1);
    const unlisted = await scenario.client(certificates.unlisted).send({ path: '/certificate' });
    t.equal(unlisted.status, 401, 'a trusted one that is on no list gets in and is refused there');
    t.equal(JSON.parse(unlisted.text).code, 'invalid_certificate');
    t.equal(upstream.requests.length, seen + 1);
    t.match(
      await scenario.metrics(),
      `portcullis_requests_total{route="none",outcome="refused",status="invalid_certificate"} ${expectedRecords}\n`,
    );
  },
);

t.test('no certificate where one is required ends in a TLS alert that says so', async (t) => {
  const scenario = await beginAsking(t, 'required');
  const failure = await handshake(scenario.port, { minVersion: 'TLSv1.3' });
  t.match(failure, { code: /ALERT_CERTIFICATE_REQUIRED/ });
});

t.test('optional: a bad certificate is refused and never taken for none', async (t) => {
  const scenario = await beginAsking(t, 'optional');
  const seen = upstream.requests.length;
  const client = scenario.client(certificates.otherAuthority);
  for (const path of ['/key', '/certificate']) {
    const answer = await client.send({ path, headers: path === '/key' ? bearer : {} });
    t.equal(answer.status, 401);
    t.equal(JSON.parse(answer.text).code, 'invalid_certificate');
    t.equal(answer.headers.connection, 'close', 'what is wrong with the connection ends with it');
    t.match(await scenario.record(({ id }) => id === answer.id), {
      reason: 'invalid_certificate',
      credentials: [{ kind: 'client-certificate' }],
    });
  }
  t.equal(upstream.requests.length, seen);
  const again = await client.send({ path: '/key', headers: bearer });
  t.ok(again.resumed, 'also over a resumed session');
  t.equal(again.status, 401);
  t.equal((await scenario.client().send({ path: '/key', headers: bearer })).status, 200);
  t.match(
    await scenario.metrics(),
    'portcullis_authentications_total{authenticator="workloads",result="refused",reason="untrusted"} 3\n',
  );
});

t.test('C3: a certificate that a reload revokes is refused on the next request of its open connection', async (t) => {
  for (const asking of ['optional', 'required'] as const) {
    const scenario = await beginAsking(t, asking, { clientCrlFile }, { 'clients.crl': noneRevoked });
    const client = scenario.client(certificates.agent);
    const before = await client.send({ path: '/certificate' });
    t.equal(before.status, 200);
    const seen = upstream.requests.length;
    await scenario.write('clients.crl', agentRevoked);
    await scenario.reload();
    const after = await client.send({ path: '/certificate' });
    t.equal(after.connection, before.connection, 'the same connection');
    t.equal(after.status, 401);
    t.equal(JSON.parse(after.text).code, 'invalid_certificate');
    t.equal(after.headers.connection, 'close');
    t.equal(upstream.requests.length, seen, 'nothing reached the upstream');
    t.match(await scenario.record(({ id }) => id === after.id), { decision: 'deny', reason: 'invalid_certificate' });
    t.match(
      await scenario.metrics(),
      /authentications_total\{authenticator="workloads",result="refused",reason="revoked"\} 1/,
    );
  }
});

t.test('C3: session tickets from before a reload are worth nothing', async (t) => {
  for (const tlsVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const scenario = await beginAsking(t, 'optional', { clientCrlFile }, { 'clients.crl': noneRevoked });
    const client = scenario.client(certificates.agent, tlsVersion);
    const reconnect = { path: '/certificate', headers: { connection: 'close' } };
    const first = await client.send(reconnect);
    const second = await client.send(reconnect);
    t.same([first.resumed, second.resumed], [false, true], `${tlsVersion} resumes while nothing has changed`);
    t.same([first.status, second.status], [200, 200], 'and the identity stays');
    await scenario.write('clients.crl', agentRevoked);
    await scenario.reload();
    const third = await client.send(reconnect);
    t.same([third.resumed, third.status], [false, 401], `${tlsVersion} starts anew after a reload`);
  }
});

t.test('a reload that takes a name off the allowlist refuses its open connection', async (t) => {
  const scenario = await beginAsking(t, 'optional');
  const client = scenario.client(certificates.agent);
  const before = await client.send({ path: '/certificate' });
  const allow = [{ commonName: 'client-ai-agent-9', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] }];
  await scenario.reload({ authenticators: { workloads: { allow } } });
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
    const started = begin(t, changesFor('optional', 'clients.crl' in files ? { clientCrlFile } : {}), files);
    await t.rejects(started, { message }, name);
    await started.catch((error: Error) => t.equal(error.message.trim().split('\n').length, 1, 'in one line'));
  }
  const { 'clients-ca.crt': _, ...withoutAuthorities } = certificates.files;
  const missing = startScenario(t, changesFor('optional'), {
    tls: { ...certificates, files: withoutAuthorities as typeof certificates.files },
  });
  await t.rejects(missing, { message: /clientCaFile/ });
  const unnamed = begin(t, changesFor('required', { clientCaFile: undefined }));
  await t.rejects(unnamed, { message: /needs clientCaFile/ });
});

t.test('C4: a reload to broken authorities leaves the old ones in force', async (t) => {
  const scenario = await beginAsking(t, 'required');
  const client = scenario.client(certificates.agent);
  t.equal((await client.send({ path: '/certificate' })).status, 200);
  await scenario.write('clients-ca.crt', 'garbage');
  await scenario.ask('required');
  t.match(await scenario.metrics(), 'portcullis_config_last_reload_success 0\n');
  t.match(await scenario.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reload refused'), {
    detail: { problem: /clientCaFile/ },
  });
  t.equal((await scenario.client(certificates.agent).send({ path: '/certificate' })).status, 200);
  await t.rejects(scenario.client().send({ path: '/health' }), 'and still asks for a certificate');
});

t.test('a reload from off to optional to required and back counts for connections opened after it', async (t) => {
  const scenario = await beginAsking(t, 'off');
  const early = scenario.client();
  t.equal((await early.send({ path: '/key', headers: bearer })).status, 200);

  await scenario.ask('optional');
  const agent = scenario.client(certificates.agent);
  t.equal((await agent.send({ path: '/certificate' })).status, 200, 'now certificates are asked for');
  t.equal((await scenario.client().send({ path: '/key', headers: bearer })).status, 200, 'and none is still good');
  t.equal((await scenario.client(certificates.otherAuthority).send({ path: '/key', headers: bearer })).status, 401);

  await scenario.ask('required');
  await t.rejects(scenario.client().send({ path: '/health' }), 'none is refused in the handshake');
  await t.rejects(scenario.client(certificates.otherAuthority).send({ path: '/health' }), 'a bad one too');
  await connectionRecords(scenario, 2);
  t.equal((await scenario.client(certificates.agent).send({ path: '/certificate' })).status, 200);
  const seen = upstream.requests.length;
  const late = await early.send({ path: '/key', headers: bearer });
  t.equal(late.status, 401, 'an open connection without a certificate serves no further request');
  t.equal(JSON.parse(late.text).code, 'credentials_required');
  t.equal(late.headers.connection, 'close');
  t.equal(upstream.requests.length, seen);

  await scenario.ask('off');
  t.equal((await scenario.client().send({ path: '/key', headers: bearer })).status, 200);
  const open = await agent.send({ path: '/key', headers: bearer });
  t.equal(open.status, 200, 'a certificate from before is not looked at any more');
});

t.test('C4: a new server certificate and a new authority are used after a reload', async (t) => {
  const scenario = await beginAsking(t, 'optional');
  t.equal((await scenario.client(certificates.otherAuthority).send({ path: '/certificate' })).status, 401);
  const renewed = await authority.issue({ commonName: 'renewed', dnsNames: ['mcp.example.com'], server: true });
  await scenario.write('tls.crt', renewed.certificatePem);
  await scenario.write('tls.key', renewed.keyPem);
  await scenario.write('clients-ca.crt', certificates.stranger.certificatePem);
  await scenario.ask('optional');
  t.equal((await scenario.client(certificates.otherAuthority).send({ path: '/certificate' })).status, 200);
  t.equal((await scenario.client(certificates.agent).send({ path: '/certificate' })).status, 401);
  const socket = await connected(scenario.port, {});
  t.equal(socket.getPeerCertificate().subject.CN, 'renewed');
  socket.destroy();
});

t.test('TLS below 1.2 is refused, and 1.2 where the configuration asks for 1.3', async (t) => {
  const scenario = await beginAsking(t, 'off');
  const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  for (const maxVersion of ['TLSv1', 'TLSv1.1'] as const) {
    t.match(await handshake(scenario.port, { ...old, maxVersion }), { code: /ALERT_PROTOCOL_VERSION/ });
  }
  t.match(
    await scenario.metrics(),
    'portcullis_requests_total{route="none",outcome="refused",status="tls_handshake"} 2\n',
  );
  const socket = await connected(scenario.port, { maxVersion: 'TLSv1.2' });
  t.equal(socket.getProtocol(), 'TLSv1.2');
  socket.destroy();
  await scenario.reload({ server: { tls: { minVersion: 'TLSv1.3' } } });
  t.match(await handshake(scenario.port, { maxVersion: 'TLSv1.2' }), { code: /ALERT_PROTOCOL_VERSION/ });
});

t.test('C5: HTTP/2 is never agreed on, and renegotiation is off', async (t) => {
  const scenario = await beginAsking(t, 'off');
  const both = await connected(scenario.port, { ALPNProtocols: ['h2', 'http/1.1'] });
  t.equal(both.alpnProtocol, 'http/1.1');
  both.destroy();
  t.match(await handshake(scenario.port, { ALPNProtocols: ['h2'] }), { code: /NO_APPLICATION_PROTOCOL/ });
  const socket = await connected(scenario.port, { maxVersion: 'TLSv1.2' });
  const renegotiated = await new Promise<Error | null>((resolve) => {
    socket.once('error', resolve);
    socket.renegotiate({}, resolve);
  });
  t.match(renegotiated, { code: /NO_RENEGOTIATION/ }, 'the handshake is not done again');
  socket.destroy();
  t.equal((await scenario.client().send({ path: '/health' })).status, 200, 'and it goes on serving');
});

t.test('plain HTTP on the TLS port ends, and off loopback the configuration refuses it', async (t) => {
  const scenario = await beginAsking(t, 'off');
  const socket = connectTcp(scenario.port, '127.0.0.1');
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk)).on('error', () => {});
  socket.write('GET /health HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n');
  await once(socket, 'close');
  t.notMatch(Buffer.concat(received).toString('latin1'), /HTTP\/1\.1 200/);
  const plain = startScenario(t, { server: { listen: '0.0.0.0:0' } });
  await t.rejects(plain, { message: /plain HTTP is served on loopback only/ });
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
