// Configurations as they stand in deployment files, held by `portcullis check --strict` with secrets of the right kinds beside them.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createTestCertificates } from '../support/certificates.ts';
import { root, run } from './tools.ts';

/** Throws an Error with every problem and every warning. `publicName` is what the server certificate has to be for. */
export async function checkConfiguration(
  yaml: string,
  options: { readonly env?: NodeJS.ProcessEnv; readonly publicName?: string } = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-deploy-'));
  const write = (name: string, content: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  };
  try {
    const secrets = await secretFiles(options.publicName ?? 'mcp.example.com');
    // Absolute paths are those of the container or unit; what stands there here is the folder.
    const local = yaml.replace(/(?<=[\s"[{(:])\/(?:etc|run|var)\/[^\s"\],}]+/g, (path) => {
      const kind = Object.keys(secrets).find((name) => path.endsWith(name));
      if (kind !== undefined) write(path, secrets[kind]!);
      return join(folder, path);
    });
    for (const [, path] of local.matchAll(/(?<=[\s[])((?:[\w.-]+\/)*[\w.-]+\.(?:crt|key|pem))(?=[\s,\]}])/g)) {
      const kind = Object.keys(secrets).find((name) => path!.endsWith(name));
      if (kind !== undefined) write(path!, secrets[kind]!);
    }
    write('gateway.yaml', local);
    const file = join(folder, 'gateway.yaml');
    run(process.execPath, [join(root, 'src/main.ts'), 'check', '--strict', '-c', file], {
      env: { ...process.env, ...options.env },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By how a file's name ends, first match first. */
async function secretFiles(publicName: string): Promise<Readonly<Record<string, string>>> {
  const { authority, files } = await createTestCertificates();
  const server = await authority.issue({ commonName: publicName, dnsNames: [publicName], server: true });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    'assertion.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'session.key': `${randomBytes(32).toString('base64')}\n`,
    'ca.crt': files['clients-ca.crt'],
    'tls.crt': server.certificatePem,
    'tls.key': server.keyPem,
    '/password': `${randomBytes(32).toString('hex')}\n`,
  };
}
