// Errors of the zod schema as problems in words, at the paths of single keys.
import type { z } from 'zod';
import { formatPath } from './problem.ts';
import type { Path } from './schema/reporter.ts';
import { suggestion } from './schema/suggestion.ts';
import { knownKeys } from './schema-paths.ts';
import { valueAt } from './tree.ts';

/** A value that the schema refuses. */
export interface ShapeProblem {
  readonly path: Path;
  readonly message: string;
  readonly at: 'key' | 'value';
}

type Issue = z.core.$ZodIssue;
const required = 'is required';

/** Every issue as a problem, the branches of unions resolved. `schema` is asked for known keys to suggest. */
export function shapeProblems(error: z.ZodError, tree: unknown, schema: z.ZodType): ShapeProblem[] {
  const problems = flatten(error.issues, tree, []).flatMap(({ issue, path }): ShapeProblem[] => {
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(schema, path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key "${key}"${suggestion(key, known)}`,
        at: 'key' as const,
      }));
    }
    return [
      { path, message: messageOf(issue, valueAt(tree, path)), at: issue.code === 'invalid_key' ? 'key' : 'value' },
    ];
  });
  return problems.filter((each) => each.message !== required || !isMisspelt(each.path, problems));
}

/** A required key whose misspelling is reported is not missed as well. */
function isMisspelt(path: Path, problems: readonly ShapeProblem[]): boolean {
  const parent = formatPath(path.slice(0, -1));
  return problems.some(
    (other) =>
      other.message.startsWith('unknown key') &&
      other.message.endsWith(`(did you mean "${path.at(-1)}"?)`) &&
      formatPath(other.path.slice(0, -1)) === parent,
  );
}

interface PlacedIssue {
  readonly issue: Issue;
  readonly path: Path;
}

/** A union's own issue says nothing: where one branch fits the kind of value, that branch's issues stand for it. */
function flatten(issues: readonly Issue[], tree: unknown, base: Path): PlacedIssue[] {
  return issues.flatMap((issue): PlacedIssue[] => {
    const path = [...base, ...(issue.path as Path)];
    if (issue.code !== 'invalid_union' || valueAt(tree, path) === undefined) return [{ issue, path }];
    const fitting = issue.errors.find(
      (branch) => !branch.some((inner) => inner.path.length === 0 && inner.code === 'invalid_type'),
    );
    return fitting === undefined ? [{ issue, path }] : flatten(fitting, tree, path);
  });
}

function messageOf(issue: Issue, value: unknown): string {
  const missing = value === undefined;
  switch (issue.code) {
    case 'invalid_type':
      if (missing) return required;
      return issue.message.startsWith('Invalid input') ? `expected ${kindOf(issue.expected)}` : issue.message;
    case 'invalid_value':
      return missing ? required : oneOf(issue.values, value);
    case 'invalid_union':
      if (missing) return required;
      return 'options' in issue && issue.options ? oneOf(issue.options, value) : kindsOf(issue);
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'is not a key that may stand here';
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      return issue.origin === 'array'
        ? `expected at least ${issue.minimum} item`
        : `expected at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `expected at most ${issue.maximum} characters`
        : `expected at most ${issue.maximum}`;
    default:
      return issue.message;
  }
}

/** The accepted words, and the nearest; the word that was found is not repeated. */
function oneOf(words: readonly unknown[], value: unknown): string {
  const near = typeof value === 'string' ? suggestion(value, words.map(String)) : '';
  const list = words.map((word) => JSON.stringify(word)).join(', ');
  return `expected ${words.length > 1 ? 'one of ' : ''}${list}${near}`;
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

function kindOf(expected: string): string {
  return kinds[expected] ?? expected;
}

function kindsOf(issue: z.core.$ZodIssueInvalidUnion): string {
  const expected = new Set(
    issue.errors.flatMap((branch) =>
      branch.flatMap((inner) => (inner.code === 'invalid_type' ? [kindOf(inner.expected)] : [])),
    ),
  );
  return `expected ${[...expected].join(' or ')}`;
}
