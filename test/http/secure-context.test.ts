// TLS contexts from PEM files: what the library refuses is named by key, file and block, and what it would drop in silence is refused.
import t from 'tap';
import { buildListenerContext } from '../../src/http/connection/listener.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { buildUpstreamContext } from '../../src/upstream/tls-context.ts';
import { createSmallCertificate, createTestCertificates } from '../support/certificates.ts';

const { authority, stranger, files: pems } = await createTestCertificates();
const leaf = pems['tls.crt'];
const ca = authority.certificatePem;
const other = stranger.certificatePem;
const crl = await authority.revoke([]);
const small = await createSmallCertificate();
const cut = (pem: string) => pem.slice(0, 200);

const usual = { cert: leaf, key: pems['tls.key'], ca, crl };

function listenerWith(given: Partial<typeof usual>) {
  const files = new Map(Object.entries({ ...usual, ...given }).map(([name, pem]) => [`/${name}`, Buffer.from(pem)]));
  return () =>
    buildListenerContext(
      {
        certFile: '/cert',
        keyFile: '/key',
        clientCertificates: 'optional',
        clientCaFile: '/ca',
        clientCrlFile: '/crl',
        certificates: [],
        ciphers: 'modern',
        minVersion: 'TLSv1.2',
      },
      createNamedFiles(files),
    );
}

t.test('files that TLS can use make a context', (t) => {
  for (const given of [
    {},
    { cert: leaf + ca, ca: ca + other },
    { cert: `bag attributes\n${leaf}\r\n# the authority\r\n${ca}` },
    { cert: pems['tls.key'] + leaf },
  ]) {
    t.doesNotThrow(listenerWith(given));
  }
  t.end();
});

const tooSmall =
  'has an RSA key of 1024 bits, which is too small for the TLS library; issue it anew with a key on P-256 or an RSA key of 2048 bits';
const refused: readonly [input: string, given: Partial<typeof usual>, message: string][] = [
  ['an empty certificate file', { cert: '' }, 'certFile: /cert: the file holds no PEM certificate'],
  ['no certificate', { cert: 'hello' }, 'certFile: /cert: the file holds no PEM certificate'],
  ['a key in place of a certificate', { cert: pems['tls.key'] }, 'certFile: /cert: the file holds no PEM certificate'],
  [
    'a cut certificate',
    { cert: cut(leaf) },
    'certFile: /cert: PEM block 1 is damaged: it is cut off; take the whole file',
  ],
  [
    'a cut second block',
    { cert: leaf + cut(ca) },
    'certFile: /cert: PEM block 2 is damaged: it is cut off; take the whole file',
  ],
  [
    'a cut third block',
    { cert: leaf + ca + cut(other) },
    'certFile: /cert: PEM block 3 is damaged: it is cut off; take the whole file',
  ],
  [
    'glued blocks',
    { cert: leaf.trimEnd() + ca },
    'certFile: /cert: PEM block 1 is damaged: a boundary is not a line of its own; put a line break between BEGIN or END and what stands beside it',
  ],
  ['a small leaf', { ...small }, `certFile: /cert: PEM block 1 ${tooSmall}`],
  ['a small authority', { cert: leaf + small.cert }, `certFile: /cert: PEM block 2 ${tooSmall}`],
  ['no key', { key: 'hello' }, 'keyFile: /key: the file holds no PEM private key'],
  [
    'a cut key',
    { key: cut(pems['tls.key']) },
    'keyFile: /key: PEM block 1 is damaged: it is cut off; take the whole file',
  ],
  [
    'an encrypted key',
    { key: small.encryptedKey },
    'keyFile: /key: PEM block 1 is an encrypted private key; `openssl pkey -in FILE -out FILE` takes the passphrase off',
  ],
  ['the key of another kind', { key: small.key }, 'keyFile: /key: is not the key of the first certificate in certFile'],
  [
    'a second authority cut off',
    { ca: ca + cut(other) },
    'clientCaFile: /ca: PEM block 2 is damaged: it is cut off; take the whole file',
  ],
  [
    'glued authorities',
    { ca: ca.trimEnd() + other },
    'clientCaFile: /ca: PEM block 1 is damaged: a boundary is not a line of its own; put a line break between BEGIN or END and what stands beside it',
  ],
  ['no authority', { ca: 'hello' }, 'clientCaFile: /ca: the file holds no PEM certificate'],
  [
    'a second list cut off',
    { crl: crl + cut(crl) },
    'clientCrlFile: /crl: PEM block 2 is damaged: it is cut off; take the whole file',
  ],
  ['no list', { crl: ca }, 'clientCrlFile: /crl: PEM block 1 is "CERTIFICATE", and not "X509 CRL"'],
];

for (const [input, given, message] of refused) {
  t.test(`${input} is named by key and file`, (t) => {
    t.throws(listenerWith(given), { message: `server.tls.${message}` });
    t.end();
  });
}

t.test('an upstream is refused with the same words', (t) => {
  const files = createNamedFiles(
    new Map([
      ['/ca', Buffer.from(ca + cut(other))],
      ['/cert', Buffer.from(leaf.trimEnd() + ca)],
      ['/key', Buffer.from(pems['tls.key'])],
    ]),
  );
  t.throws(() => buildUpstreamContext('up', { caFile: '/ca' }, files), {
    message: 'upstreams.up.tls.caFile: /ca: PEM block 2 is damaged: it is cut off; take the whole file',
  });
  t.throws(() => buildUpstreamContext('up', { certFile: '/cert', keyFile: '/key' }, files), {
    message:
      'upstreams.up.tls.certFile: /cert: PEM block 1 is damaged: a boundary is not a line of its own; put a line break between BEGIN or END and what stands beside it',
  });
  t.end();
});
