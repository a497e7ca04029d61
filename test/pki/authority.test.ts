// The development PKI: certificates as TLS and node:crypto see them.
import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type PeerCertificate, type TLSSocket } from 'node:tls';
import t from 'tap';
import { createCertificateAuthority, type IssuedCertificate } from '../../src/pki/authority.ts';

const authority = await createCertificateAuthority();
const server = await authority.issue({
  commonName: 'localhost',
  dnsNames: ['localhost'],
  ips: ['127.0.0.1'],
  server: true,
});

interface Outcome {
  readonly authorized: boolean;
  readonly reason: string | undefined;
  readonly commonName: PeerCertificate['subject']['CN'] | undefined;
}

/** What a TLS server that trusts `authority` finds out about a client with this certificate. */
async function handshake(certificate: IssuedCertificate | undefined, crl?: string): Promise<Outcome> {
  const listener = createServer({
    cert: server.certificatePem,
    key: server.keyPem,
    ca: authority.certificatePem,
    ...(crl === undefined ? {} : { crl }),
    requestCert: true,
    rejectUnauthorized: false,
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const seen = new Promise<Outcome>((resolve) => {
    listener.once('secureConnection', (socket: TLSSocket) => {
      const peer = socket.getPeerCertificate();
      resolve({
        authorized: socket.authorized,
        reason: socket.authorizationError === null ? undefined : String(socket.authorizationError),
        commonName: Object.keys(peer).length === 0 ? undefined : peer.subject.CN,
      });
      socket.end();
    });
  });
  const client = connect({
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    ca: authority.certificatePem,
    ...(certificate === undefined ? {} : { cert: certificate.certificatePem, key: certificate.keyPem }),
  });
  client.on('error', () => {});
  client.resume();
  const outcome = await seen;
  await new Promise<void>((resolve) => client.on('close', () => resolve()).end());
  await new Promise<void>((resolve) => listener.close(() => resolve()));
  return outcome;
}

t.test('a client certificate of the authority is accepted with its common name taken literally', async (t) => {
  const literal = 'client,CN=other+O=#x "y"';
  t.match(await handshake(await authority.issue({ commonName: 'client-ai-agent-1' })), {
    authorized: true,
    commonName: 'client-ai-agent-1',
  });
  t.match(await handshake(await authority.issue({ commonName: literal })), { authorized: true, commonName: literal });
  t.match(await handshake(await authority.issue({ commonName: ['one', 'two'] })), { commonName: ['one', 'two'] });
  t.equal((await handshake(await authority.issue({ uris: ['spiffe://a/b'] }))).commonName, undefined);
});

t.test('what a client certificate can have wrong with it is found at the handshake', async (t) => {
  const other = await createCertificateAuthority();
  const hour = 3_600_000;
  const revoked = await authority.issue({ commonName: 'revoked' });
  const kept = await authority.issue({ commonName: 'kept' });
  const crl = await authority.revoke([revoked.serialNumber]);
  const old = await authority.issue({ commonName: 'old', notAfter: new Date(Date.now() - hour) });
  const early = await authority.issue({ commonName: 'early', notBefore: new Date(Date.now() + hour) });
  const purpose = await authority.issue({ commonName: 'server', server: true });
  t.match(await handshake(undefined), { authorized: false });
  t.match(await handshake(await other.issue({ commonName: 'client-ai-agent-1' })), { authorized: false });
  t.match(await handshake(old), { authorized: false, reason: /CERT_HAS_EXPIRED/ });
  t.match(await handshake(early), { authorized: false, reason: /CERT_NOT_YET_VALID/ });
  t.match(await handshake(purpose), { authorized: false, reason: /INVALID_PURPOSE/ });
  t.match(await handshake(revoked, crl), { authorized: false, reason: /CERT_REVOKED/ });
  t.match(await handshake(kept, crl), { authorized: true });
  const stale = await authority.revoke([], { nextUpdate: new Date(Date.now() - hour) });
  t.match(await handshake(kept, stale), { authorized: false, reason: /CRL_HAS_EXPIRED/ });
});

t.test('names, keys and serial numbers are as node:crypto reads them', async (t) => {
  const issued = await authority.issue({ dnsNames: ['a.test'], uris: ['spiffe://x/y'], ips: ['::1'] });
  const certificate = new X509Certificate(issued.certificatePem);
  const issuer = new X509Certificate(authority.certificatePem);
  t.equal(certificate.serialNumber, issued.serialNumber);
  t.match(issued.serialNumber, /^[4-7][0-9A-F]{31}$/);
  t.equal(certificate.subjectAltName, 'DNS:a.test, URI:spiffe://x/y, IP Address:0:0:0:0:0:0:0:1');
  t.ok(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
  t.equal(certificate.ca, false);
  t.equal(issuer.ca, true);
  t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
  const both = new X509Certificate(
    (await authority.issue({ extendedKeyUsage: ['serverAuth', '1.2.3.4'] })).certificatePem,
  );
  t.same(both.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.2.3.4']);
});
