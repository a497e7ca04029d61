// The configuration of deploy/superset, which loads without a warning.
import { generateKeyPairSync, hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { loadText, now } from './support.ts';

const folder = join(import.meta.dirname, '../../deploy/superset');

t.test(
  'the configuration for Superset is valid, and its assertions are those that superset_config.py expects',
  async (t) => {
    const authority = await createCertificateAuthority({
      notBefore: new Date(now - 86_400_000),
      notAfter: new Date(now + 86_400_000),
    });
    const server = await authority.issue({
      commonName: 'mcp.example.com',
      dnsNames: ['mcp.example.com'],
      server: true,
    });
    const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString();
    const key = `{id: k1, hash: "sha256:${hash('sha256', 'sk_a-key-of-the-reporting-tool')}", clientId: reporting_tool, scopes: ["dashboards:read"], expires: 2999-01-01}`;
    const { config, warnings } = await loadText(t.testdir(), readFileSync(join(folder, 'gateway.yaml'), 'utf8'), {
      files: {
        'tls/tls.crt': server.certificatePem,
        'tls/tls.key': server.keyPem,
        'keys.yaml': `[${key}]`,
        'keys/assertion.pem': privateKey,
      },
    });
    t.same(
      warnings.map(({ path, message }) => `${path}: ${message}`),
      [],
    );
    const python = readFileSync(join(folder, 'superset_config.py'), 'utf8');
    for (const { identity, probe } of Object.values(config.upstreams)) {
      t.ok(python.includes(`audience="${identity.assertion?.audience}"`));
      t.equal(identity.assertion?.algorithm, 'ES256', 'what portcullis_superset.py takes by default');
      t.ok(probe);
    }
  },
);
