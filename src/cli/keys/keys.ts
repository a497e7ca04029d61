// Command `portcullis keys`: the life of API keys.
import { Command, InvalidArgumentError, Option } from 'commander';
import { type CommandOutput, misuse, parseName } from '../output.ts';
import { formatJson } from '../table.ts';
import { keysListCommand } from './keys-list.ts';
import { keysReportCommand } from './keys-report.ts';
import { keysRotateCommand } from './keys-rotate.ts';
import { createApiKey, describeNewKey, type NewApiKeyOptions, problemOfEntry } from './new-key.ts';

const defaultLifetimeDays = 90;
const dayMs = 86_400_000;

/** Exit code 0: the key is printed; 2: an option is invalid. */
export function keysCommand(
  output: CommandOutput = process,
  now: () => number = Date.now,
  env: NodeJS.ProcessEnv = process.env,
): Command {
  const create = new Command('new')
    .description('make an API key: shown once, with its entry for the configuration')
    .requiredOption('--client-id <id>', 'the client that the key stands for', parseName)
    .requiredOption('--scopes <scopes>', 'what it grants, separated by spaces or commas', parseScopes)
    .option('--expires <date>', `day or instant from which it is refused (default: in ${defaultLifetimeDays} days)`)
    .option('--id <id>', 'id of the key, for the audit log and metrics (default: from the client id)', parseName)
    .addOption(new Option('--prefix <prefix>', "the authenticator's prefix").default('sk_').argParser(parsePrefix))
    .option('--json', 'print the key and its entry as JSON')
    .action((options: Omit<NewApiKeyOptions, 'expires'> & { expires?: string; json?: boolean }) => {
      const expires = options.expires ?? new Date(now() + defaultLifetimeDays * dayMs).toISOString().slice(0, 10);
      const made = createApiKey({ ...options, expires });
      const problem = problemOfEntry(made.entry, now());
      if (problem !== undefined) {
        return misuse(output, problem);
      }
      output.stdout.write(options.json === true ? formatJson(made) : describeNewKey(made));
    });
  return new Command('keys')
    .addCommand(create)
    .addCommand(keysListCommand(output, now, env))
    .addCommand(keysRotateCommand(output, now, env))
    .addCommand(keysReportCommand({ output, env, stdin: process.stdin, now }));
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
