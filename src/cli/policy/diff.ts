// Command `portcullis diff`: the meaning of a change of the configuration.
import { Command, Option } from 'commander';
import { rulesOf } from '../../policy/access/access-formula.ts';
import { nameOf } from '../../review/access/access-callers.ts';
import {
  type ChangeOfAccess,
  type ChangesAlike,
  diffPolicies,
  groupChanges,
  type ItemChange,
  isChanged,
  isWidened,
  type PolicyDiff,
  wordsOfChange,
} from '../../review/access/access-diff.ts';
import { nameItems } from '../../review/access/access-words.ts';
import { openPolicyFile } from '../../review/policy-file.ts';
import { createStandIns } from '../../review/stand-ins.ts';
import { noteTo } from '../output.ts';
import { asObjects, formatJson, formatOption, formatTable, type Table, type TableFormat } from '../table.ts';
import { wrap } from './access-text.ts';
import { instantOption, ofThisProcess, type PolicyCommand, widthOf } from './who-can.ts';

interface DiffOptions {
  readonly client?: string;
  readonly at?: number;
  readonly failOn?: 'widened' | 'changed';
  readonly format: TableFormat;
  readonly json?: boolean;
}

/** Exit code 0: the difference is printed; 1: it is one of `--fail-on`, or a file has problems; 2: misuse. */
export function diffCommand(command: PolicyCommand = ofThisProcess): Command {
  const { output, env, now } = command;
  return new Command('diff')
    .argument('<old>', 'the configuration file as it was')
    .argument('<new>', 'the configuration file as it is to be')
    .option('--client <id>', 'tells this client apart too, though the files do not name it')
    .addOption(instantOption())
    .addOption(
      new Option('--fail-on <difference>', 'exit with 1 where anybody gains anything, or on any difference').choices([
        'widened',
        'changed',
      ]),
    )
    .addOption(formatOption())
    .option('--json', 'short for --format json')
    .action(async (oldFile: string, newFile: string, options: DiffOptions) => {
      // A file that neither has at hand is no difference.
      const opening = { env, now, note: noteTo(output), standIns: createStandIns(now) };
      const before = await openPolicyFile(oldFile, opening);
      try {
        const after = await openPolicyFile(newFile, opening);
        try {
          const asked = { clients: options.client === undefined ? [] : [options.client], tools: [] };
          const diff = diffPolicies(before, after, options.at ?? now(), asked);
          const format = options.json === true ? 'json' : options.format;
          output.stdout.write(textOf(diff, format, widthOf(command)));
          const fails = { widened: isWidened, changed: isChanged };
          output.exitCode = options.failOn !== undefined && fails[options.failOn](diff) ? 1 : 0;
        } finally {
          await after.close();
        }
      } finally {
        await before.close();
      }
    });
}

function textOf(diff: PolicyDiff, format: TableFormat, width: number): string {
  switch (format) {
    case 'table':
      return diffText(diff, width);
    case 'markdown':
      return `${isChanged(diff) ? formatTable(summaryOf(diff), 'markdown') : ''}${isChanged(diff) ? '\n' : ''}${verdictOf(diff)}\n`;
    case 'csv':
      return formatTable(withConfiguration(cellsOf(diff), diff), 'csv');
    case 'json': {
      const { configuration } = diff;
      const whole = {
        widened: isWidened(diff),
        changed: isChanged(diff),
        access: asObjects(cellsOf(diff)),
        configuration,
      };
      return formatJson(whole, 2);
    }
  }
}

function verdictOf(diff: PolicyDiff): string {
  if (!isChanged(diff)) return 'No difference in who may call what.';
  return isWidened(diff)
    ? 'Widened: somebody may do what was not allowed before, or that cannot be ruled out.'
    : 'Not widened: nobody gains anything.';
}

function diffText(diff: PolicyDiff, width: number): string {
  const lines = routesOf(diff).flatMap(([route, changes]) => [
    ...wrap(route, width, ''),
    ...groupItems(changes, diff).flatMap(({ names, changes }) => [
      ...wrap(names.join(', '), width, '  '),
      ...changes.flatMap((line) => wrap(wordsOf(line), width, '        ', '      ')),
    ]),
    '',
  ]);
  const { configuration } = diff;
  const others = configuration.flatMap(({ words, mayWiden }) =>
    wrap(`${mayWiden ? '!' : '~'} ${words}`, width, '    ', '  '),
  );
  const beside = others.length === 0 ? [] : ['beside the rules', ...others, ''];
  return `${[...lines, ...beside, verdictOf(diff)].join('\n')}\n`;
}

const signs = { gained: '+', lost: '-', wider: '+', narrower: '-', changed: '!' } as const satisfies Record<
  ChangeOfAccess,
  string
>;

function wordsOf({ who, change, before, after, rules }: ChangesAlike): string {
  return `${signs[change]} ${who} ${sentenceOf(change, before, after)} [${rules}]`;
}

function sentenceOf(change: ChangeOfAccess, before: string, after: string): string {
  switch (change) {
    case 'gained':
      return `gains it: ${after}`;
    case 'lost':
      return `loses it: before ${before}`;
    case 'wider':
      return `may do more: before ${before}; now ${after}`;
    case 'narrower':
      return `may do less: before ${before}; now ${after}`;
    case 'changed':
      return `has another condition: before ${before}; now ${after}`;
  }
}

function routesOf({ items }: PolicyDiff): [string, ItemChange[]][] {
  const titleOf = ({ item: { routeName, routePath } }: ItemChange): string =>
    routeName === routePath ? routeName : `${routeName}  ${routePath}`;
  return [...Map.groupBy(items, titleOf)];
}

/** Items of a route with the same changes, together. */
function groupItems(items: readonly ItemChange[], { callers }: PolicyDiff) {
  const grouped = [...Map.groupBy(items, (change) => JSON.stringify(groupChanges(change, callers)))];
  return grouped.map(([key, of]) => ({
    names: nameItems(of.map(({ item }) => item)),
    changes: JSON.parse(key) as ChangesAlike[],
  }));
}

/** The same as a short table. */
function summaryOf(diff: PolicyDiff): Table {
  const rows = routesOf(diff).flatMap(([route, items]) =>
    groupItems(items, diff).flatMap(({ names, changes }) =>
      changes.map(({ who, change, before, after, rules }) => [
        route,
        names.join(', '),
        who,
        change,
        before,
        after,
        rules,
      ]),
    ),
  );
  const others = diff.configuration.map(({ words }) => [
    undefined,
    words,
    undefined,
    'changed',
    undefined,
    undefined,
    undefined,
  ]);
  return { columns: ['route', 'item', 'caller', 'change', 'before', 'after', 'rules'], rows: [...rows, ...others] };
}

/** With a row for each change beside the rules. */
function withConfiguration({ columns, rows }: Table, { configuration }: PolicyDiff): Table {
  const others = configuration.map(({ words, mayWiden }) => {
    const cells = [undefined, undefined, 'configuration', words, undefined, mayWiden ? 'widened' : 'changed'];
    return [...cells, ...Array<undefined>(columns.length - cells.length)];
  });
  return { columns, rows: [...rows, ...others] };
}

/** Every caller with every item to which its access has changed. */
function cellsOf({ items }: PolicyDiff): Table {
  const rows = items.flatMap(({ item: { routeName, routePath, kind, name }, callers }) =>
    callers.map(({ caller: { caller }, change, before, after }) => {
      const rules = [before, after].map((access) => rulesOf(access) || undefined);
      return [routeName, routePath, kind, name, nameOf(caller), change, ...wordsOfChange({ before, after }), ...rules];
    }),
  );
  const columns = ['route', 'path', 'kind', 'item', 'caller', 'change', 'before', 'after', 'rulesBefore', 'rulesAfter'];
  return { columns, rows };
}
