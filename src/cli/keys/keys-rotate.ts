// Command `portcullis keys rotate`: a second key of the same client, and an end of the first.
import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { editYaml, type YamlEdit } from '../../config/edit-yaml.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { formatPath } from '../../config/problem.ts';
import { nearest } from '../../config/schema/suggestion.ts';
import { duration } from '../../config/schema/values.ts';
import { isObject } from '../../config/tree.ts';
import { parseLocatedYaml } from '../../config/yaml.ts';
import { printableLines } from '../../printable.ts';
import { replaceFile } from '../../replace-file.ts';
import { configuredKeys, keyRevocations } from '../../review/configured-keys.ts';
import { loadPolicyFile } from '../../review/policy-file.ts';
import { createStandIns } from '../../review/stand-ins.ts';
import { type CommandOutput, misuse, noteTo, parseName } from '../output.ts';
import { formatJson } from '../table.ts';
import { createApiKey, describeNewKey, keyLines, type NewApiKey, problemOfEntry } from './new-key.ts';

interface RotateOptions {
  readonly config: string;
  readonly overlap: number;
  readonly expires?: string;
  readonly id?: string;
  readonly write?: boolean;
  readonly json?: boolean;
}

const defaultLifetimeMs = 90 * 86_400_000;
const defaultOverlap = '7d';

/** Exit code 0: the key is printed; 1: the file cannot be edited, and no key is made; 2: there is no such key, or a new one would be refused. */
export function keysRotateCommand(output: CommandOutput, now: () => number, env: NodeJS.ProcessEnv): Command {
  return new Command('rotate')
    .description('make a second key for the client of a key, and give the first an end')
    .argument('<key>', 'the id of the key, or authenticator/id')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .addOption(
      new Option('--overlap <duration>', 'the first key serves so much longer')
        .argParser(parseDuration)
        .default(parseDuration(defaultOverlap), defaultOverlap),
    )
    .option('--expires <date>', 'end of the new key (default: in 90 days)')
    .option('--id <id>', 'id of the new key (default: from the client id)', parseName)
    .option('--write', 'write both into the file that holds the key')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, options: RotateOptions) => {
      const standIns = createStandIns(now, { keysAreReviewed: true });
      const loaded = await loadPolicyFile(options.config, { env, now, standIns, note: noteTo(output) });
      const found = findKey(loaded, id);
      if (typeof found === 'string') {
        return misuse(output, found);
      }
      const { expires: until = Infinity, clientId, networks, scopes } = found.key;
      const expires = options.expires ?? new Date(now() + defaultLifetimeMs).toISOString().slice(0, 10);
      const { key, entry } = createApiKey({
        clientId,
        scopes,
        prefix: found.prefix,
        id: options.id,
        expires,
        networks,
      });
      const problem =
        notAtHand(found, standIns.places) ?? refusalOf(entry, found, loaded, now()) ?? problemOfEntry(entry, now());
      if (problem !== undefined) {
        return misuse(output, problem);
      }
      const state = configuredKeys(loaded.config, keyRevocations(loaded), now()).find(
        ({ authenticator, id }) => authenticator === found.authenticator && id === found.key.id,
      )?.state;
      if (state === 'revoked' || state === 'expired')
        noteTo(output)(`key "${found.key.id}" is ${state} and refused already: the two do not overlap`);
      const oldEnds = new Date(Math.min(until, now() + options.overlap)).toISOString().replace(/\.\d+Z$/, 'Z');
      const rotation = { key, entry, old: { id: found.key.id, expires: oldEnds } };
      const file = options.write === true ? await write(loaded, found, rotation) : undefined;
      output.stdout.write(
        options.json === true ? formatJson({ ...rotation, file }) : printableLines(describe(rotation, file)),
      );
    });
}

interface Rotation {
  readonly key: string;
  readonly entry: NewApiKey['entry'];
  readonly old: { readonly id: string; readonly expires: string };
}

interface FoundKey {
  readonly authenticator: string;
  readonly prefix: string;
  readonly key: NonNullable<
    Extract<LoadedConfig['config']['authenticators'][string], { type: 'apiKey' }>['keys']
  >[number];
}

function describe({ key, entry, old }: Rotation, file: string | undefined): string {
  if (file === undefined) {
    return `${describeNewKey({ key, entry })}In the entry of ${old.id}:\n\n  expires: ${old.expires}\n`;
  }
  return [
    ...keyLines(key),
    `${file}: ${entry.id} serves until ${entry.expires}, ${old.id} until ${old.expires}. A running gateway takes it by itself.`,
    '',
  ].join('\n');
}

/** A value of the key or its authenticator that a stand-in has taken the place of. */
function notAtHand({ authenticator }: FoundKey, places: readonly string[]): string | undefined {
  const place = places.find((each) => each.startsWith(`${formatPath(['authenticators', authenticator])}.`));
  return place === undefined ? undefined : `${place} is not at hand, and the new key depends on it`;
}

/** The reason why requests with the new key would be refused. */
function refusalOf(
  { id, clientId }: NewApiKey['entry'],
  { authenticator }: FoundKey,
  loaded: LoadedConfig,
  now: number,
): string | undefined {
  if (isTaken(loaded, id)) return `there is a key "${id}" already`;
  const revokedBy = keyRevocations(loaded)(authenticator, { id, clientId });
  if (revokedBy === 'keyId') return `key id "${id}" is revoked: give another --id`;
  if (revokedBy !== undefined)
    return `client "${clientId}" is revoked, and so would be a new key: take it out of the revocation file first`;
  const settings = loaded.config.authenticators[authenticator];
  const hasEnded = settings?.type === 'apiKey' && settings.sunset !== undefined && settings.sunset <= now;
  return hasEnded ? `the sunset of "${authenticator}" has passed: a new key would be refused` : undefined;
}

function isTaken({ config }: LoadedConfig, id: string): boolean {
  return Object.values(config.authenticators).some(
    (settings) => settings.type === 'apiKey' && settings.keys?.some((key) => key.id === id),
  );
}

function parseDuration(text: string): number {
  const parsed = duration.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('Expected a duration such as 12h or 7d.');
  return parsed.data;
}

/** The key, or the reason why there is none. */
function findKey({ config }: LoadedConfig, id: string): FoundKey | string {
  const all = Object.entries(config.authenticators).flatMap(([authenticator, settings]) => {
    if (settings.type !== 'apiKey') return [];
    return (settings.keys ?? []).map((key) => ({ authenticator, prefix: settings.prefix, key }));
  });
  const found = all.filter(({ authenticator, key }) => key.id === id || `${authenticator}/${key.id}` === id);
  if (found.length > 1) {
    return `several authenticators have a key "${id}"; write ${found.map(({ authenticator }) => `${authenticator}/${id}`).join(' or ')}`;
  }
  const near = nearest(
    id,
    all.map(({ key }) => key.id),
  );
  return (
    found[0] ?? `there is no key "${id}"${near === undefined ? '' : ` (did you mean "${near}"?)`}; keys list shows all`
  );
}

/** Writes both into the file that holds the entry, and returns its path. */
async function write(
  { config, file }: LoadedConfig,
  { authenticator, key }: FoundKey,
  { entry, old }: Rotation,
): Promise<string> {
  const settings = config.authenticators[authenticator]!;
  const keysFile = settings.type === 'apiKey' ? settings.keysFile : undefined;
  const places = [
    { path: file, base: ['authenticators', authenticator, 'keys'] },
    ...(keysFile === undefined ? [] : [{ path: keysFile, base: [] }]),
  ];
  for (const { path, base } of places) {
    const text = await readFile(path, 'utf8');
    const tree = parseLocatedYaml(path, Buffer.from(text)).value;
    const list = base.reduce<unknown>((value, step) => (isObject(value) ? value[step] : undefined), tree);
    const index = Array.isArray(list) ? list.findIndex((each) => isObject(each) && each.id === key.id) : -1;
    if (index === -1) continue;
    const place = [...base, index];
    const edits: YamlEdit[] = [
      { insert: entry, behind: place },
      { set: 'expires', value: old.expires, path: place },
    ];
    await replaceFile(path, editYaml(text, edits));
    return path;
  }
  throw new Error(
    `the entry of "${key.id}" is written in a way that cannot be edited; leave --write out and make the change by hand`,
  );
}
