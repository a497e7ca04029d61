// Command `portcullis keys`: new API keys and their configuration entries.
import { hash, randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import { apiKeyEntry } from '../authn/api-key.ts';
import type { CommandOutput } from './output.ts';

/** A new key and its entry. */
export interface NewApiKey {
  /** The key as the client presents it. Shown once, stored nowhere. */
  readonly key: string;
  /** The entry for `keys:` or the keys file. */
  readonly entry: {
    readonly id: string;
    readonly hash: string;
    readonly clientId: string;
    readonly scopes: readonly string[];
    readonly expires: string;
  };
}

/** Options of `createApiKey`. */
export interface NewApiKeyOptions {
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly prefix: string;
  /** Default: the client's id and the first digits of the hash. */
  readonly id?: string | undefined;
  /** A day or an instant, in the format of the configuration. */
  readonly expires: string;
}

/** Makes a key from `secret` (256 random bits) and its entry, which holds only the SHA-256 digest of the key. */
export function createApiKey(options: NewApiKeyOptions, secret: Buffer = randomBytes(32)): NewApiKey {
  const key = `${options.prefix}${secret.toString('base64url')}`;
  const digest = hash('sha256', key, 'hex');
  const entry = {
    id: options.id ?? `${options.clientId}-${digest.slice(0, 8)}`,
    hash: `sha256:${digest}`,
    clientId: options.clientId,
    scopes: options.scopes,
    expires: options.expires,
  };
  return { key, entry };
}

const defaultLifetimeDays = 90;
const dayMs = 86_400_000;

/** Exit code 0: the key is printed; 2: an option is invalid. */
export function keysCommand(output: CommandOutput = process, now: () => number = Date.now): Command {
  const create = new Command('new')
    .description('make an API key: shown once, with its entry for the configuration')
    .requiredOption('--client-id <id>', 'the client that the key stands for', nonEmpty)
    .requiredOption('--scopes <scopes>', 'what it grants, separated by spaces or commas', parseScopes)
    .option('--expires <date>', `day or instant from which it is refused (default: in ${defaultLifetimeDays} days)`)
    .option('--id <id>', 'id of the key, for the audit log and metrics (default: from the client id)', nonEmpty)
    .addOption(new Option('--prefix <prefix>', "the authenticator's prefix").default('sk_').argParser(parsePrefix))
    .option('--json', 'print the key and its entry as JSON')
    .action((options: Omit<NewApiKeyOptions, 'expires'> & { expires?: string; json?: boolean }) => {
      const expires = options.expires ?? new Date(now() + defaultLifetimeDays * dayMs).toISOString().slice(0, 10);
      const made = createApiKey({ ...options, expires });
      const problem = findProblem(made.entry, now());
      if (problem !== undefined) {
        output.stderr.write(`portcullis: ${problem}\n`);
        output.exitCode = 2;
        return;
      }
      output.stdout.write(options.json === true ? `${JSON.stringify(made)}\n` : describe(made));
    });
  return new Command('keys').description('work with API keys').addCommand(create);
}

/** Validates the entry against the configuration's schema. Returns the problem, if any. */
function findProblem(entry: NewApiKey['entry'], now: number): string | undefined {
  const parsed = apiKeyEntry.safeParse(entry);
  if (!parsed.success)
    return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  if ((parsed.data.expires ?? 0) <= now) return `expires: ${entry.expires} has passed`;
  return undefined;
}

function describe({ key, entry }: NewApiKey): string {
  const { scopes, ...rest } = entry;
  const yaml = stringify([{ ...rest, scopes }], { lineWidth: 0, collectionStyle: 'block' });
  return [
    'The key, shown once and stored nowhere; give it to the client over a safe channel:',
    '',
    `  ${key}`,
    '',
    "Its entry, below the authenticator's keys: or in its keysFile:",
    '',
    yaml,
  ].join('\n');
}

function parseScopes(text: string): string[] {
  const scopes = text.split(/[\s,]+/).filter((scope) => scope !== '');
  if (scopes.length === 0) throw new InvalidArgumentError('Expected at least one scope.');
  return [...new Set(scopes)];
}

function parsePrefix(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(text)) throw new InvalidArgumentError('Expected letters, digits, _ and -.');
  return text;
}

function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a value.');
  return text;
}
