// What the README says is there: its configuration is valid, its links lead somewhere, its commands exist.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.ts';
import { createCertificateAuthority } from '../../src/dev/pki.ts';

const root = join(import.meta.dirname, '../..');
const pages = [
  'README.md',
  'docs/configuration.md',
  'docs/operations.md',
  'docs/failure-modes.md',
  'docs/performance.md',
  'docs/deploy.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
];
const readme = readFileSync(join(root, 'README.md'), 'utf8');

t.test('the configuration in the README is valid without a warning', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-readme-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const yaml = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1];
  t.ok(yaml, 'there is one');
  const certificate = await (await createCertificateAuthority()).issue({ dnsNames: ['mcp.example.com'], server: true });
  writeFileSync(join(folder, 'tls.crt'), certificate.certificatePem);
  writeFileSync(join(folder, 'tls.key'), certificate.keyPem);
  writeFileSync(join(folder, 'gateway.yaml'), yaml!);
  const { warnings } = await loadConfig(join(folder, 'gateway.yaml'), { env: {} });
  t.same(warnings, []);
});

t.test('every link leads to a file of the repository', (t) => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, target] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (!target!.startsWith('https:')) t.ok(existsSync(join(root, page, '..', target!)), `${page}: ${target}`);
    }
  }
  t.end();
});

t.test('every command of the README exists', (t) => {
  const commands = [...readme.matchAll(/^\| `portcullis ([a-z]+(?: [a-z]+)?)/gm)].map(([, command]) => command!);
  t.ok(commands.length >= 6, commands.join(', '));
  for (const command of commands) {
    const help = spawnSync(process.execPath, ['src/main.ts', ...command.split(' '), '--help'], {
      cwd: root,
      encoding: 'utf8',
    });
    t.equal(help.status, 0, command);
    t.match(help.stdout, `portcullis ${command}`, command);
  }
  t.end();
});
