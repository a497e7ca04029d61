// Every command in README.md and docs is run, page by page, and prints what the page shows; or a table says which test holds it.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Block, blocksOf, firstLine, pages } from './blocks.ts';
import { folderFor } from './folder.ts';
import { elsewhere, paths, scenes } from './scenes.ts';
import { expectingNo, runShell, shows } from './shell.ts';

const root = join(import.meta.dirname, '../..');
/** `sh` is run; the others are shown or checked as what they are. */
const languages = ['sh', 'text', 'yaml', 'json', 'ini', 'mermaid'];

const isElsewhere = (block: Block) =>
  elsewhere.some(([page, beginning]) => page === block.page && firstLine(block).startsWith(beginning));

test('every fence says what it holds', () => {
  const unclear = pages
    .flatMap(blocksOf)
    .filter(({ language }) => !languages.includes(language))
    .map(({ page, line, language }) => `${page}:${line} ${language}`);
  assert.deepEqual(unclear, []);
});

test('every row of the table is a block of its page and names a test that exists', () => {
  for (const [page, line, why, heldBy] of elsewhere) {
    assert.ok(
      blocksOf(page).some((block) => firstLine(block).startsWith(line)),
      `${page}: ${line}`,
    );
    assert.ok(why.length > 0);
    const scripts = (
      JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    ).scripts;
    assert.ok(heldBy.startsWith('npm run ') ? heldBy.slice(8) in scripts : existsSync(join(root, heldBy)), heldBy);
  }
});

for (const page of pages) {
  const blocks = blocksOf(page).filter((block) => block.language === 'sh' && !isElsewhere(block));
  if (blocks.length === 0) continue;
  test(`the ${blocks.length} blocks of ${page} do what it says`, { timeout: 300_000 }, async (t) => {
    const makeScene = scenes[page];
    assert.ok(makeScene, `${page}:${blocks[0]!.line} has a block that is run, and no scene in test/docs/scenes.ts`);
    const folder = folderFor(t);
    const { env = {}, before = {}, no = [], close } = await makeScene(folder);
    if (close) t.after(close);
    for (const line of Object.keys(before))
      assert.ok(
        blocks.some((block) => firstLine(block) === line),
        `no block begins so: ${line}`,
      );
    const scripts = blocks.map((block) => {
      const text = expectingNo(block.text, no);
      return paths.reduce((script, [from, to]) => script.replaceAll(from, to), text);
    });
    const prepared = blocks.map((block) => before[firstLine(block)] ?? '');
    const { code, stderr, outputs } = await runShell(
      folder,
      scripts.flatMap((script, index) => [prepared[index]!, script]),
      env,
    );
    const last = blocks[Math.floor((outputs.length - 1) / 2)]!;
    assert.equal(code, 0, `${page}:${last.line} ended with ${code}\n${stderr}\n${outputs.at(-1)?.slice(-2000)}`);
    for (const [index, block] of blocks.entries()) {
      const { next } = block;
      if (next?.language !== 'text') continue;
      const output = outputs[index * 2 + 1]!;
      assert.ok(shows(output, next.text), `${page}:${next.line} shows\n${next.text}\nand it prints\n${output}`);
    }
  });
}

test('an output that differs in more than figures, times and hashes is not the one that is shown', () => {
  assert.ok(shows('file: valid: 7 records\nPROVED: at 2026-11-28T17:00:00.003Z\n', 'file: valid: 4811 records\n…'));
  assert.ok(!shows('file: broken: 7 records\n', 'file: valid: 7 records'));
  assert.ok(!shows('second\nfirst\n', 'first\nsecond'));
});

test('a command that should say no and does not, or that fails without being meant to, is a failure of the page', async (t) => {
  const folder = folderFor(t);
  assert.equal((await runShell(folder, [expectingNo('false', ['false'])], {})).code, 0);
  assert.equal((await runShell(folder, [expectingNo('true', ['true'])], {})).code, 99);
  const { code, outputs } = await runShell(folder, ['echo one', 'false', 'echo three'], {});
  assert.equal(code, 1);
  assert.deepEqual(outputs, ['one\n', '']);
});
