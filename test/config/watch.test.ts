// The file watch: changes, removals and swapped links.
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stampOf } from '../../src/config/files/files.ts';
import { type FileWatch, watchFiles } from '../../src/config/watch.ts';

interface Observed {
  readonly watch: FileWatch;
  /** Looks once, this many milliseconds later, and yields how often `onChange` has been called in all. */
  after(ms: number): Promise<number>;
}

/** The stamps of files as they are now. */
async function stampsOf(...paths: string[]): Promise<Map<string, string>> {
  return new Map(await Promise.all(paths.map(async (path) => [path, await stampOf(path)] as const)));
}

/** A watch of the file as it is now, on a clock of its own, that looks only when told to. */
async function observe(t: Test, file: string): Promise<Observed> {
  let time = 0;
  let calls = 0;
  const watch = watchFiles(await stampsOf(file), () => calls++, { quietMs: 1000, intervalMs: 0, now: () => time });
  t.teardown(() => watch.close());
  return {
    watch,
    async after(ms) {
      time += ms;
      await watch.poll();
      return calls;
    },
  };
}

t.test('a change is reported once, when nothing has changed for the quiet time', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const { after } = await observe(t, file);
  t.equal(await after(5000), 0, 'nothing has changed');
  writeFileSync(file, 'three');
  t.equal(await after(500), 0);
  writeFileSync(file, 'seventy');
  t.equal(await after(900), 0, 'changed again');
  t.equal(await after(999), 0, 'still for less than a second');
  t.equal(await after(1), 1);
  t.equal(await after(5000), 1, 'not again');
});

t.test('every way in which a file changes is seen', async (t) => {
  const ways: Record<string, (folder: string) => void> = {
    'another size': (folder) => writeFileSync(join(folder, 'a'), 'longer'),
    'another time': (folder) => utimesSync(join(folder, 'a'), 1, 1),
    'a rename over it': (folder) => {
      writeFileSync(join(folder, 'b'), 'one');
      utimesSync(join(folder, 'b'), 1000, 1000);
      renameSync(join(folder, 'b'), join(folder, 'a'));
    },
    removal: (folder) => rmSync(join(folder, 'a')),
    'a folder in its place': (folder) => {
      rmSync(join(folder, 'a'));
      mkdirSync(join(folder, 'a'));
    },
  };
  for (const [name, change] of Object.entries(ways)) {
    const folder = t.testdir({ a: 'one' });
    utimesSync(join(folder, 'a'), 1000, 1000);
    const { after } = await observe(t, join(folder, 'a'));
    change(folder);
    t.equal(await after(0), 0, name);
    t.equal(await after(1000), 1, name);
  }
});

t.test('removal and re-creation are two changes, or one when they come together', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const { after } = await observe(t, file);
  rmSync(file);
  await after(0);
  t.equal(await after(1000), 1);
  writeFileSync(file, 'one');
  await after(0);
  t.equal(await after(1000), 2);
  rmSync(file);
  await after(0);
  writeFileSync(file, 'two');
  await after(500);
  t.equal(await after(1000), 3);
});

t.test('the swap of a link to a folder is seen, as Kubernetes renews secrets', async (t) => {
  const folder = t.testdir({ '..1': { 'tls.crt': 'one' }, '..2': { 'tls.crt': 'two' } });
  symlinkSync('..1', join(folder, '..data'));
  symlinkSync(join('..data', 'tls.crt'), join(folder, 'tls.crt'));
  const stamp = new Date(0);
  for (const version of ['..1', '..2']) utimesSync(join(folder, version, 'tls.crt'), stamp, stamp);
  const { after } = await observe(t, join(folder, 'tls.crt'));
  symlinkSync('..2', join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  await after(0);
  t.equal(await after(1000), 1);
});

t.test('a change between the stamp and the first look is seen', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const { after } = await observe(t, file);
  writeFileSync(file, 'changed before anybody looked');
  t.equal(await after(5000), 0, 'it may still be written');
  t.equal(await after(1000), 1);
});

t.test(
  'other files are followed from their stamps, also in the middle of a look, and those before no more',
  async (t) => {
    const folder = t.testdir({ a: 'one', b: 'one' });
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    const { watch, after } = await observe(t, a);
    const read = await stampsOf(b);
    writeFileSync(b, 'changed since');
    const looking = watch.poll();
    watch.follow(read);
    await looking;
    writeFileSync(a, 'not watched any more');
    t.equal(await after(0), 0);
    t.equal(await after(1000), 1);
    t.equal(await after(1000), 1);
  },
);

t.test('what was read anew is no change', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const { watch, after } = await observe(t, file);
  writeFileSync(file, 'two two');
  await after(0);
  watch.follow(await stampsOf(file));
  t.equal(await after(5000), 0);
});

t.test('after close nothing is reported', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const { watch, after } = await observe(t, file);
  writeFileSync(file, 'two two');
  await after(0);
  watch.close();
  t.equal(await after(5000), 0);
});

t.test('a timer looks by itself', async (t) => {
  const file = join(t.testdir({ a: 'one' }), 'a');
  const stamps = await stampsOf(file);
  const changed = new Promise<void>((resolve) => {
    const watch = watchFiles(stamps, resolve, { quietMs: 1, intervalMs: 5 });
    t.teardown(() => watch.close());
    writeFileSync(file, 'changed');
  });
  // Unreferenced timers do not keep the process alive by themselves.
  const alive = setInterval(() => {}, 1000);
  await changed;
  clearInterval(alive);
});
