// Loading of the configuration: YAML, interpolation, schema, named files, checks across keys. All problems are reported at once.
import { hash } from 'node:crypto';
import { dirname, join, relative, resolve } from 'node:path';
import type { z } from 'zod';
import { withIssuerPresets } from '../authn/token/issuer-presets.ts';
import type { NamedFiles } from '../named-files.ts';
import { type Egress, egressOf } from '../oauth/egress.ts';
import {
  type CheckContext,
  type ContextOptions,
  createCheckContext,
  type Draft,
  type Findings,
} from './checks/context.ts';
import { type Checked, runChecks } from './checks/run.ts';
import { checkEgress } from './checks/server.ts';
import { isUsername } from './checks/upstream-identity.ts';
import { checkCatalogFiles } from './files/catalog-file.ts';
import { readNamedFiles, withAbsolutePaths } from './files/file-paths.ts';
import { createFileReader, type FileReader, type ReadFile, readRegularFile, stampOf } from './files/files.ts';
import { readKeysFiles } from './files/keys-file.ts';
import { type LoadedRevocations, loadRevocations, type RevocationOptions } from './files/revocation-file.ts';
import type { StandIns } from './files/stand-ins.ts';
import { type Interpolated, interpolate } from './interpolate.ts';
import { separateLaterKeys } from './later-keys.ts';
import { ConfigError, inOrder, type Problem } from './problem.ts';
import { type Config, fileSchema, withResources } from './schema/config.ts';
import type { Path } from './schema/reporter.ts';
import { validPart } from './valid-part.ts';
import { type LocatedYaml, parseLocatedYaml } from './yaml.ts';

export { ConfigError, formatProblem, type Problem } from './problem.ts';

const maxConfigBytes = 1024 * 1024;
const partialSchema = fileSchema.partial();

/** One immutable reading of the configuration. Nothing else reads the files it names. */
export interface LoadedConfig extends Checked {
  /** Absolute path of the YAML file. */
  readonly file: string;
  /** Names, routes' resources and defaults filled in; paths absolute; keys of `keysFile` merged into `keys`. */
  readonly config: Config;
  /** SHA-256 in hex over the YAML bytes, the named files and digests of the environment variables used. */
  readonly hash: string;
  readonly files: NamedFiles;
  /** The proxies to authorization servers. */
  readonly egress: Egress;
  readonly warnings: readonly Problem[];
  /** The list of `revocation.file` as it was then; undefined where there is no such key. */
  readonly revocations: LoadedRevocations | undefined;
  /** Undefined where there is no such key. Its file and those that it names are no part of the hash. */
  readonly shadow: LoadedShadow | undefined;
}

/** The configuration that `shadow.file` names. */
export interface LoadedShadow {
  /** Absolute path. */
  readonly file: string;
  /** Or the problem of a file whose last good state is in force. */
  readonly loaded: LoadedConfig | Error;
}

/** Options of `loadConfig`. */
export interface LoadOptions extends Pick<RevocationOptions, 'revocationsInForce' | 'revocationsMayBeMissing'> {
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds since 1970, for warnings about what has expired. */
  readonly now?: () => number;
  /** The absolute path of the shadow in force; while that file is bad, its last good state goes on. */
  readonly shadowInForce?: string | undefined;
  /**
   * Takes the stamp of every file on which the outcome depends, from before it is read, whatever the outcome: a file with another stamp may change it.
   * A revocation list is among them only where it is what is refused: it is watched apart, and `revocations` has its stamp.
   */
  readonly stamps?: Map<string, string>;
  /** Reads each file but the revocation list; from the disk by default. */
  readonly readFile?: ReadFile | undefined;
  /** For a review of the policy; without it what is not at hand is a problem. */
  readonly standIns?: StandIns | undefined;
}

/** Loads and checks the file. Throws a ConfigError with every problem; after a YAML syntax error with that one. */
export function loadConfig(file: string, options: LoadOptions): Promise<LoadedConfig> {
  return load(file, options, loadShadow);
}

async function load(file: string, options: LoadOptions, openShadow: typeof loadShadow): Promise<LoadedConfig> {
  const absolute = resolve(file);
  const folder = dirname(absolute);
  const { readFile = readRegularFile, stamps = new Map<string, string>() } = options;
  stamps.set(absolute, await stampOf(absolute));
  const content = await readConfigFile(file, absolute, readFile);
  const document = parseLocatedYaml(file, content);
  const findings: Findings = { problems: [...document.problems], warnings: [] };
  const reader = createFileReader(stamps, readFile);

  const { standIns } = options;
  const values = await readValues(document, findings, { env: options.env, folder, reader, standIns });
  const parsed = parseShape(values, document, findings);
  const keysOptions = { env: options.env, folder, named: dirname(file), reader };
  const keys = await readKeysFiles(parsed.draft, keysOptions, findings);
  const now = (options.now ?? Date.now)();
  const revocationOptions = { ...options, folder, named: dirname(file), now, stamps };
  const revocations = await loadRevocations(parsed.draft, revocationOptions, findings, (reason) =>
    standIns === undefined
      ? findings.problems.push(document.problem(['revocation', 'file'], `cannot read the file: ${reason}`))
      : standIns.used(['revocation', 'file']),
  );
  checkCatalogFiles(keys.draft, { folder, named: dirname(file), files: reader.files }, findings);
  const secrets = [...values.secrets, ...keys.secrets];
  const context = createCheckContext(
    { ...parsed, draft: keys.draft, document, secrets, folder, files: reader.files, now },
    findings,
  );
  const shadow = await openShadow(context, { ...options, named: dirname(file), folder, stamps }, findings);
  const egress = egressOf(keys.draft.server?.egressProxy, options.env);
  checkEgress(context, options.env);
  const checked = runChecks(context, keys.placeOf);

  const { problems, warnings } = findings;
  if (problems.length > 0) throw new ConfigError(inOrder(problems), { warnings: inOrder(warnings) });
  return {
    file: absolute,
    config: keys.draft as Config,
    ...checked,
    hash: hashOf(content, reader, new Map([...values.variables, ...keys.variables]), folder),
    files: reader.files,
    egress,
    warnings: inOrder(warnings),
    revocations,
    shadow,
  };
}

type ShadowOptions = LoadOptions & {
  readonly named: string;
  readonly folder: string;
  readonly stamps: Map<string, string>;
};

async function loadShadow(
  context: CheckContext,
  { named, folder, shadowInForce, stamps, ...options }: ShadowOptions,
  findings: Findings,
): Promise<LoadedShadow | undefined> {
  const file = context.draft.shadow?.file;
  if (file === undefined) return undefined;
  const own = new Map<string, string>();
  try {
    const loaded = await load(join(named, relative(folder, file)), { ...options, stamps: own }, noShadowOfShadow);
    findings.warnings.push(...loaded.warnings);
    return { file, loaded };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (file === shadowInForce) return { file, loaded: error };
    if (error.unreadable) context.error(['shadow', 'file'], error.problems[0]!.message);
    else findings.problems.push(...error.problems);
    return undefined;
  } finally {
    // Of a file that both name the stamp from before the first reading counts.
    for (const [path, stamp] of own) if (!stamps.has(path)) stamps.set(path, stamp);
  }
}

async function noShadowOfShadow(context: CheckContext): Promise<undefined> {
  if (context.draft.shadow !== undefined)
    context.warn(['shadow'], 'is not read here: a shadow has no shadow of its own');
}

interface Values extends Interpolated {
  /** Paths of what could not be put in, or belongs to a later version. */
  readonly missing: readonly Path[];
}

/** The document with everything put in, its paths absolute and the files it names read. */
async function readValues(
  document: LocatedYaml,
  findings: Findings,
  options: { readonly env: NodeJS.ProcessEnv; readonly folder: string; readonly reader: FileReader } & Pick<
    LoadOptions,
    'standIns'
  >,
): Promise<Values> {
  const { reader, standIns } = options;
  const later = separateLaterKeys(document.value);
  findings.problems.push(...later.found.map(({ path, message }) => document.problem(path, message, 'key')));
  const missing = [...later.left];
  const filled = await interpolate(later.tree, {
    ...options,
    isTemplate: isUsername,
    report(path, message) {
      standIns?.used(path);
      if (standIns !== undefined) return standIns.value;
      missing.push(path);
      findings.problems.push(document.problem(path, message));
      return undefined;
    },
  });
  const tree = withAbsolutePaths(withIssuerPresets(filled.tree), options.folder);
  await readNamedFiles(tree, reader, async (path, file, reason) => {
    const content = await standIns?.contentFor(path, tree);
    if (content === undefined) return void findings.problems.push(document.problem(path, reason));
    standIns?.used(path);
    reader.standIn(file, content);
  });
  return { ...filled, tree, missing };
}

interface ParsedShape extends Pick<ContextOptions, 'damaged' | 'originalPath'> {
  readonly draft: Draft;
}

/** The typed configuration, or what the schema leaves of it. A value that could not be put in is not judged as well. */
function parseShape({ tree, missing }: Values, document: LocatedYaml, findings: Findings): ParsedShape {
  const { value, problems, removed, originalPath } = validPart(fileSchema, tree, partialSchema);
  for (const { path, message, at } of problems) {
    if (!missing.some((each) => samePath(each, path))) findings.problems.push(document.problem(path, message, at));
  }
  return { draft: completed(value ?? {}), damaged: [...removed, ...missing], originalPath };
}

async function readConfigFile(file: string, absolute: string, readFile: ReadFile): Promise<Buffer> {
  try {
    return await readFile(absolute, maxConfigBytes);
  } catch (error) {
    const message = `cannot read the file: ${(error as Error).message}`;
    throw new ConfigError([{ file, line: 1, column: 1, path: '', message }], { unreadable: true });
  }
}

function completed(rest: z.output<typeof partialSchema>): Draft {
  const { routes, ...others } = rest;
  const draft = routes && rest.server ? { ...others, routes: withResources({ server: rest.server, routes }) } : others;
  // Sections that are left out are absent, never undefined: JSON has no such value.
  return draft as Draft;
}

function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((step, index) => step === b[index]);
}

/** Independent of where the folder lies; secrets enter as digests only. */
function hashOf(content: Buffer, reader: FileReader, variables: ReadonlyMap<string, string>, folder: string): string {
  const parts = [
    ['config', hash('sha256', content)],
    ...[...reader.files].map(([path, bytes]) => [`file:${relative(folder, path)}`, hash('sha256', bytes)]).sort(),
    ...[...variables].map(([name, value]) => [`env:${name}`, hash('sha256', value)]).sort(),
  ];
  return hash('sha256', JSON.stringify(parts));
}
