// Certificates that are chosen by server name (SNI), and cipher suites of the public listener.
import { once } from 'node:events';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { startScenario } from '../support/scenario.ts';

const certificates = await createTestCertificates();
const { authority } = certificates;
const ca = authority.certificatePem;
const server = (commonName: string, ...dnsNames: string[]) =>
  authority.issue({ commonName, server: true, ...(dnsNames.length > 0 && { dnsNames }) });
const [exact, wildcard, nameless, renewed] = await Promise.all([
  server('exact', 'a.tools.example', 'b.example'),
  server('wildcard', '*.tools.example', 'mcp.example.com'),
  server('nameless.example'),
  server('renewed', 'a.tools.example', 'c.example'),
]);
const pair = (name: string) => ({ certFile: `${name}.crt`, keyFile: `${name}.key` });
const files = Object.fromEntries(
  Object.entries({ exact, wildcard, nameless }).flatMap(([name, { certificatePem, keyPem }]) => [
    [`${name}.crt`, certificatePem],
    [`${name}.key`, keyPem],
  ]),
);
const further = [pair('wildcard'), pair('exact'), pair('nameless')];

/** Shakes hands; the common name of the certificate and the connection, or the error's code. */
async function handshake(port: number, options: ConnectionOptions) {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    const { CN } = socket.getPeerCertificate().subject;
    return { name: CN, cipher: socket.getCipher().standardName, protocol: socket.getProtocol() };
  } catch (error) {
    return { name: (error as NodeJS.ErrnoException).code };
  } finally {
    socket.destroy();
  }
}

t.test('a certificate is chosen by server name among its own names, exact ones before wildcards', async (t) => {
  const scenario = await startScenario(t, { server: { tls: { certificates: further } } }, { tls: certificates, files });
  const shown = async (servername: string) => (await handshake(scenario.port, { servername })).name;
  const names = {
    'mcp.example.com': 'mcp.example.com',
    'a.tools.example': 'exact',
    'A.Tools.Example': 'exact',
    'b.example': 'exact',
    'other.tools.example': 'wildcard',
    'deep.other.tools.example': 'mcp.example.com',
    'tools.example': 'mcp.example.com',
    'unknown.example': 'mcp.example.com',
    'nameless.example': 'mcp.example.com',
    exact: 'mcp.example.com',
    '*.tools.example': 'mcp.example.com',
    '': 'mcp.example.com',
  };
  for (const [servername, expected] of Object.entries(names)) t.equal(await shown(servername), expected, servername);
  t.match(
    await scenario.metrics(),
    /certificate_expiry_timestamp_seconds\{certificate="server.tls.certificates\[1\].certFile"\} \d/,
  );

  await scenario.write('exact.crt', renewed!.certificatePem);
  await scenario.write('exact.key', renewed!.keyPem);
  await scenario.reload();
  t.equal(await shown('a.tools.example'), 'renewed', 'a reload renews it');
  t.equal(await shown('b.example'), 'mcp.example.com');
  await scenario.write('exact.key', certificates.agent.keyPem);
  await scenario.reload();
  const refused = await scenario.record(({ detail }) => detail?.event === 'reload refused');
  t.match(refused.detail?.problem, /server\.tls\.certificates\[1\]\.keyFile: is not the key of the first certificate/);
  t.equal(await shown('c.example'), 'renewed', 'and a refused one changes nothing');
  await scenario.reload({ server: { tls: { certificates: [] } } });
  t.equal(await shown('c.example'), 'mcp.example.com');
});

t.test('the same authorities and lists count for clients under every server name', async (t) => {
  const tls = {
    certificates: further,
    clientCertificates: 'required',
    clientCrlFile: 'clients.crl',
  };
  const revoked = await authority.revoke([certificates.reporting.serialNumber]);
  const scenario = await startScenario(
    t,
    { server: { tls } },
    { tls: certificates, files: { ...files, 'clients.crl': revoked } },
  );
  for (const servername of ['mcp.example.com', 'a.tools.example', 'x.tools.example']) {
    const answer = (identity: { certificatePem: string; keyPem: string } | undefined): Promise<string> => {
      const socket = connect({
        ...{ port: scenario.port, host: '127.0.0.1', ca, servername, rejectUnauthorized: false },
        ...(identity !== undefined && { cert: identity.certificatePem, key: identity.keyPem }),
      });
      socket.write('GET /health HTTP/1.1\r\nHost: mcp.example.com\r\nConnection: close\r\n\r\n');
      return new Promise((resolve) =>
        socket
          .on('data', (chunk) => resolve(String(chunk)))
          .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
          .on('end', () => resolve('ended')),
      );
    };
    t.match(await answer(certificates.agent), /^HTTP\/1.1 200/, servername);
    for (const bad of [undefined, certificates.otherAuthority, certificates.reporting]) {
      t.notMatch(await answer(bad), /^HTTP/, `${servername}: ${bad?.serialNumber ?? 'none'} is refused`);
    }
  }
  t.equal(scenario.upstream.requests.length, 0);
});

t.test('modern ciphers: of TLS 1.2 only ECDHE with AEAD; a list takes their place', async (t) => {
  const scenario = await startScenario(t, {}, { tls: certificates });
  const { port } = scenario;
  const old = { maxVersion: 'TLSv1.2', servername: 'mcp.example.com' } as const;
  t.match(await handshake(port, { servername: 'mcp.example.com' }), { protocol: 'TLSv1.3' });
  t.match(await handshake(port, old), { protocol: 'TLSv1.2', cipher: /^TLS_ECDHE_ECDSA_WITH_.*(GCM|CHACHA20)/ });
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA256', 'ECDHE-ECDSA-AES256-SHA', 'ECDHE-ECDSA-AES128-CCM']) {
    t.match(await handshake(port, { ...old, ciphers }), { name: /HANDSHAKE_FAILURE/ }, ciphers);
  }
  await scenario.reload({ server: { tls: { ciphers: 'ECDHE-ECDSA-AES128-SHA256' } } });
  t.match(await handshake(port, old), { cipher: 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256' });
  t.match(await handshake(port, { servername: '' }), { protocol: 'TLSv1.3' }, 'which is about TLS 1.2 alone');
  await scenario.reload({ server: { tls: { ciphers: 'TLS_CHACHA20_POLY1305_SHA256:ECDHE+AESGCM' } } });
  t.match(await handshake(port, { servername: '' }), { cipher: 'TLS_CHACHA20_POLY1305_SHA256' });
  t.match(await handshake(port, old), { cipher: /GCM/ });
});

t.test('certificates and ciphers that the TLS library refuses are configuration errors', async (t) => {
  const start = (tls: object) => startScenario(t, { server: { tls } }, { tls: certificates, files });
  for (const ciphers of ['nonsense', 'TLS_NONSENSE', 'moderne', 'a b', '']) {
    await t.rejects(start({ ciphers }), { message: /server\.tls\.ciphers: / }, ciphers);
  }
  const cases: [object, RegExp][] = [
    [{ certFile: 'exact.crt', keyFile: 'wildcard.key' }, /server\.tls\.certificates\[0\]\.keyFile: is not the key of/],
    [{ certFile: 'none.crt', keyFile: 'exact.key' }, /server\.tls\.certificates\[0\]\.certFile: cannot read the file/],
    [{ certFile: 'exact.crt' }, /server\.tls\.certificates\[0\]/],
  ];
  for (const [certificate, message] of cases) await t.rejects(start({ certificates: [certificate] }), { message });
});
