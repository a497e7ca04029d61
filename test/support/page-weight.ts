// Weight of a page of the console: the document and all of its files, uncompressed.
import type { Test } from 'tap';
import { until } from './until.ts';

/** Asks for a page until it is worked out, asserts that it weighs less than 100 KB, and gives its text. */
export type Weigh = (t: Test, path: string) => Promise<string>;

/** Creates the scale for the pages of a gateway. */
export function createScale(admin: (path: string) => Promise<Response>): Weigh {
  const files = new Map<string, number>();
  return async (t, path) => {
    let text = '';
    const isWorkedOut = async () => {
      const response = await admin(path);
      text = await response.text();
      return response.status !== 503 && !text.includes('worked out between requests');
    };
    await until(isWorkedOut, path, 100_000);
    let bytes = Buffer.byteLength(text);
    for (const file of new Set(text.match(/\/assets\/[\w.-]+/g))) {
      if (!files.has(file)) files.set(file, (await (await admin(file)).arrayBuffer()).byteLength);
      bytes += files.get(file)!;
    }
    t.ok(bytes < 100_000, `${path}: ${bytes} bytes`);
    return text;
  };
}

/** The addresses that links of a text lead to. */
export function linksIn(text: string, attributes = ''): string[] {
  const links = text.matchAll(new RegExp(`<a (?:class="button" )?href="(/[^"]*)"${attributes}`, 'g'));
  return [...links].map(([, href]) => href!.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))));
}
