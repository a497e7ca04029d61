// Problems of a configuration and their places: `gateway.yaml:12:7 routes[0].authenticate: …`.

import type { Path } from './schema/reporter.ts';

/** A place in a file. */
export interface Place {
  /** The file as it was named by the operator. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
  readonly column: number;
}

/** A problem or warning at a place in a file. */
export interface Problem extends Place {
  /** `routes[0].authenticate`; empty for the file as a whole. */
  readonly path: string;
  /** Says what is wrong and what to do. Never shows a value that came from the environment or from a file. */
  readonly message: string;
}

/** All problems of a configuration at once. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];
  /** Shown with the problems. */
  readonly warnings: readonly Problem[];
  /** True when the file itself could not be read: a mistake in the command, not in the configuration. */
  readonly unreadable: boolean;

  constructor(problems: readonly Problem[], details: { warnings?: readonly Problem[]; unreadable?: boolean } = {}) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
    this.warnings = details.warnings ?? [];
    this.unreadable = details.unreadable ?? false;
  }
}

/** By place, the configuration before other files, and each once. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const first = problems[0]?.file;
  const unique = new Map(problems.map((each) => [JSON.stringify(each), each]));
  return [...unique.values()].sort(
    (a, b) =>
      Number(a.file !== first) - Number(b.file !== first) ||
      a.file.localeCompare(b.file) ||
      a.line - b.line ||
      a.column - b.column,
  );
}

/** One line for people and editors: file, line, column, path and message. */
export function formatProblem(problem: Problem): string {
  const path = problem.path === '' ? '' : ` ${problem.path}:`;
  return `${problem.file}:${problem.line}:${problem.column}${path} ${problem.message}`;
}

/** `routes[0].mcp.rules[2].allow`; keys that are no plain words are quoted. */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!/^[A-Za-z0-9_-]+$/.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** True when `path` is `ancestor` or lies below it. */
export function isWithin(path: Path, ancestor: Path): boolean {
  return ancestor.length <= path.length && ancestor.every((step, index) => path[index] === step);
}
