// Certificates of the development environment.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCertificateAuthority, type IssuedCertificate } from '../pki/authority.ts';

/** Writes the server's certificate and one client certificate for each case of the tour. */
export async function writeCertificates(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = await createCertificateAuthority();
  const other = await createCertificateAuthority({ commonName: 'Another development CA' });
  const server = { commonName: 'localhost', dnsNames: ['localhost'], ips: ['127.0.0.1', '::1'], server: true };
  const revoked = await authority.issue({ commonName: 'client-ai-agent-1' });
  const issued: Record<string, IssuedCertificate> = {
    server: await authority.issue(server),
    'client-ai-agent-1': await authority.issue({ commonName: 'client-ai-agent-1' }),
    'client-unlisted': await authority.issue({ commonName: 'client-unlisted' }),
    'client-revoked': revoked,
    'client-other-ca': await other.issue({ commonName: 'client-ai-agent-1' }),
  };
  await writeFile(join(directory, 'ca.crt'), authority.certificatePem);
  await writeFile(join(directory, 'clients.crl'), await authority.revoke([revoked.serialNumber]));
  for (const [name, { certificatePem, keyPem }] of Object.entries(issued)) {
    await writeFile(join(directory, `${name}.crt`), certificatePem);
    await writeFile(join(directory, `${name}.key`), keyPem, { mode: 0o600 });
  }
}
