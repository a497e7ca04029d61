// TLS contexts from PEM files: what the library refuses is named by key, file and block, and what it would drop in silence is refused.
import t from 'tap';
import { buildListenerContext } from '../../src/http/listener.ts';
import { buildUpstreamContext } from '../../src/upstream/upstream.ts';
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
        minVersion: 'TLSv1.2',
      },
      files,
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

const refused: readonly [input: string, given: Partial<typeof usual>, message: string][] = [
  ['an empty certificate file', { cert: '' }, 'certFile: /cert: is missing or empty'],
  ['no certificate', { cert: 'hello' }, 'certFile: /cert: holds no PEM certificate'],
  ['a key in place of a certificate', { cert: pems['tls.key'] }, 'certFile: /cert: holds no PEM certificate'],
  ['a cut certificate', { cert: cut(leaf) }, 'certFile: /cert: PEM block 1 is damaged: it is cut off'],
  ['a cut second block', { cert: leaf + cut(ca) }, 'certFile: /cert: PEM block 2 is damaged: it is cut off'],
  ['a cut third block', { cert: leaf + ca + cut(other) }, 'certFile: /cert: PEM block 3 is damaged: it is cut off'],
  [
    'glued blocks',
    { cert: leaf.trimEnd() + ca },
    'certFile: /cert: PEM block 1 is damaged: a boundary is not a line of its own',
  ],
  ['a small leaf', { ...small }, 'certFile: /cert: has a key that is too small for the TLS library'],
  [
    'a small authority',
    { cert: leaf + small.cert },
    'certFile: /cert: PEM block 2: has a key that is too small for the TLS library',
  ],
  ['no key', { key: 'hello' }, 'keyFile: /key: holds no PEM private key'],
  ['a cut key', { key: cut(pems['tls.key']) }, 'keyFile: /key: PEM block 1 is damaged: it is cut off'],
  ['an encrypted key', { key: small.encryptedKey }, 'keyFile: /key: holds an encrypted key'],
  ['the key of another kind', { key: small.key }, 'keyFile: /key: is not the key of the first certificate in certFile'],
  ['a second authority cut off', { ca: ca + cut(other) }, 'clientCaFile: /ca: PEM block 2 is damaged: it is cut off'],
  [
    'glued authorities',
    { ca: ca.trimEnd() + other },
    'clientCaFile: /ca: PEM block 1 is damaged: a boundary is not a line of its own',
  ],
  ['no authority', { ca: 'hello' }, 'clientCaFile: /ca: holds no PEM certificate'],
  ['a second list cut off', { crl: crl + cut(crl) }, 'clientCrlFile: /crl: PEM block 2 is damaged: it is cut off'],
  ['no list', { crl: ca }, 'clientCrlFile: /crl: holds no PEM revocation list'],
];

for (const [input, given, message] of refused) {
  t.test(`${input} is named by key and file`, (t) => {
    t.throws(listenerWith(given), { message: `server.tls.${message}` });
    t.end();
  });
}

t.test('an upstream is refused with the same words', (t) => {
  const files = new Map([
    ['/ca', Buffer.from(ca + cut(other))],
    ['/cert', Buffer.from(leaf.trimEnd() + ca)],
    ['/key', Buffer.from(pems['tls.key'])],
  ]);
  t.throws(() => buildUpstreamContext('up', { caFile: '/ca' }, files), {
    message: 'upstreams.up.tls.caFile: /ca: PEM block 2 is damaged: it is cut off',
  });
  t.throws(() => buildUpstreamContext('up', { certFile: '/cert', keyFile: '/key' }, files), {
    message: 'upstreams.up.tls.certFile: /cert: PEM block 1 is damaged: a boundary is not a line of its own',
  });
  t.end();
});
