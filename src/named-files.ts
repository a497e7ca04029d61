// Files named by the configuration: their content, and the results of parsers.

/** Content by absolute path. */
export interface NamedFiles extends ReadonlyMap<string, Buffer> {
  /** The result of `parser`, which is called once for each file. Throws what it throws, and an Error for a file that was not read. */
  parse<T>(path: string, parser: (content: Buffer) => T): T;
}

type Parser = (content: Buffer) => unknown;

/** `contents` may still grow; a file that is in it stays as it is. */
export function createNamedFiles(contents: ReadonlyMap<string, Buffer>): NamedFiles {
  const results = new Map<Parser, Map<string, { readonly result: unknown }>>();
  const parse = <T>(path: string, parser: (content: Buffer) => T): T => {
    const known = results.get(parser)?.get(path);
    if (known !== undefined) return known.result as T;
    const content = contents.get(path);
    if (content === undefined) throw new Error('the file was not read');
    const result = parser(content);
    results.set(parser, (results.get(parser) ?? new Map()).set(path, { result }));
    return result;
  };
  return Object.assign(contents, { parse });
}
