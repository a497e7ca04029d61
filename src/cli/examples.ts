// Examples and exit codes of all commands, for their help and the manual page.
import type { Command } from 'commander';

/** Help of a command beyond its options. */
export interface CommandHelp {
  /** Command lines that work, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** The meaning of exit code 1; absent where there is none. */
  readonly no?: string;
}

const problems = 'the configuration has problems';

/** By the words of a command. */
export const commandHelp: Readonly<Record<string, CommandHelp>> = {
  serve: {
    examples: [
      ['portcullis serve -c gateway.yaml', 'run until a signal: SIGHUP reloads, SIGTERM drains, SIGINT stops'],
      ['portcullis serve -c gateway.yaml --log-format pretty', 'with a log for people'],
    ],
    no: 'the gateway cannot start or stop',
  },
  check: {
    examples: [
      ['portcullis check -c gateway.yaml', 'every problem at once: file:line:column and what was meant'],
      ['portcullis check -c gateway.yaml --online', 'ask issuers and upstreams too'],
      ['portcullis check -c gateway.yaml --strict --format github', 'annotations in CI, which fails on warnings'],
    ],
    no: `${problems}, or warnings with --strict`,
  },
  test: {
    examples: [
      ['portcullis test cases.yaml -c gateway.yaml', 'run the cases'],
      ['portcullis test cases.yaml -c gateway.yaml --full-coverage --format junit', 'in CI'],
    ],
    no: `a case failed, a rule was not reached with --full-coverage, or ${problems}`,
  },
  dev: {
    examples: [
      ['portcullis dev', 'the demo Superset behind the gateway'],
      ['portcullis dev --upstream http://127.0.0.1:3000/mcp', 'your own MCP server behind it'],
      ['portcullis dev --json --directory dev', 'events for programs, and files that stay'],
    ],
    no: 'a part cannot be started',
  },
  'keys new': {
    examples: [
      ['portcullis keys new --client-id reporting_tool --scopes dashboards:read', 'a key for 90 days'],
      [
        'portcullis keys new --client-id reporting_tool --scopes "dashboards:read exports:create" --expires 2027-03-01',
        'until a day',
      ],
    ],
  },
  'keys list': {
    examples: [['portcullis keys list -c gateway.yaml', 'the keys, the first to end first']],
    no: problems,
  },
  'keys rotate': {
    examples: [
      ['portcullis keys rotate reporting-tool-1 -c gateway.yaml', 'print the new key and both entries'],
      ['portcullis keys rotate reporting-tool-1 -c gateway.yaml --overlap 14d --write', 'and write them'],
    ],
    no: 'the file cannot be edited, and no key is made',
  },
  'keys report': {
    examples: [['portcullis keys report -c gateway.yaml audit.jsonl --since 30d', 'who still uses keys']],
    no: `there is no record, or ${problems}`,
  },
  revoke: {
    examples: [
      ['portcullis revoke -c gateway.yaml --key reporting-tool-1', 'a key'],
      ['portcullis revoke -c gateway.yaml --client ai_agent_prod --reason "laptop lost"', 'all of a client'],
      ['portcullis revoke -c gateway.yaml --jti 7f3a --dry-run', 'look first'],
    ],
    no: 'the revocation file could not be written',
  },
  'certs ca': {
    examples: [['portcullis certs ca --ca pki', 'a new authority in the directory pki']],
    no: 'it cannot be done',
  },
  'certs issue': {
    examples: [
      [
        'portcullis certs issue --ca pki --common-name client-ai-agent-1 --client-id ai_agent_prod --out agent',
        'a client',
      ],
      ['portcullis certs issue --ca pki --server --dns mcp.example.com --out tls', 'a server: tls.crt and tls.key'],
    ],
    no: 'it cannot be done',
  },
  'certs renew': {
    examples: [['portcullis certs renew agent.crt --ca pki', 'a new key and certificate']],
    no: 'it cannot be done',
  },
  'certs revoke': {
    examples: [['portcullis certs revoke agent.crt --ca pki', 'revoke it, and write the CRL']],
    no: 'it cannot be done, such as for a serial number that nobody issued',
  },
  'certs crl': {
    examples: [['portcullis certs crl --ca pki --days 30', 'before the old one is overdue']],
    no: 'it cannot be done',
  },
  'certs list': {
    examples: [['portcullis certs list --ca pki', 'the certificates and their ends']],
    no: 'it cannot be done',
  },
  'audit verify': {
    examples: [
      ['portcullis audit verify audit.jsonl', 'the hash chain'],
      ['portcullis audit verify --key audit.pub.pem --expect audit.head audit.jsonl', 'and that no end is missing'],
    ],
    no: 'something is missing or changed, or there is no record',
  },
  'audit show': {
    examples: [['portcullis audit show 97012c78-15e0-4f82-88dd-35376ea904bb audit.jsonl', 'all records of a request']],
    no: 'there is no record with this id',
  },
  'audit tail': {
    examples: [
      ['portcullis audit tail -f audit.jsonl', 'as it is written'],
      ['portcullis audit tail --decision deny -n all audit.jsonl', 'all refusals'],
    ],
    no: 'there is no record',
  },
  'audit report': {
    examples: [['portcullis audit report audit.jsonl --by client,reason --since 7d', 'the last week']],
    no: 'there is no request to report',
  },
  catalog: {
    examples: [
      ['portcullis catalog -c gateway.yaml --route superset-mcp --out superset-tools.json', 'record'],
      ['portcullis catalog -c gateway.yaml --route superset-mcp --check', 'compare'],
    ],
    no: 'something has changed, or the upstream gave no usable answer',
  },
  'who-can': {
    examples: [
      ['portcullis who-can -c gateway.yaml --tool execute_sql', 'who may run SQL'],
      ['portcullis who-can -c gateway.yaml --client ai_agent_prod --format csv', 'for the access review'],
    ],
    no: problems,
  },
  replay: {
    examples: [
      ['portcullis replay -c next.yaml audit.jsonl --since 1d', "yesterday's calls under another policy"],
      ['portcullis replay -c next.yaml audit.jsonl --fail-on denied', 'in CI'],
    ],
    no: `there is no request, a decision has changed as --fail-on says, or ${problems}`,
  },
  explain: {
    examples: [
      [
        `portcullis explain -c gateway.yaml --as '{client: ai_agent_prod, scopes: [dashboards:read]}' --tool execute_sql`,
        'a made-up caller',
      ],
      ['portcullis explain -c gateway.yaml --token - --tool list_dashboards', 'a real token, from standard input'],
      [
        'portcullis explain -c gateway.yaml --id 97012c78-15e0-4f82-88dd-35376ea904bb audit.jsonl',
        'a recorded request',
      ],
    ],
    no: `the request would be denied or refused, or ${problems}`,
  },
  diff: {
    examples: [['portcullis diff gateway.yaml next.yaml --fail-on widened', 'fails where anybody gains anything']],
    no: `the difference is one of --fail-on, or a file has problems`,
  },
  schema: { examples: [['portcullis schema > gateway.schema.json', 'for editors']] },
  completion: {
    examples: [
      ['source <(portcullis completion bash)', 'in this bash, or as a line of ~/.bashrc'],
      ['portcullis completion zsh > "${fpath[1]}/_portcullis"', 'zsh'],
      ['portcullis completion fish > ~/.config/fish/completions/portcullis.fish', 'fish'],
    ],
  },
  man: { examples: [['portcullis man | man -l -', 'read it where the package has not installed it']] },
};

/** Adds examples and exit codes to the help of a command. */
export function describe(command: Command): void {
  command.addHelpText('after', () => helpTextOf(command));
  for (const option of command.options) {
    if (Array.isArray(option.defaultValue)) option.defaultValueDescription ??= 'none';
  }
}

/** The words of a command below the program, such as `keys list`. */
export function pathOf(command: Named): string {
  const words: string[] = [];
  for (let at: Named | null = command; at?.parent; at = at.parent) words.unshift(at.name());
  return words.join(' ');
}

/** The part of a command that its path needs. */
interface Named {
  readonly parent: Named | null;
  name(): string;
}

/** The text behind the options of a command's help. Empty for groups of commands. */
function helpTextOf(command: Named): string {
  const help = commandHelp[pathOf(command)];
  if (help === undefined) return '';
  const examples = help.examples.map(([line, does]) => `  # ${does}\n  ${line}\n`).join('');
  return `\nExamples:\n${examples}\n${exitCodesOf(help)}`;
}

/** One line with the exit codes. */
export function exitCodesOf({ no }: CommandHelp): string {
  return `Exit codes: 0 done${no === undefined ? '' : `; 1 ${no}`}; 2 misuse, or a file cannot be read.`;
}
