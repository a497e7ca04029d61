// Replacement of files: what a target keeps, which targets are refused, and what is left beside them.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { replaceFile } from '../../src/replace-file.ts';

const text = (path: string) => fs.readFileSync(path, 'utf8');

t.test('a new file has the mode that is given, an existing one keeps its own', async (t) => {
  const directory = t.testdir({ old: 'before' });
  fs.chmodSync(join(directory, 'old'), 0o640);
  await replaceFile(join(directory, 'old'), 'after', 0o600);
  await replaceFile(join(directory, 'new'), 'after', 0o666);
  t.equal(fs.statSync(join(directory, 'old')).mode & 0o777, 0o640);
  t.equal(fs.statSync(join(directory, 'new')).mode & 0o777, 0o666, 'whatever the umask');
  t.strictSame([text(join(directory, 'old')), text(join(directory, 'new'))], ['after', 'after']);
  t.strictSame(fs.readdirSync(directory).sort(), ['new', 'old']);
});

t.test('a symbolic link stays one: to a file, to another link, and to a file that is not there yet', async (t) => {
  for (const content of ['before', undefined]) {
    const directory = t.testdir({ real: {}, links: { one: t.fixture('symlink', 'two') } });
    const target = join(directory, 'real/target');
    if (content !== undefined) fs.writeFileSync(target, content);
    fs.symlinkSync('../real/target', join(directory, 'links/two'));
    await replaceFile(join(directory, 'links/one'), 'after');
    t.equal(text(target), 'after');
    t.strictSame(fs.readlinkSync(join(directory, 'links/one')), 'two');
    t.strictSame(fs.readlinkSync(join(directory, 'links/two')), '../real/target');
    t.strictSame(fs.readdirSync(join(directory, 'links')), ['one', 'two']);
    t.strictSame(fs.readdirSync(join(directory, 'real')), ['target']);
  }
});

t.test('a dangling link through a linked directory means what the system makes of it', async (t) => {
  const directory = t.testdir({ deep: { real: {} }, linked: t.fixture('symlink', 'deep/real') });
  fs.symlinkSync('../target', join(directory, 'deep/real/link'));
  await replaceFile(join(directory, 'linked/link'), 'after');
  t.equal(text(join(directory, 'deep/target')), 'after');
});

t.test('what cannot be replaced is an error that leaves everything as it was', async (t) => {
  // No temporary name beside it is short enough.
  const long = 'x'.repeat(250);
  const directory = t.testdir({ folder: { inside: '' }, [long]: 'before' });
  fs.symlinkSync('loop', join(directory, 'loop'));
  fs.symlinkSync('nowhere/target', join(directory, 'away'));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  const before = fs.readdirSync(directory);
  await t.rejects(replaceFile(join(directory, 'folder'), 'x'), { message: /folder is not a regular file$/ });
  await t.rejects(replaceFile(join(directory, 'pipe'), 'x'), { message: /pipe is not a regular file$/ });
  await t.rejects(replaceFile(join(directory, 'loop'), 'x'), { code: 'ELOOP' });
  await t.rejects(replaceFile(join(directory, 'away'), 'x'), { code: 'ENOENT' });
  await t.rejects(replaceFile(join(directory, long), 'after'), { code: 'ENAMETOOLONG' });
  t.equal(text(join(directory, long)), 'before');
  t.strictSame(fs.readdirSync(directory), before);
});

t.test('what a killed process left goes; what another one writes, or is called like it, stays', async (t) => {
  const directory = t.testdir({});
  const target = join(directory, 'audit.head');
  // Above the highest number that Linux gives.
  const dead = 9_999_999;
  const hex = '0123456789ab';
  const stale = [`.audit.head.${dead}.${hex}`, `.audit.head.${process.pid}.${hex}`];
  const kept = [
    `.audit.head.${process.ppid}.${hex}`,
    `.audit.head.${dead}.ffffffffffff`,
    `.audit.head.${hex}`,
    `.other.head.${dead}.${hex}`,
  ];
  for (const name of [...stale, ...kept]) fs.writeFileSync(join(directory, name), '');
  for (const name of [...stale, kept[0]!, kept[2]!, kept[3]!]) fs.utimesSync(join(directory, name), 0, 0);
  await replaceFile(target, 'x');
  t.strictSame(fs.readdirSync(directory).sort(), [...kept, basename(target)].sort());
});

t.test('several at once, of one target: one of them stands there, whole', async (t) => {
  const directory = t.testdir({});
  const contents = ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => letter.repeat(100_000));
  await Promise.all(contents.map((content) => replaceFile(join(directory, 'target'), content)));
  t.ok(contents.includes(text(join(directory, 'target'))));
  t.strictSame(fs.readdirSync(directory), ['target']);
});
