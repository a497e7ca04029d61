// The valid part of a file with mistakes, so that the checks across keys report theirs at the same time.
import type { z } from 'zod';
import type { Path } from './schema/reporter.ts';
import { shapeProblems } from './schema-errors.ts';
import { valueAt, without } from './tree.ts';

/** Every round removes something; a file that is not usable by then is not looked at any further. */
const maxRounds = 40;

export interface ValidPart<T> {
  /** Undefined when nothing could be kept. */
  readonly value: T | undefined;
  /** Paths in the original tree of what was left out. */
  readonly removed: readonly Path[];
  /** The path in the original tree for one in `value`: items of lists may have moved up. */
  readonly originalPath: (path: Path) => Path;
}

/** Leaves out what the schema refuses, and what is incomplete without it, until the rest is accepted. */
export function validPart<S extends z.ZodType>(schema: S, tree: unknown): ValidPart<z.output<S>> {
  const positions = new Map<unknown, readonly number[]>();
  const removed: Path[] = [];
  let rest = tree;
  for (let round = 0; round < maxRounds; round++) {
    const current = rest;
    const originalPath = (path: Path) => translate(current, path, positions);
    const result = schema.safeParse(rest);
    if (result.success) return { value: result.data, removed, originalPath };
    const targets = shapeProblems(result.error, rest, schema).map(({ path }) =>
      valueAt(rest, path) === undefined ? path.slice(0, -1) : path,
    );
    if (targets.some((path) => path.length === 0)) break;
    removed.push(...targets.map(originalPath));
    rest = without(rest, targets, positions);
  }
  return { value: undefined, removed: [[], ...removed], originalPath: (path) => path };
}

function translate(tree: unknown, path: Path, positions: ReadonlyMap<unknown, readonly number[]>): Path {
  let node = tree;
  return path.map((step) => {
    const original = typeof step === 'number' ? positions.get(node)?.[step] : undefined;
    node = valueAt(node, [step]);
    return original ?? step;
  });
}
