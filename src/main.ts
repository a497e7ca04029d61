#!/usr/bin/env node
// Program entry. The Node version is checked before any import, so that an old one ends with one clear line.

const major = Number(process.versions.node.split('.')[0]);
if (major < 22) {
  // To be pasted into a shell: what is no plain word is quoted, and nothing reaches the terminal as a control character.
  const quoted = (word: string) => {
    if (/^[\w./:=@%+,-]+$/.test(word)) return word;
    if (!/[\p{C}\p{Zl}\p{Zp}]/u.test(word)) return `'${word.replaceAll("'", `'\\''`)}'`;
    const escaped = word.replace(/[\\']|[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
      /[\\']/.test(character) ? `\\${character}` : `\\U${character.codePointAt(0)!.toString(16).padStart(8, '0')}`,
    );
    return `$'${escaped}'`;
  };
  const words = process.argv.length > 2 ? process.argv.slice(2) : ['--help'];
  process.stderr.write(`portcullis: needs Node.js 24.17 or later (or 22.23); this is ${process.versions.node}
npx can bring one: npx -p node@24 -p mcp-portcullis portcullis ${words.map(quoted).join(' ')}\n`);
  process.exitCode = 2;
} else {
  const { enableCompileCache, flushCompileCache } = await import('node:module');
  // Compiled code is believed, so it lies where only those write who may write the program. Where nobody may, nothing is kept.
  enableCompileCache?.(`${import.meta.dirname}/../node_modules/.cache/portcullis`);
  const { catchSignals } = await import('./cli/signals.ts');
  // Before the modules are loaded, which takes a while.
  const signals = process.argv[2] === 'serve' ? catchSignals() : undefined;
  const { runProgram } = await import('./cli/program.ts');
  await runProgram(process.argv, signals);
  // Node writes it at a clean exit only, and a gateway may be killed. Later, so that the start does not pay for it.
  setTimeout(() => flushCompileCache?.(), 10_000).unref();
}

export {};
