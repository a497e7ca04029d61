// Client certificates: allowlist entries, trust, chains and resumed sessions.
import 'reflect-metadata';
import { createHash, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import t from 'tap';
import type { Verification } from '../../src/authn/authenticator.ts';
import { loadAsn1, readDerElements } from '../../src/authn/certificate/asn1.ts';
import { createMtlsAuthenticator, type MtlsConfig } from '../../src/authn/certificate/mtls.ts';
import { signatureAlgorithmOf } from '../../src/authn/certificate/signature-algorithm.ts';
import {
  createTrustStore,
  parseAuthorities,
  parseRevocationLists,
  type TrustStore,
  type TrustStoreOptions,
} from '../../src/authn/certificate/trust-store.ts';
import { createCertificateReader, parseCertificate } from '../../src/authn/certificate/x509.ts';
import type { PeerCertificate } from '../../src/authn/credential.ts';
import type { AuthenticatorSet } from '../../src/authn/registry.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import {
  createCertificate,
  createRevocationList,
  createRsaPssKeys,
  type SubjectName,
  type TestCertificate,
} from './certificates.ts';
import { createRuntime, createSet, parseAuthenticators, peerOf, requestWith, type TestRuntime } from './fixture.ts';

const day = 86_400_000;
const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
const { digitalSignature, keyEncipherment, keyCertSign, cRLSign } = x509.KeyUsageFlags;
const root = await createCertificate({ name: [{ CN: [{ utf8String: 'root' }] }], ca: true });
const foreign = await createCertificate({ name: [{ CN: [{ utf8String: 'foreign' }] }], ca: true });

/** A signature that no webcrypto makes, and its issuer: valid until 2126. */
const issuerOfMd5 = `-----BEGIN CERTIFICATE-----
MIIC/TCCAeWgAwIBAgIUUJ1cu2uLouhLz5o+/wcXl49m2+kwDQYJKoZIhvcNAQEL
BQAwDTELMAkGA1UEAwwCY2EwIBcNMjYxMTI4MDMyOTEyWhgPMjEyNjExMDQwMzI5
MTJaMA0xCzAJBgNVBAMMAmNhMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC
AQEAq9GmVn9hPR5ah5OJFk0eZ8cxIopA0BggXzkVz+7/n7JGXSUYIeIS+/m4Gk8H
TH+xX4yu044Lx4NgwhE3wgQYqyIeH8QHbydFBuhWvBvU/Hlq//lavj82IpiqnAhd
mbvPHrfQCUoVpD/wM5e6wcIq4sj5+C2QmUdWRe5RE55RsgapLowDNe0tl7vS2LjP
jW0Z6rjP7fhOWns2A7EcEeNFgsXEz1L2o9aEN0uzTfA9erp7YIfZ4A/IPIsMba2c
GI7l7lXi51ySgp1o5ext6xoJWzvMW22q/u+VpZ7seZdXiQMwvSifA+wfpXUfeJrZ
nBeQakwITqigems+X81uCWq2qQIDAQABo1MwUTAdBgNVHQ4EFgQU/guleRxDS0/5
2S1nyWIxZIiLP3kwHwYDVR0jBBgwFoAU/guleRxDS0/52S1nyWIxZIiLP3kwDwYD
VR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEANHPSGT7uyTLO72D2vWAB
yyUo0tqeYR0XWbKzAHI3x7Hr1UbhVIUeF/iVAkCEWmYThGqiur6IiNX/t4h8/BGk
RxkPcvram3LMqIrVNgjIEZjq0n28Gt6NGNUJbc5jgAiGDO15grLVyUcl8sbCRx5z
O6vjJIChkhzNEldei6aC6VhhAJThN83K43O+x1V+knf61d7RY5zNaBkeZjk07Q+R
cUwXU6i/tPBplT9YUx4SXe55rCu8EvFg7P9V5xKXnZpcXo4Rf3l1gxyszl6JTqEv
/XwBw/WN7tZeQ09c7znxHkutzzXM4kVrTrzBjTZjJxNESDrzITgZcfMTzhp1W16e
XQ==
-----END CERTIFICATE-----
`;
const signedWithMd5 = `-----BEGIN CERTIFICATE-----
MIIB2TCBwgIUfo7a11lQCkdXy8uXW0BJ9hKpn6owDQYJKoZIhvcNAQEEBQAwDTEL
MAkGA1UEAwwCY2EwIBcNMjYxMTI4MDMyOTEyWhgPMjEyNjExMDQwMzI5MTJaMA8x
DTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASyhWG6oVVV
A7pyfIbIc7279HPDoIQFH8+XczOdCTIIQmMXBTCEwVvk+wYMbLg9tedapEZVjnXO
1TajO+262RUgMA0GCSqGSIb3DQEBBAUAA4IBAQB5CIEkmG1+LgB0twUzu5VdUhaj
+XP2UpM8b+1hQOmNae947EyvTy2vLOn23Zje290Moo7rztSWM+WHk9xsuOKtDliQ
eOPZHYhXZDlhRF6/ds4GEwWyug6wvSjiPzBe/gBAz10vLHrXZ/7fUID397aikFTi
/7zNvbiYwOR5pIhTMFSvB0o01PFA/PrOUtMgOAT0tWBvnJAtyF4RVQL9AYhGXqNn
ibxBN3f7xdV23Q6vzvqkX1Iu5fzoq7uxt2Um0YMWD5jvf3auf8NPPce3akY80mQb
ViK25ZHviFtSNVYP1+pKOBHrPkH9tWaJG86gUPuOxCVHwwk1TiYH1yV9lQZA
-----END CERTIFICATE-----
`;

function storeOf({
  caPem,
  crlPem,
  ...options
}: Omit<TrustStoreOptions, 'authorities' | 'lists'> & {
  caPem: string | Buffer;
  crlPem?: string | Buffer | undefined;
}) {
  const lists = crlPem === undefined ? undefined : parseRevocationLists(crlPem);
  return createTrustStore({ ...options, authorities: parseAuthorities(caPem), lists });
}

/** `trusted`, or why not. */
function judge(
  leaf: TestCertificate | string,
  options: { chain?: readonly TestCertificate[]; ca?: string; crl?: string; now?: number; error?: string } = {},
): string {
  const now = options.now ?? Date.now();
  const store = storeOf({
    caPem: options.ca ?? root.pem,
    crlPem: options.crl,
    now: () => Date.now(),
    read: createCertificateReader(),
  });
  const chain = (options.chain ?? []).map((each) => each.pem);
  const trust = store.evaluate(peerOf(typeof leaf === 'string' ? leaf : leaf.pem, chain, options.error), now);
  return trust.trusted ? 'trusted' : trust.reason;
}

function identify(leaf: string | TestCertificate, allow: readonly unknown[], ca = root.pem): Verification {
  const parsed = parseAuthenticators({ workloads: { type: 'mtls', allow } });
  const store = storeOf({ caPem: ca, now: Date.now, read: createCertificateReader() });
  const authenticator = createMtlsAuthenticator('workloads', parsed.workloads as MtlsConfig, store);
  const peer = peerOf(typeof leaf === 'string' ? leaf : leaf.pem);
  const context = { now: Date.now(), clientAddress: '192.0.2.1', resource: 'https://mcp.example.com/mcp' };
  return authenticator.verify({ kind: 'client-certificate', peer }, context);
}

function verifyBy(set: AuthenticatorSet, name: string, peer: PeerCertificate, runtime: TestRuntime) {
  const authenticator = set.byName.get(name);
  if (authenticator?.accepts !== 'client-certificate') throw new Error(`${name} verifies no certificates`);
  return authenticator.verify({ kind: 'client-certificate', peer }, requestWith({}, runtime));
}

t.test('the first entry that matches names the client', async (t) => {
  const authority = await createCertificateAuthority();
  const issued = await authority.issue({
    commonName: 'client-ai-agent-1',
    dnsNames: ['agent.internal', 'second.internal'],
    uris: ['spiffe://example.com/agent'],
  });
  const fingerprint = `sha256:${createHash('sha256').update(new X509Certificate(issued.certificatePem).raw).digest('hex')}`;
  const clientId = 'ai_agent_prod';
  const table: [Record<string, unknown>, string | undefined][] = [
    [{ commonName: 'client-ai-agent-1' }, 'client-ai-agent-1'],
    [{ dnsName: 'agent.internal' }, 'agent.internal'],
    [{ dnsName: 'second.internal' }, 'second.internal'],
    [{ uri: 'spiffe://example.com/agent' }, 'spiffe://example.com/agent'],
    [{ fingerprint }, fingerprint],
    [{ fingerprint: fingerprint.toUpperCase().replace('SHA256', 'sha256') }, fingerprint],
    [{ commonName: 'client-ai-agent-1', uri: 'spiffe://example.com/agent' }, 'spiffe://example.com/agent'],
    [{ commonName: 'client-ai-agent-1', uri: 'spiffe://example.com/other' }, undefined],
    [{ commonName: 'Client-AI-Agent-1' }, undefined],
    [{ commonName: 'client-ai-agent' }, undefined],
    [{ commonName: '*' }, undefined],
    [{ commonName: 'agent.internal' }, undefined],
    [{ dnsName: 'client-ai-agent-1' }, undefined],
    [{ dnsName: 'AGENT.internal' }, undefined],
    [{ dnsName: '*.internal' }, undefined],
    [{ uri: 'spiffe://example.com/agent/' }, undefined],
    [{ uri: 'spiffe://EXAMPLE.com/agent' }, undefined],
    [{ fingerprint: `sha256:${'0'.repeat(64)}` }, undefined],
  ];
  for (const [entry, subject] of table) {
    const verification = identify(
      issued.certificatePem,
      [
        { commonName: 'nobody', clientId: 'x' },
        { ...entry, clientId },
      ],
      authority.certificatePem,
    );
    if (subject === undefined) t.match(verification, { verified: false, reason: 'identity' }, JSON.stringify(entry));
    else
      t.match(
        verification,
        { verified: true, principal: { subject, clientId, credentialId: fingerprint } },
        JSON.stringify(entry),
      );
  }
  const two = [
    { dnsName: 'agent.internal', clientId: 'first', scopes: ['a'] },
    { commonName: 'client-ai-agent-1', clientId: 'second' },
  ];
  t.match(identify(issued.certificatePem, two, authority.certificatePem), {
    principal: { kind: 'mtls', issuer: 'workloads', clientId: 'first', scopes: ['a'] },
  });
});

t.test('a common name counts when there is exactly one, and character by character', async (t) => {
  const allow = [{ commonName: 'alice', clientId: 'alice' }];
  const names: [string, SubjectName, boolean][] = [
    ['UTF-8', [{ CN: [{ utf8String: 'alice' }] }], true],
    ['printable', [{ CN: [{ printableString: 'alice' }] }], true],
    ['BMP', [{ CN: [{ bmpString: 'alice' }] }], true],
    ['none', [{ O: [{ utf8String: 'alice' }] }], false],
    ['empty', [{ CN: [{ utf8String: '' }] }], false],
    ['two in two RDNs', [{ CN: [{ utf8String: 'alice' }] }, { CN: [{ utf8String: 'bob' }] }], false],
    ['two in one RDN', [{ CN: [{ utf8String: 'alice' }, { utf8String: 'bob' }] }], false],
    ['the same twice', [{ CN: [{ utf8String: 'alice' }] }, { CN: [{ utf8String: 'alice' }] }], false],
    ['the second one', [{ CN: [{ utf8String: 'bob' }] }, { CN: [{ utf8String: 'alice' }] }], false],
    ['a NUL', [{ CN: [{ utf8String: 'alice\0' }] }], false],
    ['a NUL inside', [{ CN: [{ utf8String: 'alice\0.evil' }] }], false],
    ['the syntax of names', [{ CN: [{ utf8String: 'alice,CN=bob' }] }], false],
    ['in an organisation', [{ O: [{ utf8String: 'x,CN=alice' }] }], false],
    ['capitals', [{ CN: [{ utf8String: 'Alice' }] }], false],
    ['a space', [{ CN: [{ utf8String: 'alice ' }] }], false],
    ['a look-alike', [{ CN: [{ utf8String: '\u0430lice' }] }], false],
    ['64 KiB', [{ CN: [{ utf8String: 'a'.repeat(65_536) }] }], false],
  ];
  for (const [what, name, expected] of names) {
    const verification = identify(await createCertificate({ issuer: root, name }), allow);
    if (expected) t.match(verification, { verified: true, principal: { subject: 'alice' } }, what);
    else t.match(verification, { verified: false, reason: 'identity' }, what);
  }
  const umlaut = await createCertificate({ issuer: root, name: [{ CN: [{ bmpString: 'b\u00e4d' }] }] });
  t.match(identify(umlaut, [{ commonName: 'b\u00e4d', clientId: 'x' }]), { verified: true });
  t.match(identify(umlaut, [{ commonName: 'ba\u0308d', clientId: 'x' }]), { verified: false });
});

t.test('alternative names are read from the bytes, whatever stands beside them', async (t) => {
  const withNames = (hex: string) =>
    createCertificate({ issuer: root, extensions: [new x509.Extension('2.5.29.17', false, Buffer.from(hex, 'hex'))] });
  const dns = (text: string) => `82${text.length.toString(16).padStart(2, '0')}${Buffer.from(text).toString('hex')}`;
  const sequence = (content: string) => `30${(content.length / 2).toString(16).padStart(2, '0')}${content}`;
  const otherName = 'a00a06032a0304a0030c0178';
  const allow = [{ dnsName: 'a.test', clientId: 'x' }];
  t.match(identify(await withNames(sequence(otherName + dns('a.test'))), allow), { verified: true });
  t.match(identify(await withNames(sequence(dns('a.test\0.evil'))), allow), { verified: false, reason: 'identity' });
  t.match(identify(await withNames(sequence(dns('*.test'))), allow), { verified: false, reason: 'identity' });
  t.match(identify(await withNames(sequence(`8606${Buffer.from('a.test').toString('hex')}`)), allow), {
    verified: false,
  });
  for (const damaged of [`${sequence(dns('a.test'))}00`, '3005820661', '3003820661', '0403616263']) {
    t.match(identify(await withNames(damaged), allow), { verified: false, reason: 'format' }, damaged);
  }
  const twice = new x509.Extension('2.5.29.17', false, Buffer.from(sequence(dns('a.test')), 'hex'));
  const doubled = await createCertificate({ issuer: root, extensions: [twice, twice] });
  t.match(identify(doubled, allow), { verified: false, reason: 'format' });
});

t.test('trust ends where a certificate is foreign, out of date, for another purpose or weak', async (t) => {
  const good = await createCertificate({ issuer: root });
  t.equal(judge(good), 'trusted');
  t.equal(judge(good, { ca: foreign.pem }), 'untrusted');
  t.equal(judge(await createCertificate()), 'untrusted', 'self-signed');
  const impostor = await createCertificate({ name: [{ CN: [{ utf8String: 'root' }] }], ca: true });
  t.equal(judge(await createCertificate({ issuer: impostor })), 'untrusted', 'an authority of the same name');
  t.equal(judge(await createCertificate({ issuer: root, notAfter: new Date(Date.now() - day / 2) })), 'expired');
  t.equal(judge(await createCertificate({ issuer: root, notBefore: new Date(Date.now() + day) })), 'not_yet_valid');
  t.equal(judge(await createCertificate({ issuer: root, extendedKeyUsage: [clientAuth] })), 'trusted');
  t.equal(judge(await createCertificate({ issuer: root, extendedKeyUsage: [serverAuth, clientAuth] })), 'trusted');
  t.equal(judge(await createCertificate({ issuer: root, extendedKeyUsage: ['2.5.29.37.0'] })), 'trusted');
  t.equal(judge(await createCertificate({ issuer: root, extendedKeyUsage: [serverAuth] })), 'purpose');
  t.equal(judge(await createCertificate({ issuer: root, extendedKeyUsage: ['1.2.3.4'] })), 'purpose');
  t.equal(judge(await createCertificate({ issuer: root, keyUsage: digitalSignature })), 'trusted');
  t.equal(judge(await createCertificate({ issuer: root, keyUsage: keyEncipherment })), 'purpose');
  t.equal(judge(await createCertificate({ issuer: root, hash: 'SHA-1' })), 'algorithm');
  t.equal(judge(signedWithMd5, { ca: issuerOfMd5 }), 'algorithm');
  t.equal(judge(await createCertificate({ issuer: root, rsaBits: 1024 })), 'algorithm');
  t.equal(judge(await createCertificate({ issuer: root, rsaBits: 2048, hash: 'SHA-384' })), 'trusted');
  const critical = new x509.Extension('1.2.3.4.5', true, Buffer.from('0500', 'hex'));
  t.equal(judge(await createCertificate({ issuer: root, extensions: [critical] })), 'untrusted');
  const weakRoot = await createCertificate({ ca: true, rsaBits: 1024 });
  t.equal(judge(await createCertificate({ issuer: weakRoot }), { ca: weakRoot.pem }), 'algorithm');
  const oldRoot = await createCertificate({ ca: true, notAfter: new Date(Date.now() - day / 2) });
  t.equal(judge(await createCertificate({ issuer: oldRoot }), { ca: oldRoot.pem }), 'expired');
  const mismatched = await createCertificate({ issuer: root, ca: true });
  t.equal(judge(mismatched), 'trusted', 'what it may issue does not matter for what it is');
});

t.test('what the handshake found wrong is never overruled', async (t) => {
  const good = await createCertificate({ issuer: root });
  const table: [string, string][] = [
    ['CERT_HAS_EXPIRED', 'expired'],
    ['CERT_NOT_YET_VALID', 'not_yet_valid'],
    ['CERT_REVOKED', 'revoked'],
    ['INVALID_PURPOSE', 'purpose'],
    ['CA_MD_TOO_WEAK', 'algorithm'],
    ['UNABLE_TO_GET_ISSUER_CERT', 'untrusted'],
    ['CRL_HAS_EXPIRED', 'untrusted'],
    ['PERMITTED_VIOLATION', 'untrusted'],
    ['something new', 'untrusted'],
  ];
  for (const [error, reason] of table) t.equal(judge(good, { error }), reason, error);
});

t.test('chains go through authorities only, are bounded, and hold as long as each element does', async (t) => {
  const nameOf = (text: string): SubjectName => [{ CN: [{ utf8String: text }] }];
  const middle = await createCertificate({
    issuer: root,
    name: nameOf('middle'),
    ca: true,
    pathLength: 0,
    keyUsage: keyCertSign | cRLSign,
  });
  const leaf = await createCertificate({ issuer: middle });
  t.equal(judge(leaf, { chain: [middle] }), 'trusted');
  t.equal(judge(leaf, { chain: [foreign, middle, foreign] }), 'trusted', 'in any order');
  t.equal(judge(leaf), 'untrusted', 'without the intermediate');
  t.equal(judge(leaf, { ca: middle.pem }), 'trusted', 'an intermediate may be the anchor');
  const low = await createCertificate({ issuer: middle, name: nameOf('low'), ca: true });
  t.equal(
    judge(await createCertificate({ issuer: low }), { chain: [low, middle] }),
    'untrusted',
    'longer than pathLength',
  );
  const client = await createCertificate({ issuer: root, name: nameOf('client') });
  t.equal(
    judge(await createCertificate({ issuer: client }), { chain: [client] }),
    'untrusted',
    'a client is no authority',
  );
  const noCa = await createCertificate({ issuer: root, name: nameOf('no-ca'), ca: false });
  t.equal(judge(await createCertificate({ issuer: noCa }), { chain: [noCa] }), 'untrusted');
  const noSign = await createCertificate({ issuer: root, name: nameOf('no-sign'), ca: true, keyUsage: cRLSign });
  t.equal(judge(await createCertificate({ issuer: noSign }), { chain: [noSign] }), 'untrusted');
  const serversOnly = await createCertificate({
    issuer: root,
    name: nameOf('servers'),
    ca: true,
    extendedKeyUsage: [serverAuth],
  });
  t.equal(judge(await createCertificate({ issuer: serversOnly }), { chain: [serversOnly] }), 'purpose');
  const weak = await createCertificate({ issuer: root, name: nameOf('weak'), ca: true, hash: 'SHA-1' });
  t.equal(judge(await createCertificate({ issuer: weak }), { chain: [weak] }), 'algorithm');
  const ending = await createCertificate({
    issuer: root,
    name: nameOf('ending'),
    ca: true,
    notAfter: new Date(Date.now() + day),
  });
  const below = await createCertificate({ issuer: ending });
  t.equal(judge(below, { chain: [ending] }), 'trusted');
  t.equal(judge(below, { chain: [ending], now: Date.now() + 2 * day }), 'expired');
  const renewed = await createCertificate({ issuer: root, name: nameOf('ending'), ca: true, keys: ending.keys });
  t.equal(judge(below, { chain: [ending, renewed], now: Date.now() + 2 * day }), 'trusted', 'another path still holds');

  let last = root;
  const long: TestCertificate[] = [];
  for (let depth = 0; depth < 12; depth++) {
    last = await createCertificate({ issuer: last, name: nameOf(`level ${depth}`), ca: true });
    long.push(last);
  }
  t.equal(judge(await createCertificate({ issuer: last }), { chain: long }), 'untrusted', 'twelve intermediates');
  const circle = await Promise.all(
    Array.from({ length: 8 }, () =>
      createCertificate({ issuer: foreign, name: nameOf('foreign'), ca: true, keys: foreign.keys }),
    ),
  );
  t.equal(
    judge(await createCertificate({ issuer: foreign }), { chain: circle }),
    'untrusted',
    'authorities in a circle',
  );
});

t.test('the same connection is judged anew at each request', async (t) => {
  const leaf = await createCertificate({ issuer: root, notAfter: new Date(Date.now() + day) });
  const crl = await createRevocationList({ issuer: root, nextUpdate: new Date(Date.now() + day / 2) });
  const read = createCertificateReader();
  const store = storeOf({ caPem: root.pem, now: Date.now, read });
  const listed = storeOf({ caPem: root.pem, crlPem: crl, now: Date.now, read });
  const peer = peerOf(leaf.pem);
  t.match(store.evaluate(peer, Date.now()), { trusted: true });
  t.match(store.evaluate(peer, Date.now() + 2 * day), { trusted: false, reason: 'expired' });
  t.match(store.evaluate(peer, Date.now()), { trusted: true });
  t.match(listed.evaluate(peer, Date.now()), { trusted: true });
  const endOf = (store: TrustStore) => {
    const trust = store.evaluate(peer, Date.now());
    return trust.trusted ? Math.round(((trust.until - Date.now()) / day) * 100) / 100 : undefined;
  };
  t.same([endOf(store), endOf(listed)], [1, 0.5], 'trusted until its own end, or that of the list');
  t.match(
    listed.evaluate(peer, Date.now() + 0.75 * day),
    { trusted: false, reason: 'untrusted' },
    'the list is overdue',
  );
  const revoking = await createRevocationList({ issuer: root, serialNumbers: [leaf.certificate.serialNumber] });
  const reloaded = storeOf({ caPem: root.pem, crlPem: revoking, now: Date.now, read });
  t.match(reloaded.evaluate(peer, Date.now()), { trusted: false, reason: 'revoked' });
  const otherCa = storeOf({ caPem: foreign.pem, now: Date.now, read });
  t.match(otherCa.evaluate(peer, Date.now()), { trusted: false, reason: 'untrusted' });
});

t.test('a session that is resumed without its intermediates keeps the path that was found', async (t) => {
  const middle = await createCertificate({ issuer: root, name: [{ CN: [{ utf8String: 'middle' }] }], ca: true });
  const leaf = await createCertificate({ issuer: middle });
  const store = storeOf({ caPem: root.pem, now: Date.now, read: createCertificateReader() });
  t.match(store.evaluate(peerOf(leaf.pem), Date.now()), { trusted: false });
  t.match(store.evaluate(peerOf(leaf.pem, [middle.pem]), Date.now()), { trusted: true });
  t.match(store.evaluate(peerOf(leaf.pem), Date.now()), { trusted: true });
});

t.test('revocation lists revoke by issuer and serial number, and their absence is no permission', async (t) => {
  const leaf = await createCertificate({ issuer: root });
  const serialNumbers = [leaf.certificate.serialNumber];
  const twin = await createCertificate({ issuer: foreign });
  const ca = `${root.pem}\n${foreign.pem}`;
  const empty = await createRevocationList({ issuer: root });
  t.equal(judge(leaf, { crl: empty }), 'trusted');
  t.equal(judge(leaf, { crl: await createRevocationList({ issuer: root, serialNumbers }) }), 'revoked');
  t.equal(
    judge(leaf, { crl: `${empty}\n${await createRevocationList({ issuer: root, serialNumbers })}` }),
    'revoked',
    'in either of two',
  );
  t.equal(judge(twin, { ca, crl: empty }), 'untrusted', 'no list of its issuer');
  const foreignList = await createRevocationList({ issuer: foreign, serialNumbers });
  t.equal(judge(leaf, { ca, crl: `${empty}\n${foreignList}` }), 'trusted', 'the number of another issuer');
  const middle = await createCertificate({ issuer: root, name: [{ CN: [{ utf8String: 'middle' }] }], ca: true });
  const below = await createCertificate({ issuer: middle });
  const middleList = await createRevocationList({ issuer: middle });
  t.equal(judge(below, { chain: [middle], crl: `${empty}\n${middleList}` }), 'trusted');
  t.equal(judge(below, { chain: [middle], crl: empty }), 'untrusted', 'no list of the intermediate');
  const revoked = await createRevocationList({ issuer: root, serialNumbers: [middle.certificate.serialNumber] });
  t.equal(judge(below, { chain: [middle], crl: `${revoked}\n${middleList}` }), 'revoked', 'the intermediate');
  const forged = await createRevocationList({ issuer: middle, signer: foreign });
  t.equal(
    judge(below, { chain: [middle], crl: `${empty}\n${forged}` }),
    'untrusted',
    'a list that the intermediate did not sign',
  );
});

t.test('lists and authorities that cannot be used are refused when they are loaded', async (t) => {
  const open = (caPem: string | Buffer, crlPem?: string | Buffer) => () =>
    storeOf({ caPem, crlPem, now: Date.now, read: createCertificateReader() });
  const leaf = await createCertificate({ issuer: root });
  t.throws(open(''), /holds no PEM/);
  t.throws(open(Buffer.alloc(0)), /holds no PEM/);
  t.throws(open('garbage'), /holds no PEM/);
  t.throws(open(leaf.pem), /not that of a certificate authority/);
  t.throws(open(`${root.pem}\n${leaf.pem}`), /not that of a certificate authority/);
  t.throws(open(root.pem.replace('-----END', '----END')), /damaged/);
  t.throws(open(root.pem.slice(0, 200)), /damaged/);
  t.throws(open(root.pem.replace(/M/g, 'A')));
  t.throws(open('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'), /PRIVATE KEY/);
  t.doesNotThrow(open(`# our root\n${root.pem}\n\n${foreign.pem}`));
  const list = (options: Omit<Parameters<typeof createRevocationList>[0], 'issuer'>) =>
    createRevocationList({ issuer: root, ...options });
  t.throws(open(root.pem, ''), /holds no PEM/);
  t.throws(open(root.pem, 'garbage'), /holds no PEM/);
  t.throws(open(root.pem, root.pem), /"CERTIFICATE"/);
  t.throws(open(root.pem, await list({ nextUpdate: new Date(Date.now() - 1000) })), /expired/);
  t.throws(open(root.pem, await list({ nextUpdate: undefined })), /no nextUpdate/);
  t.throws(open(root.pem, await list({ thisUpdate: new Date(Date.now() + day) })), /not valid yet/);
  t.throws(open(root.pem, await list({ signer: foreign })), /not signed by the authority/);
  t.throws(open(root.pem, await list({ hash: 'SHA-1' })), /SHA-1/);
  const partial = new x509.Extension('2.5.29.28', true, Buffer.from('3003810101', 'hex'));
  const delta = new x509.Extension('2.5.29.27', true, Buffer.from('020101', 'hex'));
  for (const extension of [partial, delta])
    t.throws(open(root.pem, await list({ extensions: [extension] })), /partial or indirect/);
  const number = new x509.Extension('2.5.29.20', false, Buffer.from('020101', 'hex'));
  t.throws(open(root.pem, await list({ extensions: [number, number] })), /can be read/);
  t.doesNotThrow(open(root.pem, await list({ extensions: [number] })));
  const bytes = Buffer.from(x509.PemConverter.decode(await list({}))[0]!);
  for (const tag of [0xa0, 0xbb, 0x31, 0x04]) {
    bytes[0] = tag;
    t.throws(open(root.pem, x509.PemConverter.encode(bytes, 'X509 CRL')), /revocation list/, `tag ${tag}`);
  }
  const rsa = await createCertificate({ ca: true, rsaBits: 2048 });
  t.doesNotThrow(open(rsa.pem, await createRevocationList({ issuer: rsa })));
});

t.test('a signature of RSA-PSS is judged by the hash function that it names', async (t) => {
  const rootOf = async (hash: string) =>
    createCertificate({ ca: true, keys: await createRsaPssKeys(hash), hash, name: [{ CN: [{ utf8String: hash }] }] });
  for (const hash of ['SHA-256', 'SHA-384', 'SHA-512']) {
    const issuer = await rootOf(hash);
    const crl = await createRevocationList({ issuer, hash });
    t.equal(judge(await createCertificate({ issuer, hash }), { ca: issuer.pem, crl }), 'trusted', hash);
  }
  const issuer = await rootOf('SHA-1');
  const leaf = await createCertificate({ issuer, hash: 'SHA-1' });
  t.equal(judge(leaf, { ca: issuer.pem }), 'algorithm');
  const crl = await createRevocationList({ issuer, hash: 'SHA-1' });
  t.throws(() => judge(leaf, { ca: issuer.pem, crl }), /signed with SHA-1/);
});

t.test('parameters of RSA-PSS are read whole, or not at all', async (t) => {
  const library = loadAsn1();
  const hashOf = (hex: string) => {
    const parameters = new Uint8Array(Buffer.from(hex, 'hex')).buffer;
    const identifier = new library.types.AlgorithmIdentifier({ algorithm: '1.2.840.113549.1.1.10', parameters });
    return signatureAlgorithmOf(identifier, library).hash;
  };
  const sha256 = 'a00f300d06096086480165030402010500';
  t.equal(hashOf(`3011${sha256}`), 'SHA-256');
  t.equal(hashOf('3000'), 'SHA-1', 'the hash function of RFC 4055 where none is named');
  t.equal(hashOf('3005a203020120'), 'SHA-1');
  for (const [what, hex] of Object.entries({
    nothing: '',
    null: '0500',
    'a set': `3111${sha256}`,
    'a second element': `3011${sha256}0500`,
    'two hash functions': `3022${sha256}${sha256}`,
    'fields out of order': `3016a203020120${sha256}`,
    'a field of another tag': `3013${sha256}0500`,
    'an end too soon': `3012${sha256}`,
  })) {
    t.throws(() => hashOf(hex), what);
  }
  const digest = new library.types.AlgorithmIdentifier({ algorithm: '2.16.840.1.101.3.4.2.1' });
  t.equal(signatureAlgorithmOf(digest, library).hash, '2.16.840.1.101.3.4.2.1', 'a digest is no signature');
});

t.test('a certificate with a malformed extension of a usual type is refused', async (t) => {
  const garbage = Buffer.from('020101', 'hex');
  for (const type of ['2.5.29.14', '2.5.29.18', '2.5.29.31', '2.5.29.32', '2.5.29.35', '1.3.6.1.5.5.7.1.1']) {
    const leaf = await createCertificate({ issuer: root, extensions: [new x509.Extension(type, false, garbage)] });
    t.equal(judge(leaf), 'format', type);
  }
});

t.test('an authenticator with a caFile takes certificates of that authority only', async (t) => {
  const runtime = createRuntime(t);
  const partner = { type: 'mtls', caFile: 'partner.crt', allow: [{ commonName: 'test', clientId: 'partner' }] };
  const ours = { type: 'mtls', allow: [{ commonName: 'test', clientId: 'ours' }] };
  const ca = `${root.pem}\n${foreign.pem}`;
  const set = createSet({ partner, ours }, runtime, { ca, others: { 'partner.crt': foreign.pem } });
  const verify = (name: string, leaf: TestCertificate) => verifyBy(set, name, peerOf(leaf.pem), runtime);
  const fromRoot = await createCertificate({ issuer: root });
  const fromForeign = await createCertificate({ issuer: foreign });
  t.match(verify('partner', fromForeign), { verified: true });
  t.match(verify('partner', fromRoot), { verified: false, reason: 'untrusted' });
  t.match(verify('ours', fromRoot), { verified: true });
  t.throws(
    () => createSet({ partner }, runtime, { ca: root.pem, others: { 'partner.crt': foreign.pem } }),
    /not one of those/,
  );
  t.throws(() => createSet({ partner }, runtime, { ca: root.pem }), /partner.crt\): the file was not read/);
  t.throws(() => createSet({ ours }, runtime, { ca: '' }), /clients-ca.crt\): the file holds no PEM certificate/);
  const off = createSet({ ours }, runtime);
  const peer = peerOf(fromRoot.pem);
  t.match(verifyBy(off, 'ours', peer, runtime), { verified: false, reason: 'untrusted' });
});

t.test('any bytes are read as DER or refused, and never beyond their end', (t) => {
  const check = () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          const elements = readDerElements(bytes);
          return elements.reduce((total, { whole }) => total + whole.length, 0) === bytes.length;
        } catch (error) {
          return error instanceof Error;
        }
      }),
    );
  t.doesNotThrow(check);
  t.equal(parseCertificate({ raw: Buffer.from('3000', 'hex') } as X509Certificate), undefined);
  t.end();
});
