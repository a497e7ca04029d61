// Formats of a check report for machines: SARIF 2.1.0, and workflow commands of GitHub Actions.
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Problem } from '../../config/problem.ts';
import { printable } from '../../printable.ts';

/** Problems and warnings. */
export interface Found {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const kinds = {
  error: { id: 'invalid-configuration', text: 'The configuration is refused.' },
  warning: { id: 'doubtful-configuration', text: 'The configuration is valid, and probably not what was meant.' },
} as const;
type Level = keyof typeof kinds;

function all({ problems, warnings }: Found): { readonly level: Level; readonly problem: Problem }[] {
  return [
    ...problems.map((problem) => ({ level: 'error' as const, problem })),
    ...warnings.map((problem) => ({ level: 'warning' as const, problem })),
  ];
}

/** A log with one run (SARIF 2.1.0). */
export function sarifOf(found: Found, version: string): object {
  const rules = Object.values(kinds).map(({ id, text }) => ({ id, shortDescription: { text } }));
  const results = all(found).map(({ level, problem }) => ({
    ruleId: kinds[level].id,
    level,
    message: { text: problem.path === '' ? problem.message : `${problem.path}: ${problem.message}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(problem.file) },
          region: { startLine: problem.line, startColumn: problem.column },
        },
        ...(problem.path !== '' && { logicalLocations: [{ fullyQualifiedName: problem.path }] }),
      },
    ],
  }));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{ tool: { driver: { name: 'portcullis', version, rules } }, columnKind: 'utf16CodeUnits', results }],
  };
}

/** A URI reference (RFC 3986); relative to the working directory, as the file was named. */
function uriOf(file: string): string {
  if (isAbsolute(file)) return pathToFileURL(file).href;
  return file
    .replace(/^(\.\/)+/, '')
    .split('/')
    .map(encodeURIComponent)
    .join('/');
}

/** One line for each problem and warning. */
export function githubCommands(found: Found): string {
  return all(found)
    .map(({ level, problem: { file, line, column, path, message } }) => {
      const title = path === '' ? '' : `,title=${property(path)}`;
      return `::${level} file=${property(file)},line=${line},col=${column}${title}::${escaped(message)}\n`;
    })
    .join('');
}

function property(value: string): string {
  return escaped(value).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

function escaped(value: string): string {
  return printable(value.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A'));
}
