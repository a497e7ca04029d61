// Files that TLS cannot use (faults A9): check names file and block, and serve refuses them with the same line.
import 'reflect-metadata';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import t from 'tap';
import { fileOf, lineAt, linesOf } from '../config/support.ts';
import { createSmallCertificate, createTestCertificates } from '../support/certificates.ts';

const { authority, stranger, files: pems } = await createTestCertificates();
const small = await createSmallCertificate();
const leaf = pems['tls.crt'];
const key = pems['tls.key'];
const ca = authority.certificatePem;
const other = stranger.certificatePem;
const crl = await authority.revoke([]);
const keyObject = createPrivateKey(key);
const der = (pem: string) => new X509Certificate(pem).raw;
const cut = (pem: string) => pem.slice(0, 200);
const glue = (first: string, second: string) => first.trimEnd() + second;

/** Self-signed, and authorities; no webcrypto makes keys on these curves. */
const onP224 = `-----BEGIN CERTIFICATE-----
MIIBYzCCARKgAwIBAgIUPB6bqSzV/4ZK7HOjn/H9xZqrIRQwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFY3VydmUwIBcNMjYxMTI4MDMyMzI4WhgPMjEyNjExMDQwMzIz
MjhaMBAxDjAMBgNVBAMMBWN1cnZlME4wEAYHKoZIzj0CAQYFK4EEACEDOgAEi5Wo
gj8edLND7AM7ZKZnDYXrZSte1ciNyASGVr0VunBUACZA7R+1eDM7F77WpZyJb4BC
DXcowXejUzBRMB0GA1UdDgQWBBS7un0g3zrGc/m1Z1yJWd+wQGh1eDAfBgNVHSME
GDAWgBS7un0g3zrGc/m1Z1yJWd+wQGh1eDAPBgNVHRMBAf8EBTADAQH/MAoGCCqG
SM49BAMCAz8AMDwCHBrlKlrJpzMeMHHimt/N8BPFcFk4S15WKmH5990CHHXWxMkF
w2PS5xpM7LX9p2wQbMd/DvWS1M5fmgE=
-----END CERTIFICATE-----
`;
const onSecp256k1 = `-----BEGIN CERTIFICATE-----
MIIBdDCCARqgAwIBAgIUJqqVds+RnukYc/hTTn6Eln+cIP4wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFY3VydmUwIBcNMjYxMTI4MDMyMzI4WhgPMjEyNjExMDQwMzIz
MjhaMBAxDjAMBgNVBAMMBWN1cnZlMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEdLW0
P6BtMLypNVTyqDp57VsmyeQYhtwLULqxQaQjhH0KBB6w4iJxnVX9MXM7McvYUKNJ
PTVyxu/773DqIlDMuaNTMFEwHQYDVR0OBBYEFNB9I2T56RS9up1FRF9D114yEdxz
MB8GA1UdIwQYMBaAFNB9I2T56RS9up1FRF9D114yEdxzMA8GA1UdEwEB/wQFMAMB
Af8wCgYIKoZIzj0EAwIDSAAwRQIgb1Rnmm7auZSmI4U5eA3whQVtJBleYF6HuFuu
RtYwh5UCIQCWhrRXdehRQRvTIyT5CDR69hgB5yVUjoFLyOQL6vHzUw==
-----END CERTIFICATE-----
`;
/** An intermediate signed with MD5. */
const signedWithMd5 = `-----BEGIN CERTIFICATE-----
MIIB5jCBzwIUfWMtdoIeE1vwqHUjg0MSvmYqjY0wDQYJKoZIhvcNAQEEBQAwEjEQ
MA4GA1UEAwwHcnNhMjA0ODAgFw0yNjExMjgwMzIzMjhaGA8yMTI2MTEwNDAzMjMy
OFowFzEVMBMGA1UEAwwMaW50ZXJtZWRpYXRlMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEFVH3Gnuddpc7yrsdvABhb/E1FNVGF4aym3L0zPmY/zv6XHDt49GxWdql
CB7o3aGec8tVfFJ0FuldbVUGstnimzANBgkqhkiG9w0BAQQFAAOCAQEAHzGICwhH
9+fSFoDgQF4X6DmHGmFTUp/9Z67CuB2nguCkguWQPiUkCC104r5amhb5kdgt+IAE
4F5GAGBwKqmPjaj3RrXajjn7kFUZEdQhuu0scZDfb/7iO1yUfmjphTw5Pi+bMCzy
Op1unlsS2PqMgC4z0dVucs+mcU8CtzK3hvzvzrup0kIpRk++3akQwKeQa0SSoDY2
+oTqoMAgdqkIAdyO1OUk9ehmu+oTdWdaBF/bHIErVHVKAC2NqNJca6paP5fx/lDi
0zvt4F+zz+pnJ+3nZjUz13z9BJr2y7r09M7LcCLxEt8S/zdKhUy6q/izVOM3piag
NK9tNm1sggV2Tw==
-----END CERTIFICATE-----
`;

/** The same certificate with a key of a kind that nobody knows: another last byte in the identifier of EC keys. */
function withUnknownKey(pem: string): string {
  const bytes = Buffer.from(der(pem));
  bytes[bytes.indexOf(Buffer.from('06072a8648ce3d0201', 'hex')) + 8] = 0x7f;
  return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

async function signedWithSha1() {
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: 'CN=old',
      issuer: 'CN=older',
      publicKey: keys.publicKey,
      signingKey: (await webcrypto.subtle.generateKey({ ...algorithm, hash: 'SHA-1' }, true, ['sign', 'verify']))
        .privateKey,
      signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-1' },
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'mcp.example.com' }])],
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const pem = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
  return { cert: `${certificate.toString('pem')}\n`, key: pem.toString() };
}

const anew = 'issue it anew with a key on P-256 or an RSA key of 2048 bits';
const notAlone =
  'is damaged: a boundary is not a line of its own; put a line break between BEGIN or END and what stands beside it';
const encrypted = 'is an encrypted private key; `openssl pkey -in FILE -out FILE` takes the passphrase off';
const isDer = 'the file is DER; convert it to PEM with openssl';

type Files = Readonly<Record<string, string | Buffer>>;

const listener = (tls: string) =>
  fileOf({
    server: `{listen: "0.0.0.0:8443", publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key${tls}}}`,
  });
const upstream = (tls: string) => fileOf({ upstreams: `{superset: {url: https://s.example, tls: {${tls}}}}` });
const pair = 'certFile: tls.crt, keyFile: tls.key';

const pairs: readonly [input: string, given: Files, key: string, message: string][] = [
  [
    'blocks glued without a line break',
    { 'tls.crt': glue(leaf, ca) },
    'certFile',
    `PEM block 1 of "tls.crt" ${notAlone}`,
  ],
  [
    'a second block that is cut',
    { 'tls.crt': leaf + cut(ca) },
    'certFile',
    'PEM block 2 of "tls.crt" is damaged: it is cut off; take the whole file',
  ],
  [
    'a second block that is cut in its END line',
    { 'tls.crt': leaf + ca.trimEnd().slice(0, -5) },
    'certFile',
    `PEM block 2 of "tls.crt" ${notAlone}`,
  ],
  [
    'a second block without its BEGIN line',
    { 'tls.crt': leaf + ca.slice(ca.indexOf('\n') + 1) },
    'certFile',
    'PEM block 2 of "tls.crt" is damaged: it ends without a beginning',
  ],
  [
    'an RSA key of 1024 bits as leaf',
    { 'tls.crt': small.cert, 'tls.key': small.key },
    'certFile',
    `PEM block 1 of "tls.crt" has an RSA key of 1024 bits, which is too small for the TLS library; ${anew}`,
  ],
  [
    'an RSA key of 1024 bits in the chain',
    { 'tls.crt': leaf + small.cert },
    'certFile',
    `PEM block 2 of "tls.crt" has an RSA key of 1024 bits, which is too small for the TLS library; ${anew}`,
  ],
  [
    'a leaf on the curve P-224',
    { 'tls.crt': onP224 },
    'certFile',
    `PEM block 1 of "tls.crt" has a key on the curve secp224r1, with which no TLS handshake can be signed; ${anew}`,
  ],
  [
    'a leaf on the curve secp256k1',
    { 'tls.crt': onSecp256k1 },
    'certFile',
    `PEM block 1 of "tls.crt" has a key on the curve secp256k1, with which no TLS handshake can be signed; ${anew}`,
  ],
  [
    'a leaf with an unknown kind of key',
    { 'tls.crt': withUnknownKey(leaf) },
    'certFile',
    `PEM block 1 of "tls.crt" has a key of a kind that the TLS library does not know; ${anew}`,
  ],
  [
    'a second block that is no certificate',
    { 'tls.crt': `${leaf}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` },
    'certFile',
    'PEM block 2 of "tls.crt" holds no certificate that can be read',
  ],
  ['a certificate in DER', { 'tls.crt': der(leaf) }, 'certFile', isDer],
  ['an empty certificate file', { 'tls.crt': '' }, 'certFile', 'the file holds no PEM certificate'],
  ['an encrypted key', { 'tls.key': small.encryptedKey }, 'keyFile', `PEM block 1 of "tls.key" ${encrypted}`],
  [
    'an encrypted key of old',
    {
      'tls.key': createPrivateKey(small.key)
        .export({ type: 'pkcs1', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' })
        .toString(),
    },
    'keyFile',
    `PEM block 1 of "tls.key" ${encrypted}`,
  ],
  [
    'a key that is cut',
    { 'tls.key': cut(key) },
    'keyFile',
    'PEM block 1 of "tls.key" is damaged: it is cut off; take the whole file',
  ],
  ['a key in DER', { 'tls.key': keyObject.export({ type: 'pkcs8', format: 'der' }) }, 'keyFile', isDer],
  ['an empty key file', { 'tls.key': '' }, 'keyFile', 'the file holds no PEM private key'],
  [
    'the key of another certificate',
    { 'tls.key': small.key },
    'keyFile',
    'is not the key of the first certificate in certFile',
  ],
];

for (const [input, given, name, message] of pairs) {
  t.test(`${input} is named, for clients and for upstreams`, async (t) => {
    const files = { 'tls.crt': leaf, 'tls.key': key, ...given };
    const mark = `${name}: ‸`;
    const ours = listener('');
    t.same(await linesOf(t.testdir(), ours, { files }), [lineAt(ours, mark, `server.tls.${name}: ${message}`)]);
    const theirs = upstream(pair);
    t.same(await linesOf(t.testdir(), theirs, { files }), [
      lineAt(theirs, mark, `upstreams.superset.tls.${name}: ${message}`),
    ]);
  });
}

t.test('several files that cannot be used are named at once', async (t) => {
  const yaml = upstream(`${pair}, caFile: ca.crt`);
  const files = { 'tls.crt': glue(leaf, ca), 'tls.key': cut(key), 'ca.crt': ca + cut(other) };
  t.same(await linesOf(t.testdir(), yaml, { files }), [
    lineAt(yaml, 'certFile: ‸', `upstreams.superset.tls.certFile: PEM block 1 of "tls.crt" ${notAlone}`),
    lineAt(
      yaml,
      'keyFile: ‸',
      'upstreams.superset.tls.keyFile: PEM block 1 of "tls.key" is damaged: it is cut off; take the whole file',
    ),
    lineAt(
      yaml,
      'caFile: ‸',
      'upstreams.superset.tls.caFile: PEM block 2 of "ca.crt" is damaged: it is cut off; take the whole file',
    ),
  ]);
});

t.test('authorities and revocation lists are read to their last block, wherever they stand', async (t) => {
  const mtls = '{corp: {type: mtls, allow: [{commonName: a, clientId: a}]}}';
  const routes = '[{path: /api, upstream: superset, authenticate: corp, scopes: []}]';
  const asking = (more: string, authenticators = mtls) =>
    listener(`, clientCertificates: optional, clientCaFile: ${more}`)
      .replace(/^authenticators: .*$/m, `authenticators: ${authenticators}`)
      .replace(/^routes: .*$/m, `routes: ${routes}`);
  const header = fileOf({
    server:
      '{listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com, clientCertificateHeader: {from: [127.0.0.1], clientCaFile: bad.crt, clientCrlFile: bad.crl}}',
    authenticators: mtls,
    routes,
  });
  const client = 'clientId: a, clientSecret: b, caFile: bad.crt';
  const issuer = '{corp: {type: jwt, issuer: https://idp.example/, caFile: bad.crt}}';
  const introspected = `{corp: {type: introspection, issuer: https://idp.example/, endpoint: https://idp.example/i, ${client}}}`;
  const exchange = `{authenticator: corp, endpoint: https://idp.example/t, audience: a, ${client}}`;
  const exchanging = `{superset: {url: https://s.example, identity: {exchange: ${exchange}}}}`;
  const own = mtls.replace('mtls,', 'mtls, caFile: bad.crt,');
  const bad: readonly [input: string, pem: string, list: string, ends: [string, string]][] = [
    [
      'cut',
      ca + cut(other),
      crl + cut(crl),
      ['PEM block 2 of "bad.', ' is damaged: it is cut off; take the whole file'],
    ],
    ['glued', glue(ca, other), glue(crl, crl), ['PEM block 1 of "bad.', ` ${notAlone}`]],
    [
      'damaged',
      `${ca}${other.replace(/(?<=\n)M/, '#')}`,
      `${crl}${crl.replace(/(?<=\n)M/, '#')}`,
      ['PEM block 2 of "bad.', ' is damaged: it is not Base64 from its first line to its last'],
    ],
  ];
  for (const [input, pem, list, [before, after]] of bad) {
    const files = { 'tls.crt': leaf, 'tls.key': key, 'ca.crt': ca, 'bad.crt': pem, 'bad.crl': list };
    const cases: readonly [yaml: string, mark: string, path: string, suffix: string][] = [
      [asking('bad.crt'), 'clientCaFile: ‸', 'server.tls.clientCaFile', 'crt'],
      [asking('ca.crt, clientCrlFile: bad.crl'), 'clientCrlFile: ‸', 'server.tls.clientCrlFile', 'crl'],
      [asking('ca.crt', own), ' caFile: ‸', 'authenticators.corp.caFile', 'crt'],
      [upstream('caFile: bad.crt'), 'caFile: ‸', 'upstreams.superset.tls.caFile', 'crt'],
      [fileOf({ authenticators: issuer }), 'caFile: ‸', 'authenticators.corp.caFile', 'crt'],
      [fileOf({ authenticators: introspected }), 'caFile: ‸', 'authenticators.corp.caFile', 'crt'],
      [fileOf({ upstreams: exchanging }), 'caFile: ‸', 'upstreams.superset.identity.exchange.caFile', 'crt'],
    ];
    for (const [yaml, mark, path, suffix] of cases) {
      const message = `${path}: ${before}${suffix}"${after}`;
      t.same(await linesOf(t.testdir(), yaml, { files }), [lineAt(yaml, mark, message)], `${input}: ${path}`);
    }
    const at = 'server.clientCertificateHeader';
    t.same(
      await linesOf(t.testdir(), header, { files }),
      [
        lineAt(header, 'clientCaFile: ‸', `${at}.clientCaFile: ${before}crt"${after}`),
        lineAt(header, 'clientCrlFile: ‸', `${at}.clientCrlFile: ${before}crl"${after}`),
      ],
      `${input}: ${at}`,
    );
  }
});

t.test('what TLS reads is taken: byte order marks, CRLF, text and other blocks between', async (t) => {
  const taken: Record<string, Files> = {
    'a byte order mark': { 'tls.crt': `\uFEFF${leaf}${ca}`, 'tls.key': `\uFEFF${key}` },
    CRLF: { 'tls.crt': (leaf + ca).replaceAll('\n', '\r\n'), 'tls.key': key.replaceAll('\n', '\r\n') },
    'text between the blocks': {
      'tls.crt': `subject=/CN=a\n${leaf}\nissuer=/CN=b\n\n${ca}`,
      'tls.key': `Bag Attributes\n${key}`,
    },
    'certificate and key in one file': { 'tls.crt': key + leaf, 'tls.key': leaf + key },
  };
  for (const [input, files] of Object.entries(taken)) {
    t.same(await linesOf(t.testdir(), listener(''), { files }), [], input);
    t.same(await linesOf(t.testdir(), upstream(pair), { files }), [], input);
  }
});

t.test('what TLS takes and the other side refuses is warned of', async (t) => {
  const old = await signedWithSha1();
  const sha1 = listener('');
  t.same(await linesOf(t.testdir(), sha1, { files: { 'tls.crt': old.cert, 'tls.key': old.key } }), [
    lineAt(
      sha1,
      'certFile: ‸',
      'warning: server.tls.certFile: the certificate "CN=old" is signed with SHA-1, which others refuse; issue it anew with SHA-256',
    ),
  ]);
  const md5 = upstream(`${pair}, caFile: ca.crt`);
  t.same(
    await linesOf(t.testdir(), md5, {
      files: { 'tls.crt': leaf + signedWithMd5, 'tls.key': key, 'ca.crt': ca + small.cert },
    }),
    [
      lineAt(
        md5,
        'certFile: ‸',
        'warning: upstreams.superset.tls.certFile: the certificate "CN=intermediate" is signed with MD5, which others refuse; issue it anew with SHA-256',
      ),
      lineAt(
        md5,
        'caFile: ‸',
        'warning: upstreams.superset.tls.caFile: the authority "CN=small" has an RSA key of 1024 bits, which is too small for the TLS library; what comes from it is refused',
      ),
    ],
  );
  const weak = listener(', clientCertificates: optional, clientCaFile: ca.crt');
  t.same(await linesOf(t.testdir(), weak, { files: { 'tls.crt': leaf, 'tls.key': key, 'ca.crt': ca + onP224 } }), [
    lineAt(
      weak,
      'clientCaFile: ‸',
      'warning: server.tls.clientCaFile: the key of the authority "CN=curve" is too weak; its clients are refused',
    ),
  ]);
});

t.test('serve refuses what check refuses, with the same line', (t) => {
  const folder = t.testdir();
  const refused: readonly [input: string, yaml: string, given: Files][] = [
    ['a cut second block', listener(''), { 'tls.crt': leaf + cut(ca) }],
    ['a small key in the chain', listener(''), { 'tls.crt': leaf + small.cert }],
    ['a small key of an upstream', upstream(pair), { 'tls.crt': small.cert, 'tls.key': small.key }],
  ];
  for (const [input, yaml, given] of refused) {
    const directory = join(folder, input.replaceAll(' ', '-'));
    mkdirSync(directory);
    for (const [name, content] of Object.entries({ 'tls.crt': leaf, 'tls.key': key, ...given, 'gateway.yaml': yaml })) {
      writeFileSync(join(directory, name), content);
    }
    const run = (command: string) =>
      spawnSync(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), command, '-c', 'gateway.yaml'], {
        cwd: directory,
        encoding: 'utf8',
      });
    const [check, serve] = [run('check'), run('serve')];
    const line = check.stderr.split('\n').find((text) => text.startsWith('gateway.yaml:'));
    t.match(line, /PEM block \d of "tls.crt"/, input);
    t.equal(check.status, 1, input);
    t.match(
      { status: serve.status, stderr: serve.stderr, stdout: serve.stdout },
      { status: 1, stderr: `${line}\n`, stdout: '' },
      input,
    );
  }
  t.end();
});
