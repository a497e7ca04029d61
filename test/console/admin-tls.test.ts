// TLS of the admin listener: a client certificate opens the console, of those that `allow` names, until it is revoked; probes need none.
import t from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { createClient } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

t.test('a client certificate of admin.allow opens the console, until it is revoked', async (t) => {
  const certificates = await createTestCertificates();
  const ca = certificates.authority.certificatePem;
  const scenario = await startScenario(
    t,
    {
      admin: {
        tls: { certFile: 'tls.crt', keyFile: 'tls.key', clientCaFile: 'clients-ca.crt', clientCrlFile: 'admin.crl' },
        authenticate: 'workloads',
        allow: { clients: ['ai_agent_prod'] },
      },
      revocation: { file: 'revoked.yaml' },
    },
    {
      tls: certificates,
      files: { 'revoked.yaml': '{}\n', 'admin.crl': await certificates.authority.revoke([]) },
      revocationPollMs: 20,
    },
  );
  const target = { port: scenario.adminPort, ca };
  const agent = createClient({ ...target, certificate: certificates.agent });
  const unlisted = createClient({ ...target, certificate: certificates.unlisted });
  const anybody = createClient(target);
  t.teardown(() => Promise.all([agent.close(), unlisted.close(), anybody.close()]));
  const page = { method: 'GET', path: '/', headers: { accept: '*/*' } } as const;
  t.equal((await agent.send(page)).status, 200);
  const { text: credentials } = await agent.send({ ...page, path: '/credentials' });
  t.match(credentials, /<code>admin\.tls\.clientCrlFile<\/code>.*<code>[^<]*admin\.crl<\/code>.*next list due/);
  t.equal((await anybody.send(page)).status, 401);
  t.equal((await unlisted.send(page)).status, 401);
  t.equal((await anybody.send({ method: 'GET', path: '/livez' })).status, 200);
  await scenario.write('revoked.yaml', 'clientIds: [ai_agent_prod]\n');
  await scenario.record(({ detail }) => /revocation/.test(JSON.stringify(detail ?? {})) && detail?.event !== 'started');
  t.equal((await agent.send(page)).status, 401);
});
