// Interpolation of `${env:NAME}` and `${file:path}` in string values. Inserted values are secrets, which no message shows.
import { resolve } from 'node:path';
import type { FileReader } from './files/files.ts';
import type { Path } from './schema/reporter.ts';
import { mapStrings } from './tree.ts';

/** The tree with its interpolated values. */
export interface Interpolated {
  readonly tree: unknown;
  /** The values that were put in; empty ones left out. */
  readonly secrets: readonly string[];
  /** The environment variables that were used, with their values. */
  readonly variables: ReadonlyMap<string, string>;
}

/** Options of `interpolate`. */
export interface InterpolateOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Relative file names start here. */
  readonly folder: string;
  readonly reader: FileReader;
  /** Yields a value for its place, if there is one. */
  readonly report: (path: Path, message: string) => string | undefined;
  /** True for a string that is a template of another kind, which is left as it is; default none is. */
  readonly isTemplate?: (path: Path) => boolean;
}

/** `$${` first, so that it escapes; then a reference, complete or not. */
const reference = /\$\$\{|\$\{([^}]*)\}|\$\{/g;

/** Puts the values in. Missing variables and unreadable files are reported, and leave nothing in their place. */
export async function interpolate(tree: unknown, options: InterpolateOptions): Promise<Interpolated> {
  const contents = await readReferencedFiles(tree, options);
  const variables = new Map<string, string>();
  const secrets = new Set<string>();
  const replacement = (body: string | undefined, path: Path): string => {
    const value = lookUp(body, contents, options.env);
    if (value instanceof Error) return options.report(path, value.message) ?? '';
    if (body?.startsWith('env:')) variables.set(body.slice(4), value);
    if (value !== '') secrets.add(value);
    return value;
  };
  const changed = mapStrings(tree, (text, path) =>
    text.includes('${') && options.isTemplate?.(path) !== true
      ? text.replace(reference, (whole, body?: string) => (whole === '$${' ? '${' : replacement(body, path)))
      : text,
  );
  return { tree: changed, secrets: [...secrets], variables };
}

function lookUp(
  body: string | undefined,
  contents: ReadonlyMap<string, string | Error>,
  env: NodeJS.ProcessEnv,
): string | Error {
  if (body?.startsWith('file:') && body.length > 5) return contents.get(body.slice(5))!;
  const name = /^env:([A-Za-z_][A-Za-z0-9_]*)$/.exec(body ?? '')?.[1];
  if (name === undefined) {
    return new Error(`only \${env:NAME} and \${file:path} are interpolated; write $\${ for a literal \${`);
  }
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  return value ?? new Error(`the environment variable ${name} is not set`);
}

async function readReferencedFiles(
  tree: unknown,
  options: InterpolateOptions,
): Promise<ReadonlyMap<string, string | Error>> {
  const names = new Set<string>();
  mapStrings(tree, (text, path) => {
    if (options.isTemplate?.(path) === true) return text;
    for (const [whole, body] of text.matchAll(reference)) {
      if (whole !== '$${' && body?.startsWith('file:') && body.length > 5) names.add(body.slice(5));
    }
    return text;
  });
  const contents = new Map<string, string | Error>();
  for (const name of names) contents.set(name, await readText(name, options));
  return contents;
}

async function readText(name: string, options: InterpolateOptions): Promise<string | Error> {
  try {
    const content = await options.reader.read(resolve(options.folder, name));
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content).replace(/\r?\n$/, '');
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : (error as Error).message;
    return new Error(`cannot read ${JSON.stringify(name)}: ${reason}`);
  }
}
