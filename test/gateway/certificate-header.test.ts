// The client certificate behind a proxy that ends TLS: believed from that proxy only, and then judged like one of our own connections.
import { createHash, X509Certificate } from 'node:crypto';
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { createCertificate } from '../authn/certificates.ts';
import { boundTo, certificateAllowlist, createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import type { Changes, Configuration } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream({
  reply(request, response) {
    const stream = request.url === '/stream';
    response.writeHead(200, { 'content-type': stream ? 'text/event-stream' : 'text/plain' });
    if (stream) response.flushHeaders();
    else response.end('ok');
  },
});
const issuer = await createFakeIssuer();
t.teardown(() => Promise.all([upstream.close(), issuer.close()]));
const certificates = await createTestCertificates();
const { agent, authority, otherAuthority, reporting, stranger, unlisted } = certificates;
const edge = await authority.issue({ commonName: 'edge', dnsNames: ['edge.internal'] });
const falseEdge = await stranger.issue({ commonName: 'edge', dnsNames: ['edge.internal'] });
const noneRevoked = await authority.revoke([]);

/** The proxy that ends TLS before the gateway. */
interface Hop {
  readonly format?: string;
  /** TLS to the gateway; without it plain HTTP, as beside a sidecar. */
  readonly tls?: 'off' | 'optional' | 'required';
  /** How it proves itself. */
  readonly proxy?: Configuration;
  readonly workloads?: boolean;
  /** Whether there is a revocation file. */
  readonly revocation?: boolean;
  /** The certificate authorities of clients, and their revocation list. */
  readonly authorities?: Configuration;
  readonly files?: Readonly<Record<string, string>>;
}

const resource = 'https://mcp.example.com/mcp';

function changesFor(hop: Hop): Changes {
  const { format = 'client-cert', tls, proxy, workloads = true, revocation = false } = hop;
  const { authorities = { clientCaFile: 'clients-ca.crt', clientCrlFile: 'clients.crl' } } = hop;
  return {
    server: {
      ...(tls !== undefined && { tls: { clientCertificates: tls, ...authorities } }),
      clientCertificateHeader: {
        format,
        from: ['127.0.0.1/32'],
        ...(proxy !== undefined && { proxy }),
        ...(tls === undefined && authorities),
      },
    },
    authenticators: { workloads: workloads ? certificateAllowlist : undefined },
    ...(revocation && { revocation: { file: 'revoked.yaml' } }),
    routes: [
      { path: '/token', resource },
      { path: '/open', authenticate: 'none' },
      ...(workloads ? [{ path: '/*', authenticate: 'workloads' }] : []),
    ],
  };
}

const der = ({ certificatePem }: { readonly certificatePem: string }) => new X509Certificate(certificatePem).raw;
const clientCert = (certificate: { readonly certificatePem: string }) => `:${der(certificate).toString('base64')}:`;
const encodedPem = (pem: string) => encodeURIComponent(pem).replaceAll("'", '%27');
/** As Envoy writes it with `set_current_client_cert_details: {subject, cert, chain, dns, uri}`. */
const forwarded = ({ certificatePem }: { readonly certificatePem: string }, chain = certificatePem) =>
  `By=spiffe://example.com/gateway;Hash=${createHash('sha256').update(der({ certificatePem })).digest('hex')};` +
  `Cert="${encodedPem(certificatePem)}";Chain="${encodedPem(chain)}";Subject="CN=client,O=\\"a, b\\"";URI=;DNS=a.example;DNS=b.example`;

interface Sent {
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly certificate?: IssuedCertificate;
  readonly localAddress?: string;
}

async function begin(t: Test, hop: Hop = {}) {
  const scenario = await startScenario(t, changesFor(hop), {
    upstream,
    issuer,
    ...(hop.tls !== undefined && { tls: certificates }),
    files: { ...certificates.files, 'clients.crl': noneRevoked, 'revoked.yaml': '{}', ...hop.files },
    streamTickMs: 10,
  });
  return {
    ...scenario,
    /** Says what came of it, and who was recognised. */
    async send({ path = '/certificate', headers = {}, ...connection }: Sent) {
      const seen = upstream.requests.length;
      const client = scenario.connect(connection);
      const answer = await client.send({ path, headers });
      client.close();
      const record = await scenario.recordOf(answer);
      const code = answer.status === 200 ? 'ok' : (JSON.parse(answer.text) as { code: string }).code;
      const forwardedTo = upstream.requests.slice(seen);
      if (answer.status !== 200) t.equal(forwardedTo.length, 0, 'a refused request reaches nobody');
      return {
        outcome: `${answer.status} ${code}`,
        record,
        forwarded: forwardedTo,
        subject: record.principal?.subject,
      };
    },
  };
}

for (const [format, name, write] of [
  ['client-cert', 'client-cert', clientCert],
  ['x-forwarded-client-cert', 'x-forwarded-client-cert', forwarded],
] as const) {
  t.test(`${format} from a proxy on loopback names the client, by the rules of every certificate`, async (t) => {
    const scenario = await begin(t, { format });
    for (const attempt of ['first', 'again']) {
      const good = await scenario.send({ headers: { [name]: write(agent) } });
      t.match(good, { outcome: '200 ok', subject: 'client-ai-agent-1' }, attempt);
      t.same(good.record.credentials, [
        { kind: 'client-certificate', authenticator: 'workloads', id: fingerprintOf(agent) },
      ]);
      t.same(good.forwarded[0]?.header(name), [], 'the upstream does not see the header');
    }
    const soon = new Date(Date.now() + 3_600_000);
    const bad = {
      'nobody lists it': unlisted,
      'of another authority': otherAuthority,
      expired: await authority.issue({ commonName: 'client-ai-agent-1', notAfter: new Date(Date.now() - 1000) }),
      'not yet valid': await authority.issue({ commonName: 'client-ai-agent-1', notBefore: soon }),
      "a server's": await authority.issue({ commonName: 'client-ai-agent-1', extendedKeyUsage: ['serverAuth'] }),
    };
    for (const [what, certificate] of Object.entries(bad)) {
      t.match(
        await scenario.send({ headers: { [name]: write(certificate) } }),
        { outcome: '401 invalid_certificate' },
        what,
      );
    }
    t.equal((await scenario.send({})).outcome, '401 credentials_required', 'no header, no certificate');
    const elsewhere = await scenario.send({ headers: { [name]: write(agent) }, localAddress: '127.0.0.2' });
    t.equal(elsewhere.outcome, '401 credentials_required', 'from anybody else the header is nothing');
    const folded = await scenario.send({ headers: { [name.replaceAll('-', '_')]: write(agent) } });
    t.equal(folded.outcome, '401 credentials_required', 'so is a name that is nearly that');
    t.equal(
      (await scenario.send({ headers: { [name]: [write(agent), write(agent)] } })).outcome,
      '400 duplicate_header',
    );
    const open = await scenario.send({ path: '/open', headers: { [name]: 'x' } });
    t.match(open, { outcome: '200 ok' }, 'where no credential is looked at the header is not either');
    t.same(open.forwarded[0]?.header(name), []);
    await scenario.write('clients.crl', await authority.revoke([agent.serialNumber]));
    await scenario.reload();
    t.equal((await scenario.send({ headers: { [name]: write(agent) } })).outcome, '401 invalid_certificate', 'revoked');
    t.equal((await scenario.send({ headers: { [name]: write(reporting) } })).outcome, '200 ok');
  });

  t.test(`${format} proves who sends a certificate-bound token`, async (t) => {
    const scenario = await begin(t, { format, workloads: false });
    const token = await scenario.token(boundTo(agent));
    const send = (more: Record<string, string>, localAddress = '127.0.0.1') =>
      scenario.send({ path: '/token', headers: { authorization: `Bearer ${token}`, ...more }, localAddress });
    t.equal((await send({ [name]: write(agent) })).outcome, '200 ok');
    t.equal((await send({ [name]: write(reporting) })).outcome, '401 invalid_token');
    t.equal((await send({ [name]: write(agent) }, '127.0.0.2')).outcome, '401 invalid_token');
    t.equal((await send({})).outcome, '401 invalid_token');
    const document = await fetch(`http://127.0.0.1:${scenario.port}/.well-known/oauth-protected-resource/mcp`);
    t.match(await document.json(), { tls_client_certificate_bound_access_tokens: true });
  });
}

t.test('a header from the proxy that cannot be read is 400, and nothing is guessed', async (t) => {
  const good = clientCert(agent);
  const bare = good.slice(1, -1);
  const plain = await begin(t);
  t.equal(
    (await plain.send({ headers: { 'client-cert': good } })).outcome,
    '200 ok',
    'what is good is known from then on',
  );
  for (const [what, headers] of Object.entries<Record<string, string | string[]>>({
    empty: { 'client-cert': '' },
    'without colons': { 'client-cert': bare },
    'with one colon': { 'client-cert': `:${bare}` },
    'nothing between': { 'client-cert': '::' },
    base64url: { 'client-cert': `:${der(agent).toString('base64url')}:` },
    'white space inside': { 'client-cert': `:${bare.slice(0, 64)} ${bare.slice(64)}:` },
    'a parameter': { 'client-cert': `${good};a=1` },
    'two items': { 'client-cert': `${good}, ${good}` },
    PEM: { 'client-cert': encodedPem(agent.certificatePem) },
    'no certificate': { 'client-cert': ':AAAA:' },
    'something behind it': { 'client-cert': `:${Buffer.concat([der(agent), Buffer.from([0])]).toString('base64')}:` },
    'a chain alone': { 'client-cert-chain': good },
    'two chains and no certificate': { 'client-cert-chain': [good, good] },
    'a chain of something else': { 'client-cert': good, 'client-cert-chain': 'x' },
    'a chain without end': { 'client-cert': good, 'client-cert-chain': Array(9).fill(good).join(', ') },
  })) {
    t.match(await plain.send({ headers }), { outcome: '400 bad_request', record: { reason: 'bad_request' } }, what);
  }
  const envoy = await begin(t, { format: 'x-forwarded-client-cert' });
  const element = forwarded(agent);
  const cert = `Cert="${encodedPem(agent.certificatePem)}"`;
  for (const [what, value] of Object.entries({
    empty: '',
    'two elements': `${element},${element}`,
    'an element of the client before ours': `${forwarded(reporting)},${element}`,
    'without Cert': `Hash=${'0'.repeat(64)};Subject="CN=client-ai-agent-1"`,
    'Cert twice': `${cert};${cert}`,
    'Cert and cert': `${cert};cert="${encodedPem(reporting.certificatePem)}"`,
    'a hash of something else': `Hash=${'0'.repeat(64)};${cert}`,
    'a chain of something else': forwarded(agent, reporting.certificatePem),
    'two certificates': `Cert="${encodedPem(agent.certificatePem + reporting.certificatePem)}"`,
    'not encoded': `Cert="${agent.certificatePem.replaceAll('\n', ' ')}x"`,
    'a quote that does not end': `${cert.slice(0, -1)}`,
    'a key alone': 'Cert',
    'text between': `x ${cert}`,
  })) {
    const headers = { 'x-forwarded-client-cert': value };
    t.match(await envoy.send({ headers }), { outcome: '400 bad_request', record: { reason: 'bad_request' } }, what);
  }
  t.equal((await envoy.send({ headers: { 'x-forwarded-client-cert': cert } })).outcome, '200 ok', 'Cert is enough');
  t.equal(
    (await envoy.send({ headers: { 'client-cert': good } })).outcome,
    '401 credentials_required',
    'one format only',
  );
});

t.test('a proxy that proves itself by mTLS is believed, and is never a client itself', async (t) => {
  for (const tls of ['optional', 'required'] as const) {
    const scenario = await begin(t, { tls, proxy: { dnsName: 'edge.internal' } });
    const headers = { 'client-cert': clientCert(agent) };
    t.match(await scenario.send({ certificate: edge, headers }), { outcome: '200 ok', subject: 'client-ai-agent-1' });
    t.equal(
      (await scenario.send({ certificate: edge })).outcome,
      '401 credentials_required',
      'its own is no credential',
    );
    t.match(
      await scenario.send({ certificate: reporting, headers }),
      { outcome: '200 ok', subject: 'client-reporting-1' },
      'a client that writes the header is still itself',
    );
    t.equal(
      (await scenario.send({ certificate: edge, headers, localAddress: '127.0.0.2' })).outcome,
      '401 invalid_certificate',
      'its certificate from elsewhere is nobody',
    );
    if (tls === 'required') continue;
    t.equal((await scenario.send({ headers })).outcome, '401 credentials_required', 'the address alone is not enough');
    t.equal((await scenario.send({ certificate: falseEdge, headers })).outcome, '401 invalid_certificate');
    await scenario.write('clients.crl', await authority.revoke([edge.serialNumber]));
    await scenario.reload();
    t.equal((await scenario.send({ certificate: edge, headers })).outcome, '401 invalid_certificate', 'revoked');
  }
});

t.test('a certificate on the connection and another in the header: nobody can say which counts', async (t) => {
  const scenario = await begin(t, { tls: 'optional' });
  const headers = { 'client-cert': clientCert(agent) };
  t.equal((await scenario.send({ headers })).outcome, '200 ok');
  t.equal((await scenario.send({ certificate: agent })).outcome, '200 ok');
  t.equal((await scenario.send({ certificate: agent, headers })).outcome, '400 ambiguous_credentials', 'even the same');
});

t.test(
  'authorities in between come in the header too, unless they are under constraints that nobody enforced',
  async (t) => {
    const root = await createCertificate({ ca: true, name: [{ CN: [{ utf8String: 'root' }] }], keyUsage: 4 + 32 + 64 });
    const { Extension } = await import('@peculiar/x509');
    // permittedSubtrees: dNSName example.com
    const constraints = new Extension('2.5.29.30', true, Buffer.from('3011a00f300d820b6578616d706c652e636f6d', 'hex'));
    const leafUnder = async (extensions: InstanceType<typeof Extension>[]) => {
      const between = await createCertificate({
        ca: true,
        issuer: root,
        name: [{ CN: [{ utf8String: 'between' }] }],
        keyUsage: 4 + 32 + 64,
        extensions,
      });
      const leaf = await createCertificate({ issuer: between, name: [{ CN: [{ utf8String: 'client-ai-agent-1' }] }] });
      return { leaf: { certificatePem: leaf.pem }, between: { certificatePem: between.pem } };
    };
    const { anybody } = await begin(t, {
      authorities: { clientCaFile: 'clients-ca.crt' },
      files: { 'clients-ca.crt': root.pem },
    });
    const status = async (headers: Record<string, string | string[]>) =>
      (await anybody.send({ path: '/certificate', headers })).status;
    const free = await leafUnder([]);
    t.equal(await status({ 'client-cert': clientCert(free.leaf) }), 401, 'without what stands between');
    t.equal(
      await status({
        'client-cert': clientCert(free.leaf),
        'client-cert-chain': [clientCert(free.between), clientCert({ certificatePem: root.pem })],
      }),
      200,
    );
    const bound = await leafUnder([constraints]);
    t.equal(
      await status({ 'client-cert': clientCert(bound.leaf), 'client-cert-chain': clientCert(bound.between) }),
      401,
    );
  },
);

t.test('the revocation file takes back what a proxy states, and the proxy', async (t) => {
  const serial = (certificate: IssuedCertificate) => `certificates: ["${certificate.serialNumber}"]`;
  for (const [whose, list] of Object.entries({ client: serial(agent), proxy: serial(edge) })) {
    const scenario = await begin(t, {
      tls: 'optional',
      proxy: { dnsName: 'edge.internal' },
      revocation: true,
    });
    const headers = { 'client-cert': clientCert(agent) };
    t.match(await scenario.send({ certificate: edge, headers }), { outcome: '200 ok', subject: 'client-ai-agent-1' });
    const stream = await scenario.hold({ path: '/stream', certificate: edge, headers });
    await scenario.write('revoked.yaml', list);
    await scenario.record(({ detail }) => detail?.event === 'revocation list taken');
    const refused = await scenario.send({ certificate: edge, headers });
    t.equal(refused.outcome, '401 invalid_certificate', whose);
    t.match(refused.record.detail, { credential: { problem: 'revoked', revokedBy: 'certificate' } }, whose);
    t.equal(await stream.ended(), 'clean', whose);
  }
});

t.test('a stream ends when the certificate in its header is revoked', async (t) => {
  const scenario = await begin(t);
  const stream = await scenario.hold({ path: '/stream', headers: { 'client-cert': clientCert(agent) } });
  t.equal(stream.response.statusCode, 200);
  await scenario.write('clients.crl', await authority.revoke([agent.serialNumber]));
  await scenario.reload();
  t.equal(await stream.ended(), 'clean');
  await scenario.record(({ stage, reason }) => stage === 'stream' && reason === 'revoked');
});
