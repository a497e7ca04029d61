// TLS to upstreams: authorities, client certificates and handshakes that fail.
import t, { type Test } from 'tap';
import { type CertificateAuthority, createCertificateAuthority } from '../../src/pki/authority.ts';
import { ask, configOf, startForwarder } from '../support/forwarder.ts';
import { faults, startRawUpstream, startUpstream } from '../support/upstream.ts';

const [authority, stranger] = await Promise.all([createCertificateAuthority(), createCertificateAuthority()]);
const server = { server: true, commonName: 'superset', dnsNames: ['superset.internal'], ips: ['127.0.0.1'] };
const files = new Map([
  ['/ca.crt', Buffer.from(authority.certificatePem)],
  ['/other-ca.crt', Buffer.from(stranger.certificatePem)],
]);

/** What one GET through the gateway gets from an HTTPS upstream with such a certificate. */
async function through(
  t: Test,
  options: {
    readonly issuer?: CertificateAuthority;
    readonly certificate?: object;
    readonly server?: object;
    readonly tls?: object;
    readonly files?: ReadonlyMap<string, Buffer>;
  },
) {
  const { certificatePem: cert, keyPem: key } = await (options.issuer ?? authority).issue({
    ...server,
    ...options.certificate,
  });
  const upstream = await startUpstream({ tls: { cert, key, ...options.server } });
  const config = configOf(upstream.url, { upstream: { tls: options.tls ?? { caFile: '/ca.crt' } } });
  const forwarder = await startForwarder(config, { files: options.files ?? files });
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  const answer = await ask(forwarder.port, { method: 'POST', body: '{}' });
  return { answer, requests: upstream.requests, reason: (forwarder.results[0] as { reason?: string }).reason };
}

t.test('an upstream whose certificate the configured authority issued is trusted', async (t) => {
  t.match((await through(t, {})).answer, { status: 200 });
  const byName = { tls: { caFile: '/ca.crt', serverName: 'superset.internal' }, certificate: { ips: [] } };
  t.match((await through(t, byName)).answer, { status: 200 });
});

t.test('every other certificate is 502, and the upstream sees no request', async (t) => {
  const day = 86_400_000;
  const cases = {
    'from another authority': { issuer: stranger },
    'without a caFile: the public roots': { tls: {} },
    'for another name': { tls: { caFile: '/ca.crt', serverName: 'other.internal' } },
    'for another address': { certificate: { ips: ['192.0.2.1'] } },
    expired: { certificate: { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) } },
    'for clients only': { certificate: { server: false } },
    'with TLS 1.1 at most': { server: { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } },
  };
  for (const [name, options] of Object.entries(cases)) {
    const { answer, requests, reason } = await through(t, options);
    t.match(answer, { status: 502, headers: { 'x-code': 'bad_upstream' } }, name);
    t.equal(reason, 'tls', name);
    t.equal(requests.length, 0, name);
  }
});

t.test('verification does not follow NODE_TLS_REJECT_UNAUTHORIZED', async (t) => {
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  t.teardown(() => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  });
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const { answer, requests } = await through(t, { issuer: stranger });
  t.match(answer, { status: 502 });
  t.equal(requests.length, 0);
});

t.test('the configured client certificate is presented, and without one a demanding upstream is 502', async (t) => {
  const client = await authority.issue({ commonName: 'portcullis' });
  const withClient = new Map([
    ...files,
    ['/tls.crt', Buffer.from(client.certificatePem)],
    ['/tls.key', Buffer.from(client.keyPem)],
  ]);
  const demanding = { server: { requestCert: true, rejectUnauthorized: true, ca: authority.certificatePem } };
  const tls = { caFile: '/ca.crt', certFile: '/tls.crt', keyFile: '/tls.key' };
  const { answer, requests } = await through(t, { ...demanding, tls, files: withClient });
  t.match(answer, { status: 200 });
  t.match(requests, [{ clientCommonName: 'portcullis' }]);

  const without = await through(t, demanding);
  t.match(without.answer, { status: 502 });
  t.equal(without.requests.length, 0);
});

t.test('HTTPS to a server that speaks plain HTTP is 502', async (t) => {
  const upstream = await startUpstream();
  const config = configOf(upstream.url.replace('http:', 'https:'), { upstream: { tls: { caFile: '/ca.crt' } } });
  const forwarder = await startForwarder(config, { files });
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  t.match(await ask(forwarder.port), { status: 502 });
  t.match(forwarder.results, [{ reason: 'tls' }]);
  t.equal(upstream.requests.length, 0);
});

t.test('a server that accepts and never shakes hands is 504 after the connect timeout', async (t) => {
  const upstream = await startRawUpstream(faults.silent);
  const tls = { tls: { caFile: '/ca.crt' }, timeouts: { connect: '100ms' } };
  const forwarder = await startForwarder(configOf(upstream.url.replace('http:', 'https:'), { upstream: tls }), {
    files,
  });
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  t.match(await ask(forwarder.port), { status: 504, headers: { 'x-code': 'upstream_timeout' } });
  t.match(forwarder.results, [{ reason: 'connect_timeout' }]);
  t.equal(upstream.connections(), 1, 'a GET is not repeated either');
});
