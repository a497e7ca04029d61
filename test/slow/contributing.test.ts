// CONTRIBUTING.md: the files that it names, and the tables whose rows it tells to add.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { API } from 'typescript/unstable/sync';
import { sinkTypes } from '../../src/audit/sinks/sink-types.ts';
import { authenticatorTypes } from '../../src/authn/authenticator-types.ts';
import { commands } from '../../src/cli/program.ts';
import { mcpSelectors, pathSelectors } from '../../src/policy/selectors/selector-types.ts';
import { root } from '../house/source.ts';

const page = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
const example = readFileSync(join(root, 'gateway.example.yaml'), 'utf8');
const reference = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const tables = [
  { file: 'src/authn/authenticator-types.ts', name: 'authenticatorTypes', missing: /schema, check, create/ },
  { file: 'src/policy/selectors/selector-types.ts', name: 'shared', missing: /keys, compile, had, covers/ },
  { file: 'src/audit/sinks/sink-types.ts', name: 'sinkTypes', missing: /schema, key, create/ },
  {
    file: 'src/cli/program.ts',
    name: 'commands',
    missing: /does, load/,
  },
];

t.test('every file that CONTRIBUTING names exists', (t) => {
  const paths = [...page.matchAll(/`((?:src|test|docs|deploy)\/[\w./-]+|[\w.]+\.(?:md|yaml|json))`/g)].map(
    ([, path]) => path!,
  );
  t.ok(paths.length > 15, `${paths.length} paths`);
  for (const path of paths) t.ok(existsSync(join(root, path)), path);
  for (const { file, name } of tables) t.ok(page.includes(`\`${name}\` in \`${file}\``), name);
  t.end();
});

t.test('the compiler refuses a row that misses a part', (t) => {
  const good = compile(new Map());
  const bad = compile(
    new Map(tables.map(({ file, name }) => [file, withRow(name, readFileSync(join(root, file), 'utf8'))])),
  );
  for (const { file, name, missing } of tables) {
    t.same(good.get(file), [], `${name} compiles as it is`);
    t.match(bad.get(file)?.join('\n'), missing, `${name} with an empty row`);
  }
  t.end();
});

t.test('every row is in the example and in the reference', (t) => {
  for (const type of Object.keys(authenticatorTypes)) {
    t.match(example, `type: ${type}`);
    t.match(reference, `### \`type: ${type}\``);
  }
  for (const type of Object.keys(sinkTypes)) {
    t.match(example, `type: ${type}`);
    t.match(reference, `\`type: ${type}\``);
  }
  for (const selector of Object.keys({ ...mcpSelectors.shape, ...pathSelectors.shape })) {
    t.match(example, `${selector}:`);
    t.match(reference, `\`${selector}\``);
  }
  for (const command of Object.keys(commands)) t.match(readme, `| \`portcullis ${command}`);
  t.end();
});

t.test('a command has the name of its row', async (t) => {
  for (const [name, command] of Object.entries(commands)) t.equal((await command.load()).name(), name);
});

/** The table with one row more, which is empty. */
function withRow(name: string, text: string): string {
  const changed = text.replace(
    new RegExp(`(const ${name} = \\{[\\s\\S]*?),?\\s*\\} satisfies`),
    '$1, incomplete: {} } satisfies',
  );
  if (changed === text) throw new Error(`no table ${name}`);
  return changed;
}

/** What the compiler says of each file of the tables, with some files replaced. */
function compile(replaced: ReadonlyMap<string, string>): Map<string, string[]> {
  const readFile = (path: string) => replaced.get(path.slice(root.length + 1));
  const api = new API({ cwd: root, fs: { readFile } });
  try {
    const config = join(root, 'tsconfig.json');
    const { program } = api.updateSnapshot({ openProjects: [config] }).getProjects()[0]!;
    return new Map(
      tables.map(({ file }) => [file, program.getSemanticDiagnostics(join(root, file)).map(({ text }) => text)]),
    );
  } finally {
    api.close();
  }
}
