// `portcullis certs`: the files that it writes serve a gateway, and each way to go wrong is named.
import 'reflect-metadata';
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import t, { type Test } from 'tap';
import { parseRevocationLists } from '../../src/authn/certificate/trust-store.ts';
import { certsCommand } from '../../src/cli/certs/certs.ts';
import { startScenario } from '../support/scenario.ts';
import { runCommand } from './capture.ts';

const dayMs = 86_400_000;

const run = (now: number, ...args: string[]) => runCommand((output) => certsCommand(output, () => now), args);

async function authority(t: Test, now = Date.now()) {
  const directory = t.testdir({});
  const ca = join(directory, 'ca');
  const certs = async (...[name, ...args]: readonly string[]) => run(now, name!, '--ca', ca, ...args);
  const made = await certs('ca');
  t.equal(made.err, '');
  return { directory, ca, certs, path: (name: string) => join(directory, name) };
}

t.test(
  'the gateway lets a client in with what `issue` wrote, and no more once its CRL names the certificate',
  async (t) => {
    const { ca, certs, path } = await authority(t);
    const issued = await certs(
      'issue',
      '--common-name',
      'agent',
      '--client-id',
      'ai_agent_prod',
      '--out',
      path('agent'),
    );
    t.match(issued.out, /agent\.crt and .*agent\.key: agent, serial [0-9A-F]{32}, until /);
    t.match(issued.out, '- commonName: agent\n  clientId: ai_agent_prod\n');
    t.equal((await stat(path('agent.key'))).mode & 0o777, 0o600);
    t.equal((await stat(join(ca, 'ca.key'))).mode & 0o777, 0o600);
    const scenario = await startScenario(
      t,
      {
        server: { tls: { clientCaFile: join(ca, 'ca.crt'), clientCrlFile: join(ca, 'ca.crl') } },
        authenticators: {
          workloads: { allow: [{ commonName: 'agent', clientId: 'ai_agent_prod', scopes: ['dashboards:read'] }] },
        },
        routes: [{ path: '/api', authenticate: 'workloads', scopes: ['dashboards:read'] }],
      },
      { tls: true },
    );
    const certificate = {
      certificatePem: await readFile(path('agent.crt'), 'utf8'),
      keyPem: await readFile(path('agent.key'), 'utf8'),
      serialNumber: '',
    };
    t.equal((await scenario.connect({ certificate }).send({ path: '/api' })).status, 200);
    const revoked = await certs('revoke', path('agent.crt'));
    t.match(revoked.out, /is revoked; .*ca\.crl is new/);
    await scenario.reload({ server: { drainTimeout: '31s' } });
    t.equal((await scenario.connect({ certificate }).send({ path: '/api' })).status, 401);
    t.match((await certs('revoke', path('agent.crt'))).out, /was revoked before/);
  },
);

t.test('list, renew and crl', async (t) => {
  const now = Date.UTC(2027, 0, 1);
  const { ca, certs, path } = await authority(t, now);
  await certs('issue', '--dns', 'gw.example', '--ip', '127.0.0.1', '--server', '--out', path('gw'), '--days', '9999');
  await certs('issue', '--uri', 'spiffe://corp/agent', '--out', path('agent'), '--days', '20');
  const before = new X509Certificate(await readFile(path('agent.crt')));
  const list = await certs('list');
  t.match(list.out, /^authority until 2031-12-31\n\nserial /);
  t.match(list.out, `${before.serialNumber}  2027-01-21  ends soon  spiffe://corp/agent`);
  t.match(list.out, /2031-12-31 {2}good +gw\.example, 127\.0\.0\.1\n/, 'no longer than its authority');
  const renewed = await certs('renew', path('agent.crt'), '--revoke', '--json');
  t.equal(renewed.err, '');
  const after = new X509Certificate(await readFile(path('agent.crt')));
  t.match(JSON.parse(renewed.out), { serialNumber: after.serialNumber, replaced: before.serialNumber });
  t.equal(after.subjectAltName, before.subjectAltName);
  t.same(after.keyUsage, before.keyUsage);
  const key = await readFile(path('agent.key'), 'utf8');
  t.ok(after.checkPrivateKey(createPrivateKey(key)), 'with the new key');
  t.equal((await stat(path('agent.key'))).mode & 0o777, 0o600);
  await certs('crl', '--days', '7');
  const [crl] = parseRevocationLists(await readFile(join(ca, 'ca.crl')));
  t.same([...crl!.serialNumbers], [before.serialNumber.toLowerCase()]);
  t.equal(crl!.nextUpdate, now + 7 * dayMs);
  t.match(JSON.parse((await certs('list', '--json')).out).certificates, [{ state: 'revoked' }, {}, {}]);
});

t.test('a request keeps its key to itself, and its names do not count', async (t) => {
  const { certs, path } = await authority(t);
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const wanted = { name: 'CN=admin', keys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } };
  const request = await x509.Pkcs10CertificateRequestGenerator.create(wanted, webcrypto);
  await writeFile(path('r.csr'), request.toString('pem'));
  const { out } = await certs('issue', '--common-name', 'agent', '--csr', path('r.csr'), '--out', path('x'));
  t.match(out, /^\S+x\.crt: agent, /);
  const { subject } = new X509Certificate(await readFile(path('x.crt')));
  t.equal(subject, 'O=Portcullis\nCN=agent');
  await t.rejects(stat(path('x.key')));
  await writeFile(path('bad.csr'), 'nothing');
  t.match(await certs('issue', '--common-name', 'a', '--csr', path('bad.csr'), '--out', path('y')), {
    err: /bad\.csr: /,
    exitCode: 1,
  });
});

t.test('nothing is written over, and what is not its own is named', async (t) => {
  const { certs, ca, path } = await authority(t);
  const key = await readFile(join(ca, 'ca.key'), 'utf8');
  t.match(await certs('ca'), { err: /ca\.key: it exists already and is not written over/, exitCode: 1 });
  t.equal(await readFile(join(ca, 'ca.key'), 'utf8'), key);
  await writeFile(path('agent.key'), 'mine');
  t.match(await certs('issue', '--common-name', 'a', '--out', path('agent')), { err: /agent\.key: it exists already/ });
  await t.rejects(stat(path('agent.crt')), 'both or none');
  t.match(JSON.parse((await certs('list', '--json')).out), { certificates: [] });
  for (const [args, message] of [
    [['issue', '--out', path('x')], /give a name/],
    [['issue', '--common-name', 'a', '--days', '0', '--out', path('x')], /number of days/],
    [['revoke', 'ABCD'], /has issued no certificate with the serial number ABCD/],
    [['revoke', path('none.crt')], /none\.crt: there is no such file/],
    [['renew', join(ca, 'ca.crt')], /did not issue it/],
  ] as const) {
    const { err, exitCode } = await certs(...args);
    t.match(err, message);
    t.ok(Number(exitCode) > 0);
  }
  await writeFile(join(ca, 'ca.key'), 'damaged');
  t.match(await certs('crl'), { err: /ca: /, exitCode: 1 });
});
