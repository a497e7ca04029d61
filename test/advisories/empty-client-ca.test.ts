// CVE-2026-27586 (Caddy): a file of client authorities that was missing or empty left the list empty, and an empty list means "any public
// authority". In Node `ca: undefined` and `ca: ''` do the same, and a garbage file is taken without a word.
import { connect } from 'node:tls';
import t from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import type { Configuration } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';

t.test(
  'without authorities for its clients a gateway does not start, and a running one keeps those it has',
  async (t) => {
    const certificates = await createTestCertificates();
    const { files, agent, otherAuthority, authority } = certificates;
    const start = (files: Readonly<Record<string, string>>, more: Configuration = {}) =>
      startScenario(
        t,
        {
          server: { tls: { clientCertificates: 'required', ...more } },
          routes: [{ path: '/x', authenticate: 'workloads', respond: { text: 'ok' } }],
        },
        { tls: { ...certificates, files } },
      );
    const useless = {
      empty: '',
      blank: '\n\n',
      garbage: 'garbage',
      'a key': files['tls.key'],
      'a certificate cut short': files['clients-ca.crt'].slice(0, 200),
      'a certificate of no authority': files['tls.crt'],
    };
    for (const [name, content] of Object.entries(useless)) {
      await t.rejects(start({ ...files, 'clients-ca.crt': content }), /clientCaFile|clients-ca/, name);
    }
    const { 'clients-ca.crt': _gone, ...rest } = files;
    await t.rejects(start(rest), /clientCaFile/, 'missing');
    await t.rejects(start(files, { clientCaFile: undefined }), /clientCaFile/);

    const scenario = await start(files);
    const admitted = (certificate: typeof agent) =>
      new Promise<boolean>((resolve) => {
        const socket = connect({
          port: scenario.port,
          host: '127.0.0.1',
          servername: 'mcp.example.com',
          ca: authority.certificatePem,
          cert: certificate.certificatePem,
          key: certificate.keyPem,
        });
        socket.on('secureConnect', () => socket.write('GET /x HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n'));
        socket.on('data', (chunk) => {
          socket.destroy();
          resolve(/^HTTP\/1\.1 200/.test(String(chunk)));
        });
        for (const event of ['error', 'close']) socket.on(event, () => resolve(false));
      });
    for (const content of Object.values(useless)) {
      await scenario.write('clients-ca.crt', content);
      await scenario.reload();
      t.equal(await admitted(otherAuthority), false);
    }
    t.equal(await admitted(agent), true, 'the authorities it started with are still in force');
    t.match(await scenario.metrics(), /portcullis_config_last_reload_success 0/);
  },
);
