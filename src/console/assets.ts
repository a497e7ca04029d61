// Static files of the console, addressed by their content: they never change, so browsers keep them.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file as it is served. */
export interface Asset {
  readonly type: string;
  readonly etag: string;
  readonly content: Buffer;
}

/** The files by name and by path. */
export interface Assets {
  /** The path of a file by its name, such as `console.css`. Throws for a name that does not exist. */
  path(name: string): string;
  /** The file that a path names. */
  at(path: string): Asset | undefined;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Reads the files of `assets/` and those of uPlot, of which a script is a plain one with the global `uPlot`. */
export function readAssets(): Assets {
  const folder = new URL('./assets/', import.meta.url);
  const require = createRequire(import.meta.url);
  const files = new Map(readdirSync(folder).map((name) => [name, fileURLToPath(new URL(name, folder))]));
  files.set('uplot.js', require.resolve('uplot/dist/uPlot.iife.min.js'));
  files.set('uplot.css', require.resolve('uplot/dist/uPlot.min.css'));
  const paths = new Map<string, string>();
  const assets = new Map<string, Asset>();
  for (const [name, file] of files) {
    const extension = extname(name);
    const type = types[extension];
    if (type === undefined) continue;
    const content = readFileSync(file);
    const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
    const path = `/assets/${name.slice(0, -extension.length)}.${hash}${extension}`;
    paths.set(name, path);
    assets.set(path, { type, content, etag: `"${hash}"` });
  }
  return {
    at: (path) => assets.get(path),
    path(name) {
      const path = paths.get(name);
      if (path === undefined) throw new Error(`src/console/assets has no file ${name}`);
      return path;
    },
  };
}
