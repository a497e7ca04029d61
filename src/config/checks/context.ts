// The context of the checks across keys: the parsed configuration, and where problems are reported.
import { relative } from 'node:path';
import { isWithin, type Place, type Problem } from '../problem.ts';
import type { Config } from '../schema/config.ts';
import type { Path, SectionReporter } from '../schema/reporter.ts';
import { isObject, valueAt } from '../tree.ts';
import type { LocatedYaml } from '../yaml.ts';

/** The valid part of the configuration; all of it where there are no mistakes. */
export type Draft = Partial<Config>;

/** A path in the configuration, or in another file. */
export type Where = Path | { readonly document: LocatedYaml; readonly path: Path };

/** The place of a member. */
export function whereBelow(where: Where, key: string | number): Where {
  return 'document' in where ? { ...where, path: [...where.path, key] } : [...where, key];
}

/** The configuration under check, and the reporter. */
export interface CheckContext extends SectionReporter {
  readonly draft: Draft;
  /** The names that stand in the file, also those whose values are wrong. */
  readonly declared: Readonly<Record<'authenticators' | 'upstreams' | 'limits', readonly string[]>>;
  error(where: Where, message: string): void;
  warn(where: Where, message: string): void;
  placeOf(path: Path): Place;
  /** True when something was put into the value, so that no message may repeat it. */
  isInterpolated(value: string): boolean;
}

/** Options of `createCheckContext`. */
export interface ContextOptions extends Pick<CheckContext, 'draft' | 'files' | 'now'> {
  readonly document: LocatedYaml;
  /** Values that were put in. */
  readonly secrets: readonly string[];
  /** The folder of the configuration, absolute. */
  readonly folder: string;
  /** Paths of what was left out of the draft. */
  readonly damaged: readonly Path[];
  /** The path in the file for one in the draft. */
  readonly originalPath: (path: Path) => Path;
}

/** Problems and warnings. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/** The context of one file. A problem at a path that is damaged already is not reported: the damage may be its cause. */
export function createCheckContext(options: ContextOptions, findings: Findings): CheckContext {
  const { document, folder, damaged, originalPath, secrets, draft, files, now } = options;
  const isDamaged = (path: Path) => damaged.some((each) => isWithin(each, path) || isWithin(path, each));
  const isInterpolated = (value: string) => secrets.some((secret) => value.includes(secret));
  const show = (value: string) => (isInterpolated(value) ? 'the interpolated value' : JSON.stringify(shorten(value)));
  const problemAt = (where: Where, message: string): Problem[] => {
    if ('document' in where) return [where.document.problem(where.path, message)];
    const path = originalPath(where);
    return isDamaged(path) ? [] : [document.problem(path, message)];
  };
  const keysAt = (section: string) => {
    const value = valueAt(document.value, [section]);
    return isObject(value) ? Object.keys(value) : [];
  };
  return {
    draft,
    files,
    now,
    declared: {
      authenticators: keysAt('authenticators'),
      upstreams: keysAt('upstreams'),
      limits: keysAt('limits'),
    },
    show,
    showFile: (path) => show(relative(folder, path)),
    isInterpolated,
    placeOf(path) {
      const { column, file, line } = document.problem(originalPath(path), '');
      return { file, line, column };
    },
    isWhole: (path) => !isDamaged(path),
    isWritten: (path) => valueAt(document.value, originalPath(path)) !== undefined,
    error: (where, message) => void findings.problems.push(...problemAt(where, message)),
    warn(where, message) {
      if (damaged.length === 0) findings.warnings.push(...problemAt(where, message));
    },
  };
}

function shorten(value: string): string {
  return value.length > 128 ? `${value.slice(0, 128)}…` : value;
}
