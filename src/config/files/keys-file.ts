// `keysFile` of API key authenticators: a YAML list of keys, merged into `keys`, with problems placed in that file.
import { dirname, join, relative } from 'node:path';
import * as z from 'zod';
import { type ApiKeyEntry, apiKeyEntry } from '../../authn/api-key.ts';
import type { Draft, Findings, Where } from '../checks/context.ts';
import { type Interpolated, interpolate } from '../interpolate.ts';
import { ConfigError } from '../problem.ts';
import type { Path } from '../schema/reporter.ts';
import { validPart } from '../valid-part.ts';
import { type LocatedYaml, parseLocatedYaml } from '../yaml.ts';
import type { FileReader } from './files.ts';

const keyList = z.array(apiKeyEntry);

/** Options of `readKeysFiles`. */
export interface KeysFileOptions {
  readonly env: NodeJS.ProcessEnv;
  /** The folder of the configuration, absolute. */
  readonly folder: string;
  /** The same folder as the operator named it; problems name the keys file from there. */
  readonly named: string;
  readonly reader: FileReader;
}

/** The place of the key at an index of an authenticator's merged `keys`. */
export type PlaceOfKey = (authenticator: string, index: number) => Where;

/** The draft with the keys of its keys files; `secrets` and `variables` are those of all keys files. */
export interface MergedKeys extends Pick<Interpolated, 'secrets' | 'variables'> {
  readonly draft: Draft;
  readonly placeOf: PlaceOfKey;
}

interface KeysFile extends Pick<Interpolated, 'secrets' | 'variables'> {
  readonly document: LocatedYaml;
  readonly keys: readonly ApiKeyEntry[];
  /** Of each key, in the file. */
  readonly paths: readonly Path[];
}

/** Reads every keys file that could be read as a file; the reader knows which. Problems go to `findings`. */
export async function readKeysFiles(draft: Draft, options: KeysFileOptions, findings: Findings): Promise<MergedKeys> {
  const authenticators = { ...draft.authenticators };
  const fromFile = new Map<string, KeysFile & { readonly after: number }>();
  for (const [name, config] of Object.entries(authenticators)) {
    if (config.type !== 'apiKey' || config.keysFile === undefined) continue;
    const content = options.reader.files.get(config.keysFile);
    if (content === undefined) continue;
    const list = await readKeysFile(config.keysFile, content, options, findings);
    if (list === undefined) continue;
    const own = config.keys ?? [];
    fromFile.set(name, { ...list, after: own.length });
    authenticators[name] = { ...config, keys: [...own, ...list.keys] };
  }
  return {
    draft: draft.authenticators === undefined ? draft : { ...draft, authenticators },
    secrets: [...fromFile.values()].flatMap(({ secrets }) => secrets),
    variables: new Map([...fromFile.values()].flatMap(({ variables }) => [...variables])),
    placeOf(name, index) {
      const file = fromFile.get(name);
      if (file === undefined || index < file.after) return ['authenticators', name, 'keys', index];
      return { document: file.document, path: file.paths[index - file.after] ?? [] };
    },
  };
}

async function readKeysFile(
  path: string,
  content: Buffer,
  options: KeysFileOptions,
  findings: Findings,
): Promise<KeysFile | undefined> {
  const document = parse(join(options.named, relative(options.folder, path)), content, findings);
  if (document === undefined) return undefined;
  findings.problems.push(...document.problems);
  const filled = await interpolate(document.value, {
    env: options.env,
    folder: dirname(path),
    reader: options.reader,
    report(where, message) {
      findings.problems.push(document.problem(where, message));
      return undefined;
    },
  });
  const { value: keys = [], problems, originalPath } = validPart(keyList, filled.tree, keyList);
  findings.problems.push(...problems.map(({ path: where, message, at }) => document.problem(where, message, at)));
  const { secrets, variables } = filled;
  return { document, keys, paths: keys.map((_, index) => originalPath([index])), secrets, variables };
}

function parse(file: string, content: Buffer, findings: Findings): LocatedYaml | undefined {
  try {
    return parseLocatedYaml(file, content);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    findings.problems.push(...error.problems);
    return undefined;
  }
}
