// TLS of the admin listener: a client certificate opens the console, of those that `allow` names, until it is revoked; probes need none.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { createClient } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

t.test('a client certificate of admin.allow opens the console, until it is revoked', async (t) => {
  const certificates = await createTestCertificates();
  const { authority } = certificates;
  const ca = authority.certificatePem;
  const own = await authority.issue({
    commonName: 'mcp.example.com',
    dnsNames: ['mcp.example.com', 'localhost'],
    server: true,
  });
  const scenario = await startScenario(
    t,
    {
      admin: {
        tls: {
          certFile: 'admin.crt',
          keyFile: 'admin.key',
          clientCaFile: 'clients-ca.crt',
          clientCrlFile: 'admin.crl',
        },
        authenticate: 'workloads',
        allow: { clients: ['ai_agent_prod'] },
      },
      revocation: { file: 'revoked.yaml' },
    },
    {
      tls: certificates,
      files: {
        ...{ 'revoked.yaml': '{}\n', 'admin.crl': await authority.revoke([]) },
        ...{ 'admin.crt': own.certificatePem, 'admin.key': own.keyPem },
      },
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

  await t.test('the HEALTHCHECK of the image, with the authority and the name that deploy.md says', async (t) => {
    const dockerfile = await readFile(join(import.meta.dirname, '../../deploy/Dockerfile'), 'utf8');
    const [, ...args] = JSON.parse(/HEALTHCHECK[^[]*CMD (\[.*\])/.exec(dockerfile)![1]!) as string[];
    await scenario.write('authority.crt', ca);
    const check = async (env: NodeJS.ProcessEnv): Promise<number> => {
      const all = { PORTCULLIS_ADMIN: `https://localhost:${scenario.adminPort}`, ...env };
      const [code] = await once(spawn(process.execPath, args, { env: all, cwd: t.testdir(), stdio: 'ignore' }), 'exit');
      return code;
    };
    const NODE_EXTRA_CA_CERTS = join(scenario.directory, 'authority.crt');
    t.equal(await check({ NODE_EXTRA_CA_CERTS }), 0);
    t.equal(await check({}), 1, 'an unknown authority');
    const http = `http://localhost:${scenario.adminPort}`;
    t.equal(await check({ NODE_EXTRA_CA_CERTS, PORTCULLIS_ADMIN: http }), 1, 'the default of the image is plain HTTP');
  });
});
