// A rendered configuration with its secret mounted as the kubelet mounts it: a renewed certificate is served without a restart.
import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { createClient, publicHost } from '../support/client.ts';
import { until } from '../support/until.ts';
import { callOf, freePort, gatewayCommand, startScene } from './scene.ts';

/** Throws where the gateway goes on with the old certificate, or refuses a call meanwhile. */
export async function checkSecretSwap(yaml: string): Promise<void> {
  const scene = await startScene();
  try {
    const { authority, files } = scene.certificates;
    const [port, adminPort] = [await freePort(), await freePort()];
    const secret = join(scene.directory, 'secret');
    mkdirSync(secret);
    project(secret, 'first', { 'tls.crt': files['tls.crt'], 'tls.key': files['tls.key'] });
    const local = yaml
      .replaceAll('/run/secrets/portcullis/tls', secret)
      .replace('0.0.0.0:8443', `127.0.0.1:${port}`)
      .replace('${env:POD_IP}:9090', `127.0.0.1:${adminPort}`)
      .replace('https://idp.example.com/', scene.issuer.issuer)
      .replace('https://superset-mcp.example.com', scene.upstream.url);
    const folder = await scene.configure('mounted', local);
    await scene.start(gatewayCommand(folder), `http://127.0.0.1:${adminPort}/readyz`);
    assert.equal(await servedCertificate(port), fingerprint(files['tls.crt']));

    const renewed = await authority.issue({ commonName: publicHost, dnsNames: [publicHost], server: true });
    project(secret, 'second', { 'tls.crt': renewed.certificatePem, 'tls.key': renewed.keyPem });
    const client = createClient({ port, ca: authority.certificatePem });
    const headers = { authorization: `Bearer ${await scene.issuer.token()}` };
    await until(
      async () => {
        assert.equal((await client.post(callOf('list_dashboards'), { headers })).status, 200);
        return (await servedCertificate(port)) === fingerprint(renewed.certificatePem);
      },
      'the renewed certificate is served',
      20_000,
    );
    client.close();
  } finally {
    await scene.close();
  }
}

/** As the kubelet does: each file is a link through `..data`, which is replaced by a rename. */
function project(folder: string, version: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(folder, `..${version}`));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, `..${version}`, name), content);
  symlinkSync(`..${version}`, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  if (version !== 'first') return;
  for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(folder, name));
}

function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256;
}

async function servedCertificate(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', servername: publicHost, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}
