// The valid part of a file with mistakes, so that the checks across keys report theirs at the same time.
import type { z } from 'zod';
import type { Path } from './schema/reporter.ts';
import { type ShapeProblem, shapeProblems } from './schema-errors.ts';
import { valueAt, without } from './tree.ts';

/** Every round removes something; a file that is not usable by then is not looked at any further. */
const maxRounds = 40;
/** A schema runs once or twice in a process: compiled validators cost more than they save. */
const interpreted = { jitless: true };

/** The valid part of a tree, and the problems of the rest. */
export interface ValidPart<T> {
  /** Undefined when nothing could be kept. */
  readonly value: T | undefined;
  /** Everything that the schema refuses. */
  readonly problems: readonly ShapeProblem[];
  /** Paths in the original tree of what was left out. */
  readonly removed: readonly Path[];
  /** The path in the original tree for one in `value`: items of lists may have moved up. */
  readonly originalPath: (path: Path) => Path;
}

/**
 * Parses the tree with the schema, or what remains of it with `rest`, which does not demand all of its keys: what is refused is left out, and what
 * is incomplete without it, until the remainder is accepted.
 */
export function validPart<S extends z.ZodType, R extends z.ZodType>(
  schema: S,
  tree: unknown,
  rest: R,
): ValidPart<z.output<S> | z.output<R>> {
  const whole = schema.safeParse(tree, interpreted);
  if (whole.success) return { value: whole.data, problems: [], removed: [], originalPath: (path) => path };
  const problems = shapeProblems(whole.error, tree, schema);
  const positions = new Map<unknown, readonly number[]>();
  const removed: Path[] = [];
  let remainder = tree;
  for (let round = 0; round < maxRounds; round++) {
    const current = remainder;
    const originalPath = (path: Path) => translate(current, path, positions);
    const result = rest.safeParse(current, interpreted);
    if (result.success) return { value: result.data, problems, removed, originalPath };
    const targets = shapeProblems(result.error, current, rest).map(({ path }) =>
      valueAt(current, path) === undefined ? path.slice(0, -1) : path,
    );
    if (targets.some((path) => path.length === 0)) break;
    removed.push(...targets.map(originalPath));
    remainder = without(current, targets, positions);
  }
  return { value: undefined, problems, removed: [[], ...removed], originalPath: (path) => path };
}

function translate(tree: unknown, path: Path, positions: ReadonlyMap<unknown, readonly number[]>): Path {
  let node = tree;
  return path.map((step) => {
    const original = typeof step === 'number' ? positions.get(node)?.[step] : undefined;
    node = valueAt(node, [step]);
    return original ?? step;
  });
}
