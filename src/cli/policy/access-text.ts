// Access reviews as text for people, and as tables.
import { answerOf, rulesOf } from '../../policy/access/access-formula.ts';
import { printable } from '../../printable.ts';
import type { AccessReport, ReportedItem } from '../../review/access/access.ts';
import { nameOf } from '../../review/access/access-callers.ts';
import { type CallersAlike, groupCallers, nameItems, wordsOfAccess } from '../../review/access/access-words.ts';
import type { Table } from '../table.ts';

/** Items of a route that the same callers may use under the same conditions. */
interface ItemsAlike {
  readonly names: readonly string[];
  readonly callers: readonly CallersAlike[];
}

function groupItems(items: readonly ReportedItem[], { callers }: AccessReport): ItemsAlike[] {
  const grouped = [...Map.groupBy(items, ({ access }) => JSON.stringify(groupCallers(access, callers)))];
  const alike = grouped.map(([key, of]) => {
    const groups = JSON.parse(key) as CallersAlike[];
    const isRest = groups.length === 0 && grouped.length > 1 && of.every(({ kind }) => kind === 'path');
    return { names: isRest ? ['any other method or path'] : nameItems(of), callers: groups };
  });
  return alike.toSorted((one, other) => Number(one.callers.length === 0) - Number(other.callers.length === 0));
}

function routesOf({ items }: AccessReport): [string, ReportedItem[]][] {
  return [
    ...Map.groupBy(items, ({ routeName, routePath }) =>
      routeName === routePath ? routeName : `${routeName}  ${routePath}`,
    ),
  ];
}

/** A review for people: items that the same callers may use under the same conditions stand together. */
export function accessText(report: AccessReport, width: number): string {
  const lines = routesOf(report).flatMap(([route, items]) => [
    '',
    ...wrap(route, width, ''),
    ...groupItems(items, report).flatMap(({ names, callers }) => [
      ...wrap(names.join(', '), width, '  '),
      ...(callers.length === 0 ? ['      nobody'] : callers.flatMap((line) => linesOf(line, width))),
    ]),
  ]);
  const refused = report.callers.flatMap(({ caller, refused }) =>
    refused === undefined ? [] : `${nameOf(caller)} (${refused})`,
  );
  const notes =
    refused.length === 0 ? [] : ['', ...wrap(`Refused at this time: ${refused.join(', ')}`, width, '  ', '')];
  return `${[...lines, ...notes].slice(1).join('\n')}\n`;
}

function linesOf({ who, words, rules }: CallersAlike, width: number): string[] {
  return wrap(`${who}: ${words} [${rules}]`, width, '        ', '      ');
}

/** Lines of at most `width` characters, each after the first with its own indent. A word that is longer stands alone. */
export function wrap(text: string, width: number, indent: string, first = indent): string[] {
  const lines: string[] = [];
  let line = first;
  for (const word of printable(text).split(' ')) {
    const isStart = line === first || line === indent;
    if (!isStart && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line = isStart ? line + word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** The same as a short table. */
export function accessSummary(report: AccessReport): Table {
  const rows = routesOf(report).flatMap(([route, items]) =>
    groupItems(items, report).flatMap(({ names, callers }) => {
      const lines = callers.length === 0 ? [{ who: 'nobody', words: undefined, rules: undefined }] : callers;
      return lines.map(({ who, words, rules }) => [route, names.join(', '), who, words, rules]);
    }),
  );
  return { columns: ['route', 'item', 'caller', 'access', 'rules'], rows };
}

/** Every caller with every item. */
export function accessCells({ items, callers }: AccessReport): Table {
  const rows = items.flatMap((item) =>
    callers.map(({ id, caller, refused }) => {
      const ways = item.access.get(id) ?? [];
      const access = answerOf(ways);
      const condition = access === 'conditional' ? wordsOfAccess(ways) : undefined;
      const { routeName, routePath, kind, name } = item;
      return [routeName, routePath, kind, name, nameOf(caller), access, condition, rulesOf(ways) || undefined, refused];
    }),
  );
  return { columns: ['route', 'path', 'kind', 'item', 'caller', 'access', 'condition', 'rules', 'refused'], rows };
}
