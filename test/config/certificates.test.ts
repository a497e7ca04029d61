// Checks of certificates: client authorities, key pairs, allowlists and certificate headers.
import { createHash } from 'node:crypto';
import t from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { fileOf, lineAt, linesOf, now } from './support.ts';

const validity = { notBefore: new Date('2026-01-01'), notAfter: new Date('2028-01-01') };
const clients = await createCertificateAuthority({ commonName: 'Clients', ...validity });
const partner = await createCertificateAuthority({ commonName: 'Partner', ...validity });
const server = await clients.issue({ commonName: 'gateway', dnsNames: ['mcp.example.com'], server: true, ...validity });
const other = await clients.issue({ commonName: 'other', server: true, ...validity });
const ended = { notBefore: new Date('2026-01-01'), notAfter: new Date('2026-06-01') };
const expired = await clients.issue({ commonName: 'gateway', server: true, ...ended });
const named = await clients.issue({ commonName: 'a', dnsNames: ['mcp.example.com'], server: true, ...ended });

const nextUpdate = new Date(now + 1_800_000);
const files = {
  'tls.crt': server.certificatePem,
  'tls.key': server.keyPem,
  'other.key': other.keyPem,
  'expired.crt': expired.certificatePem,
  'expired.key': expired.keyPem,
  'ended.crt': named.certificatePem,
  'ended.key': named.keyPem,
  'ca.crt': clients.certificatePem,
  'both.crt': `${clients.certificatePem}\n${partner.certificatePem}`,
  'partner.crt': partner.certificatePem,
  'old-ca.crt': (await createCertificateAuthority({ commonName: 'Old', ...ended })).certificatePem,
  'mixed.crt': clients.certificatePem + server.certificatePem,
  'ca.crl': await clients.revoke([], { nextUpdate }),
  'both.crl': (await clients.revoke([], { nextUpdate })) + (await partner.revoke([], { nextUpdate })),
  'old.crl': await clients.revoke([], { nextUpdate: new Date('2026-10-31') }),
  'empty.crt': '',
  'garbage.crt': 'garbage',
  'broken.crt': clients.certificatePem.replace(/[A-Za-z0-9+/]{64}/, 'A'.repeat(64)),
  'broken.crl': '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n',
};

const mtls = '{corp: {type: mtls, allow: [{commonName: a, clientId: a}]}}';
const withTls = (tls: string, authenticators = mtls, authenticate = 'corp') =>
  fileOf({
    server: `{listen: "0.0.0.0:8443", publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key, ${tls}}}`,
    authenticators,
    routes: `[{path: /api, upstream: superset, authenticate: ${authenticate}, scopes: []}]`,
  });

t.test('client certificates are verified against named authorities, or the file is refused', async (t) => {
  const jwt = '{corp: {type: jwt, issuer: https://a.example}}';
  const cases: [string, string, ...[string, string][]][] = [
    ['off', withTls('clientCertificates: off', jwt)],
    ['optional', withTls('clientCertificates: optional, clientCaFile: ca.crt')],
    [
      'required, with revocation lists',
      withTls('clientCertificates: required, clientCaFile: both.crt, clientCrlFile: both.crl'),
    ],
    [
      'no authority named',
      withTls('clientCertificates: optional'),
      [
        'clientCertificates: ‸',
        'server.tls.clientCertificates: needs clientCaFile: client certificates are never verified against public authorities',
      ],
    ],
    ...['none', 'empty', 'garbage', 'broken', 'tls', 'mixed', 'folder'].map(
      (name): [string, string, [string, string]] => [
        name,
        withTls(`clientCertificates: optional, clientCaFile: ${name}.crt`),
        [
          'clientCaFile: ‸',
          `server.tls.clientCaFile: ${
            {
              none: 'cannot read the file: there is no such file',
              empty: 'the file holds no PEM certificate',
              garbage: 'the file holds no PEM certificate',
              broken: 'PEM block 1 of "broken.crt" holds no certificate that can be read',
              tls: 'PEM block 1 of "tls.crt" holds a certificate that is not that of a certificate authority',
              mixed: 'PEM block 2 of "mixed.crt" holds a certificate that is not that of a certificate authority',
              folder: 'cannot read the file: it is not a regular file',
            }[name]
          }`,
        ],
      ],
    ),
    [
      'authorities that are not asked',
      withTls('clientCaFile: ca.crt, clientCrlFile: ca.crl', jwt),
      ['clientCaFile: ‸', 'warning: server.tls.clientCaFile: is not used while clientCertificates is off'],
      ['clientCrlFile: ‸', 'warning: server.tls.clientCrlFile: is not used while clientCertificates is off'],
    ],
    [
      'an authority that has ended',
      withTls('clientCertificates: optional, clientCaFile: old-ca.crt'),
      [
        'clientCaFile: ‸',
        'warning: server.tls.clientCaFile: the authority "O=Portcullis development, CN=Old" expired on 2026-06-01',
      ],
    ],
    [
      'a revocation list that has ended',
      withTls('clientCertificates: optional, clientCaFile: ca.crt, clientCrlFile: old.crl'),
      ['clientCrlFile: ‸', 'server.tls.clientCrlFile: the revocation list has expired: its next update is overdue'],
    ],
    [
      'a revocation list of one authority of two',
      withTls('clientCertificates: optional, clientCaFile: both.crt, clientCrlFile: ca.crl'),
      [
        'clientCrlFile: ‸',
        'server.tls.clientCrlFile: there is no revocation list of the authority "O=Portcullis development, CN=Partner" in it; its clients would all be refused',
      ],
    ],
    [
      'no revocation list',
      withTls('clientCertificates: optional, clientCaFile: ca.crt, clientCrlFile: ca.crt'),
      ['clientCrlFile: ‸', 'server.tls.clientCrlFile: PEM block 1 of "ca.crt" is "CERTIFICATE", and not "X509 CRL"'],
    ],
    [
      'a revocation list that is broken',
      withTls('clientCertificates: optional, clientCaFile: ca.crt, clientCrlFile: broken.crl'),
      [
        'clientCrlFile: ‸',
        'server.tls.clientCrlFile: PEM block 1 of "broken.crl" holds no revocation list that can be read',
      ],
    ],
    [
      "an authenticator's own authority that is not trusted",
      withTls(
        'clientCertificates: optional, clientCaFile: ca.crt',
        mtls.replace('mtls,', 'mtls, caFile: partner.crt,'),
      ),
      ['caFile: ‸partner', 'authenticators.corp.caFile: holds an authority that is not in server.tls.clientCaFile'],
    ],
    [
      "an authenticator's own authority",
      withTls(
        'clientCertificates: optional, clientCaFile: both.crt',
        mtls.replace('mtls,', 'mtls, caFile: partner.crt,'),
      ),
    ],
    [
      'an entry behind one of the same identity',
      withTls(
        'clientCertificates: optional, clientCaFile: ca.crt',
        '{corp: {type: mtls, allow: [{commonName: a, clientId: a}, {dnsName: a, clientId: a}, {commonName: a, clientId: b}]}}',
      ),
      [
        '‸{commonName: a, clientId: b}',
        'warning: authenticators.corp.allow[2]: can never match: allow[0] has the same commonName',
      ],
    ],
  ];
  for (const [name, yaml, ...expected] of cases) {
    const folder = t.testdir({ 'folder.crt': {} });
    const lines = expected.map(([mark, rest]) => lineAt(yaml, mark, rest));
    t.same(await linesOf(folder, yaml, { files }), lines, name);
  }
});

t.test('certificateFor needs an entry of the same client', async (t) => {
  const yaml = fileOf({
    server:
      '{listen: "0.0.0.0:8443", publicUrl: https://mcp.example.com, tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: optional, clientCaFile: ca.crt}}',
    authenticators:
      '{corp: {type: jwt, issuer: https://a.example}, workloads: {type: mtls, allow: [{commonName: a, clientId: ai_agent_prod}]}}',
    routes:
      '[{path: /api, upstream: superset, authenticate: corp, certificateFor: [ai_agent_prod, corp/ai_agent_prod, ai_agent_prd], scopes: []}]',
  });
  t.same(await linesOf(t.testdir(), yaml, { files }), [
    lineAt(
      yaml,
      '‸ai_agent_prd',
      'routes[0].certificateFor[2]: no mtls entry has the clientId "ai_agent_prd" (did you mean "ai_agent_prod"?)',
    ),
  ]);
});

t.test('certificate and key belong together, here and towards the upstream', async (t) => {
  const pairs: [string, string, string, ...[string, string][]][] = [
    ['a pair', 'tls.crt', 'tls.key'],
    [
      'the key of another',
      'tls.crt',
      'other.key',
      ['keyFile: ‸', 'keyFile: is not the key of the first certificate in certFile'],
    ],
    ['a certificate for a key', 'tls.crt', 'tls.crt', ['keyFile: ‸', 'keyFile: the file holds no PEM private key']],
    ['a key for a certificate', 'tls.key', 'tls.key', ['certFile: ‸', 'certFile: the file holds no PEM certificate']],
    [
      'a certificate that has ended',
      'ended.crt',
      'ended.key',
      ['certFile: ‸', 'warning: certFile: the certificate expired on 2026-06-01'],
    ],
  ];
  for (const [name, cert, key, ...expected] of pairs) {
    for (const section of ['server.tls', 'upstreams.superset.tls']) {
      const pair = `tls: {certFile: ${cert}, keyFile: ${key}}`;
      const yaml = section.startsWith('server')
        ? fileOf({ server: `{listen: "0.0.0.0:8443", publicUrl: https://mcp.example.com, ${pair}}` })
        : fileOf({ upstreams: `{superset: {url: https://s.example, ${pair}}}` });
      const lines = expected.map(([mark, rest]) =>
        rest.startsWith('warning: ')
          ? `warning: ${lineAt(yaml, mark, `${section}.${rest.slice(9)}`)}`
          : lineAt(yaml, mark, `${section}.${rest}`),
      );
      t.same(await linesOf(t.testdir(), yaml, { files }), lines, `${name} in ${section}`);
    }
  }
  const half = fileOf({
    upstreams: '{superset: {url: https://s.example, tls: {certFile: tls.crt, caFile: garbage.crt}}}',
  });
  t.same(await linesOf(t.testdir(), half, { files }), [
    lineAt(half, 'tls: ‸{', 'upstreams.superset.tls: certFile and keyFile belong together'),
    lineAt(half, 'caFile: ‸', 'upstreams.superset.tls.caFile: the file holds no PEM certificate'),
  ]);
});

t.test('a listener with TLS has an https address and nothing in clear', async (t) => {
  const yaml = fileOf({
    server:
      '{listen: "0.0.0.0:8443", publicUrl: "http://mcp.example.com", plaintext: true, tls: {certFile: tls.crt, keyFile: tls.key}}',
  });
  t.same(await linesOf(t.testdir(), yaml, { files }), [
    lineAt(yaml, 'publicUrl: ‸', 'server.publicUrl: must begin with https, since this listener speaks TLS'),
    lineAt(yaml, 'plaintext: ‸', 'server.plaintext: must not be true beside tls'),
  ]);
});

t.test('a fingerprint is taken in any case', async (t) => {
  const digits = createHash('sha256').update('x').digest('hex');
  const yaml = withTls(
    'clientCertificates: optional, clientCaFile: ca.crt',
    `{corp: {type: mtls, allow: [{fingerprint: "sha256:${digits.toUpperCase()}", clientId: a}]}}`,
  );
  t.same(await linesOf(t.testdir(), yaml, { files }), []);
});

t.test('a certificate header is believed from exact peers, which prove themselves off loopback', async (t) => {
  const header = 'server.clientCertificateHeader';
  const tls = 'tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: optional, clientCaFile: ca.crt}';
  const proxy = 'proxy: {dnsName: edge.internal}';
  const withHeader = (text: string, more = tls, authenticators = mtls) =>
    fileOf({
      server: `{listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com, ${more}${more === '' ? '' : ', '}clientCertificateHeader: {${text}}}`,
      authenticators,
    });
  const cases: [string, string, ...[string, string][]][] = [
    ['a proxy that proves itself', withHeader(`from: [10.1.0.10/32, "2001:db8::1"], ${proxy}`)],
    ['on loopback without', withHeader('from: [127.0.0.1, "::1/128"]')],
    ['on loopback without TLS', withHeader('from: [127.0.0.1], clientCaFile: ca.crt, clientCrlFile: ca.crl', '')],
    [
      'TLS that asks for no certificate',
      withHeader('from: [127.0.0.1]', tls.replace('clientCertificates: optional', 'clientCertificates: "off"')),
    ],
    [
      'no peers and another format',
      withHeader('format: x-ssl-cert, from: []'),
      ['format: ‸', `${header}.format: expected one of "client-cert", "x-forwarded-client-cert"`],
      ['from: ‸', `${header}.from: expected at least 1 item`],
    ],
    [
      'ranges, and peers that anybody could pass for',
      withHeader('from: [10.1.0.0/24, 10.1.0.10, "::/0"]'),
      ['[‸10.1.0.0', `${header}.from[0]: is a range; list the exact address of each proxy`],
      [
        '‸10.1.0.10',
        `${header}.from[1]: is not on loopback: add proxy with the identity of its certificate, since others on the way could write the header`,
      ],
      ['‸"::/0"', `${header}.from[2]: is a range; list the exact address of each proxy`],
    ],
    [
      'a proxy that is never asked who it is',
      withHeader(`from: [10.1.0.10], ${proxy}, clientCaFile: ca.crt`, 'plaintext: true'),
      [
        'proxy: ‸',
        `${header}.proxy: can never be met: the proxy is asked for its certificate only with server.tls.clientCertificates: optional or required`,
      ],
    ],
    [
      'a proxy without identity',
      withHeader('from: [10.1.0.10], proxy: {dnsName: a, commonName: a}'),
      ['proxy: ‸', `${header}.proxy: needs exactly one of commonName, dnsName, uri, fingerprint`],
    ],
    [
      'a proxy that is a client too',
      withHeader('from: [10.1.0.10], proxy: {commonName: a}'),
      [
        'allow: [‸{commonName: a',
        `authenticators.corp.allow[0]: is the certificate of ${header}.proxy, which is never a client's`,
      ],
    ],
    [
      'nothing to judge the certificates by',
      withHeader('from: [127.0.0.1]', ''),
      [
        'clientCertificateHeader: ‸',
        `${header}: needs clientCaFile: the authorities that the certificates in it must come from`,
      ],
    ],
    [
      'nor here',
      withHeader('from: [127.0.0.1]', 'tls: {certFile: tls.crt, keyFile: tls.key}'),
      [
        'clientCertificateHeader: ‸',
        `${header}: needs server.tls.clientCaFile: the certificates in it are judged like those of connections`,
      ],
    ],
    [
      'authorities twice',
      withHeader('from: [127.0.0.1], clientCaFile: partner.crt'),
      ['clientCaFile: ‸partner', `${header}.clientCaFile: belongs into server.tls.clientCaFile here`],
    ],
    [
      'an authority of its own that is none of these',
      withHeader('from: [127.0.0.1], clientCaFile: ca.crt', '', mtls.replace('mtls,', 'mtls, caFile: partner.crt,')),
      ['caFile: ‸partner', `authenticators.corp.caFile: holds an authority that is not in ${header}.clientCaFile`],
    ],
  ];
  for (const [name, yaml, ...expected] of cases) {
    const written = yaml.replace('authenticate: corp}', 'authenticate: corp, scopes: []}');
    const lines = expected.map(([mark, rest]) => lineAt(written, mark, rest));
    t.same(await linesOf(t.testdir(), written, { files }), lines, name);
  }
});

t.test('further certificates and ciphers are checked like the first', async (t) => {
  const jwt = '{corp: {type: jwt, issuer: https://a.example}}';
  const further = (pair: string) => withTls(`certificates: [${pair}]`, jwt);
  const at = 'server.tls.certificates[0]';
  const cases: [string, string, ...[string, string][]][] = [
    ['a pair', further('{certFile: tls.crt, keyFile: tls.key}')],
    [
      'the key of another',
      further('{certFile: tls.crt, keyFile: other.key}'),
      ['keyFile: ‸other', `${at}.keyFile: is not the key of the first certificate in certFile`],
    ],
    [
      'without a name, and expired',
      further('{certFile: expired.crt, keyFile: expired.key}'),
      ['certFile: ‸expired', `warning: ${at}.certFile: the certificate expired on 2026-06-01`],
      [
        'certFile: ‸expired',
        `warning: ${at}.certFile: the certificate has no DNS name, so that no server name chooses it`,
      ],
    ],
    ['modern', withTls('ciphers: modern', jwt)],
    ['a list', withTls('ciphers: "ECDHE+AESGCM:!AES128"', jwt)],
    [
      'a list that the TLS library refuses',
      withTls('ciphers: ECDHE_AES', jwt),
      ['ciphers: ‸', 'server.tls.ciphers: expected modern, or a list that OpenSSL takes, such as ECDHE+AESGCM:!SHA384'],
    ],
  ];
  for (const [name, yaml, ...expected] of cases) {
    const lines = expected.map(([mark, rest]) => lineAt(yaml, mark, rest));
    t.same(await linesOf(t.testdir(), yaml, { files }), lines, name);
  }
});

t.test('a certificate that clients of publicUrl will refuse', async (t) => {
  const name = 'is not for mcp.example.com, the host of publicUrl: clients will refuse it';
  const purpose =
    'the certificate is not for servers, its extended key usage has no serverAuth: clients will refuse it';
  const ours = { commonName: 'a', dnsNames: ['mcp.example.com'], ...validity };
  const issued = {
    tls: server,
    other,
    wild: await clients.issue({ ...ours, dnsNames: ['*.example.com'], server: true }),
    // Clients do not look at the common name.
    common: await clients.issue({ commonName: 'mcp.example.com', server: true, ...validity }),
    client: await clients.issue(ours),
  };
  const files = Object.fromEntries(
    Object.entries(issued).flatMap(([key, { certificatePem, keyPem }]) => [
      [`${key}.crt`, certificatePem],
      [`${key}.key`, keyPem],
    ]),
  );
  const pair = (key: string) => `certFile: ${key}.crt, keyFile: ${key}.key`;
  const cases: [name: string, tls: string, more: string, ...messages: string[]][] = [
    ['its own name', pair('tls'), ''],
    ['a wildcard', pair('wild'), ''],
    ['another name', pair('other'), '', name],
    ['the common name alone', pair('common'), '', name],
    ['a further certificate', `${pair('other')}, certificates: [{${pair('tls')}}]`, ''],
    ['no server', pair('client'), '', purpose],
    ['behind a proxy that ends TLS', pair('other'), ', trustedProxies: [10.0.0.1]'],
  ];
  for (const [title, tls, more, ...messages] of cases) {
    const yaml = fileOf({
      server: `{listen: "0.0.0.0:8443", publicUrl: https://mcp.example.com${more}, tls: {${tls}}}`,
    });
    const lines = messages.map(
      (message) => `warning: ${lineAt(yaml, 'certFile: ‸', `server.tls.certFile: ${message}`)}`,
    );
    t.same(await linesOf(t.testdir(), yaml, { files }), lines, title);
  }
  const byAddress = fileOf({
    server: `{listen: "0.0.0.0:8443", publicUrl: "https://[2001:db8::1]", tls: {${pair('tls')}}}`,
  });
  const line = lineAt(
    byAddress,
    'certFile: ‸',
    'server.tls.certFile: is not for 2001:db8::1, the host of publicUrl: clients will refuse it',
  );
  t.same(await linesOf(t.testdir(), byAddress, { files }), [`warning: ${line}`], 'an address');
});
