// Command `portcullis keys list`: the configured API keys, with their ends.
import { Command } from 'commander';
import type { ApiKeyEntry } from '../../authn/api-key.ts';
import { compileRevocations, noEntries, type RevokedBy } from '../../authn/caller/revocations.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { loadPolicyFile } from '../../review/policy-file.ts';
import { type CommandOutput, noteTo } from '../output.ts';
import { formatJson, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';

/** A configured key. */
export interface ConfiguredKey extends Omit<ApiKeyEntry, 'hash'> {
  readonly authenticator: string;
  /** The first instant refused, of the key or its authenticator; milliseconds since 1970. */
  readonly end: number | undefined;
  readonly state: 'good' | 'not yet' | 'ends soon' | 'expired' | 'sunset' | 'revoked';
}

const soonMs = 30 * 86_400_000;

/** All keys of the configuration, the first to end first. `now` is in milliseconds since 1970. */
export function configuredKeys(loaded: LoadedConfig, now: number): ConfiguredKey[] {
  const revokedBy = keyRevocations(loaded);
  const keys = Object.entries(loaded.config.authenticators).flatMap(([authenticator, settings]): ConfiguredKey[] => {
    if (settings.type !== 'apiKey') return [];
    const { sunset } = settings;
    return (settings.keys ?? []).map(({ hash: _, ...key }) => {
      const ends = [sunset, key.expires].filter((date) => date !== undefined);
      const end = ends.length === 0 ? undefined : Math.min(...ends);
      return {
        ...key,
        authenticator,
        end,
        state: revokedBy(authenticator, key) ? 'revoked' : stateOf(key, sunset, now),
      };
    });
  });
  return keys.sort((one, other) => (one.end ?? Infinity) - (other.end ?? Infinity));
}

/** The property by which a key is revoked, as its requests would be refused. */
export function keyRevocations({
  revocations,
}: LoadedConfig): (authenticator: string, key: Pick<ApiKeyEntry, 'id' | 'clientId'>) => RevokedBy | undefined {
  const { ofPrincipal } = compileRevocations(revocations?.list?.entries ?? noEntries);
  return (authenticator, { id, clientId }) =>
    ofPrincipal({ kind: 'api-key', authenticator, subject: clientId, clientId, credentialId: id });
}

function stateOf(
  { expires = Infinity, notBefore = 0 }: Pick<ApiKeyEntry, 'expires' | 'notBefore'>,
  sunset = Infinity,
  now: number,
): ConfiguredKey['state'] {
  if (sunset <= now) return 'sunset';
  if (expires <= now) return 'expired';
  if (notBefore > now) return 'not yet';
  return Math.min(sunset, expires) - now < soonMs ? 'ends soon' : 'good';
}

/** Exit code 0: listed; 1: the configuration has problems; 2: it cannot be read. */
export function keysListCommand(output: CommandOutput, now: () => number, env: NodeJS.ProcessEnv): Command {
  return new Command('list')
    .description('the configured API keys, the first to end first')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .addOption(formatOption())
    .option('--json', 'print them as JSON, with lists as lists')
    .action(async ({ config, format, json }: { config: string; format: TableFormat; json?: boolean }) => {
      const keys = configuredKeys(
        await loadPolicyFile(config, { env, now, keysAreReviewed: true, note: noteTo(output) }),
        now(),
      );
      output.stdout.write(json === true ? formatJson(keys.map(plain)) : formatTable(tableOf(keys), format));
    });
}

function plain({ end, notBefore, expires: _, ...key }: ConfiguredKey) {
  return { ...key, ...(notBefore !== undefined && { notBefore: instant(notBefore) }), end: end && instant(end) };
}

function tableOf(keys: readonly ConfiguredKey[]): Table {
  return {
    columns: ['key', 'authenticator', 'client', 'until', 'state', 'scopes', 'networks'],
    rows: keys.map(({ id, authenticator, clientId, end, networks, scopes, state }) => {
      const until = end === undefined ? undefined : instant(end).replace('T00:00:00.000Z', '');
      return [id, authenticator, clientId, until, state, scopes.join(' '), networks?.join(' ')];
    }),
  };
}

function instant(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
