// Command `portcullis keys list`: the configured API keys, with their ends.
import { Command } from 'commander';
import { type ConfiguredKey, configuredKeys, keyRevocations } from '../../review/configured-keys.ts';
import { loadPolicyFile } from '../../review/policy-file.ts';
import { type CommandOutput, noteTo } from '../output.ts';
import { formatJson, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';

/** Exit code 0: listed; 1: the configuration has problems; 2: it cannot be read. */
export function keysListCommand(output: CommandOutput, now: () => number, env: NodeJS.ProcessEnv): Command {
  return new Command('list')
    .description('the configured API keys, the first to end first')
    .requiredOption('-c, --config <file>', 'the configuration file')
    .addOption(formatOption())
    .option('--json', 'print them as JSON, with lists as lists')
    .action(async ({ config, format, json }: { config: string; format: TableFormat; json?: boolean }) => {
      const loaded = await loadPolicyFile(config, { env, now, keysAreReviewed: true, note: noteTo(output) });
      const keys = configuredKeys(loaded.config, keyRevocations(loaded), now());
      output.stdout.write(json === true ? formatJson(keys.map(plain)) : formatTable(tableOf(keys), format));
    });
}

function plain({ end, notBefore, expires: _, endsWithSunset: __, ...key }: ConfiguredKey) {
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
