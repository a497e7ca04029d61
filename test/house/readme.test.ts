// README and docs: the configuration is valid, links lead to headings, commands exist.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/cli/program.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createCertificateAuthority } from '../../src/pki/authority.ts';

const root = join(import.meta.dirname, '../..');
const pages = ['.', 'docs'].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
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

t.test('every link leads to a file of the repository, and to a heading in it', (t) => {
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, target = '', anchor] of text.matchAll(/\]\(([^)#]*)(?:#([^)]*))?\)/g)) {
      if (target.startsWith('https:')) continue;
      const file = target === '' ? join(root, page) : join(root, page, '..', target);
      const found = existsSync(file) && (anchor === undefined || headingsOf(file).includes(anchor));
      t.ok(found, `${page}: ${target}${anchor === undefined ? '' : `#${anchor}`}`);
    }
  }
  t.end();
});

t.test('docs/README.md names every page', (t) => {
  const index = readFileSync(join(root, 'docs/README.md'), 'utf8');
  for (const name of readdirSync(join(root, 'docs'))) {
    if (name.endsWith('.md') && name !== 'README.md') t.ok(index.includes(`](${name})`), name);
  }
  t.end();
});

t.test('every command of the README exists', async (t) => {
  const named = [...readme.matchAll(/^\| `portcullis ([a-z-]+)(?: ([a-z]+))?/gm)];
  t.ok(named.length >= 6, `${named.length} commands`);
  for (const [, name = '', subcommand] of named) {
    const command = await Object.entries(commands)
      .find(([other]) => other === name)?.[1]
      .load();
    t.ok(command, name);
    if (subcommand !== undefined)
      t.ok(
        command?.commands.some((each) => each.name() === subcommand),
        `${name} ${subcommand}`,
      );
  }
});

/** The anchors of the headings of a page, as GitHub makes them. */
function headingsOf(file: string): string[] {
  const headings = readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, text]) =>
    text!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
