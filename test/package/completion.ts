// Completion of command lines by the real bash, zsh and fish, each with the script that the installed package prints.
import { strict as assert } from 'node:assert';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { vocabularyOf } from '../../src/cli/completion/vocabulary.ts';
import { wholeProgram } from '../../src/cli/program.ts';
import { type Offer, shellsIn } from './shells.ts';

const route = '$(touch ran)';
const files: Readonly<Record<string, string>> = {
  'gate way.yaml': `routes: [{name: superset-mcp, path: /mcp, mcp: {}}, {name: rest, path: /api/*}, {path: /two, mcp: {}}, {name: "${route}", path: /3, mcp: {}}]\n`,
  'gateway.yaml': 'routes: [{name: one, path: /mcp, mcp: {}}]\n',
  'cases.yaml': '',
};

/** Lines of arguments, files and routes, and the words that are offered. Commands and options are those of the program. */
const lines: Readonly<Record<string, readonly string[]>> = {
  'portcullis ch': ['check'],
  'portcullis keys help ro': ['rotate'],
  'portcullis help who': ['who-can'],
  'portcullis unknown ': [],
  'portcullis check --format ': ['github', 'json', 'sarif', 'text'],
  'portcullis check --format=': ['github', 'json', 'sarif', 'text'],
  'portcullis completion ': ['bash', 'fish', 'zsh'],
  'portcullis check -c ': ['cases.yaml', 'gate way.yaml', 'gateway.yaml', 'pki/'],
  'portcullis check --config=c': ['cases.yaml'],
  'portcullis serve -c gate': ['gate way.yaml', 'gateway.yaml'],
  'portcullis test c': ['cases.yaml'],
  'portcullis certs list --ca ': ['pki/'],
  'portcullis explain -c gate\\ way.yaml --route ': [route, '/two', 'superset-mcp'],
  'portcullis explain --config="gate way.yaml" --route s': ['superset-mcp'],
  'portcullis explain -cgateway.yaml --route ': ['one'],
  'portcullis explain -c ~/gateway.yaml --route=': ['one'],
  'portcullis explain -c none.yaml --route ': [],
};

/** `bin` is the installed command, in a folder that the shells find it by. `folder` is empty. */
export async function checkCompletion(bin: string, folder: string): Promise<void> {
  const home = join(folder, 'home');
  mkdirSync(join(home, 'pki'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(home, name), text);
  const expected = [
    ...Object.entries(lines).map(([line, words]) => [line, words.map(alone)] as const),
    ...(await own()),
  ];
  const shells = shellsIn({ folder, home, path: `${dirname(bin)}:${process.env.PATH}` });
  for (const [shell, tab] of Object.entries(shells)) {
    const offered = await tab(expected.map(([line]) => line));
    for (const [index, [line, offers]] of expected.entries()) {
      const found = offered[index]!;
      assert.deepEqual(wordsOf(found), wordsOf(offers), `${shell}: ${line}`);
      // bash shows no descriptions, and none is shown of a single word.
      const described = new Map(shell === 'bash' || found.length < 2 ? [] : found);
      for (const [word, does] of offers) {
        if (does !== undefined && described.size > 0)
          assert.equal(described.get(word), does, `${shell}: ${line}${word}`);
      }
    }
    assert.ok(!existsSync(join(home, 'ran')), `${shell} does not run the name of a route`);
  }
  console.log(`package: ${expected.length} lines completed in ${Object.keys(shells).join('; ')}`);
}

/** The commands of the program and of each group, and the options of each command. */
async function own(): Promise<readonly (readonly [line: string, offers: readonly Offer[]])[]> {
  return vocabularyOf(await wholeProgram()).flatMap(({ options, path, subcommands }) => {
    const line = `portcullis ${path}`.trim();
    const commands = subcommands.map(({ does, name }): Offer => [name, does]);
    const flags = options.map(({ does, flags }): Offer => [flags.at(-1)!, does]);
    return [[`${line} `, commands] as const, [`${line} --`, flags] as const].filter(([, offers]) => offers.length > 0);
  });
}

const alone = (word: string): Offer => [word, undefined];

function wordsOf(offers: readonly Offer[]): readonly string[] {
  return offers.map(([word]) => word).sort();
}
