// The reporter that checks of a configuration write to.
import type { NamedFiles } from '../../named-files.ts';
import { PemError } from '../../pem.ts';

/** Keys and indices from the root of a file to a value. */
export type Path = readonly (string | number)[];

/** Takes the problems and warnings of a check. */
export interface Reporter {
  error(path: Path, message: string): void;
  warn(path: Path, message: string): void;
  /** A value in quotes; what the environment or a file put in is never shown. */
  show(value: string): string;
}

/** A reporter that also knows what stands in the file, and the files that it names. */
export interface SectionReporter extends Reporter {
  readonly files: NamedFiles;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** True when everything below the path could be read; what is absent elsewhere may only be misspelt. */
  isWhole(path: Path): boolean;
  /** True when the key stands in the file, and is not there by default. */
  isWritten(path: Path): boolean;
  /** A named file in quotes, relative to the configuration. */
  showFile(path: string): string;
}

type FileReporter = Pick<SectionReporter, 'files' | 'error' | 'showFile'>;

/** The file at `path` as `parser` reads it; undefined, and reported, when it throws. A file that could not be read has been reported. */
export function readAt<T>(
  reporter: FileReporter,
  path: Path,
  file: string | undefined,
  parser: (content: Buffer) => T,
): T | undefined {
  return file === undefined ? undefined : attemptAt(reporter, path, file, () => reporter.files.parse(file, parser));
}

/** The result of `make` for a file that was read; undefined, and reported, when it throws. */
export function attemptAt<T>(reporter: FileReporter, path: Path, file: string, make: () => T): T | undefined {
  if (!reporter.files.has(file)) return undefined;
  try {
    return make();
  } catch (error) {
    reportUnusable(reporter, path, file, error as Error);
    return undefined;
  }
}

/** Reports a file that cannot be used; a damaged block is named together with its file. */
export function reportUnusable(reporter: FileReporter, path: Path, file: string, error: Error): void {
  const isBlock = error instanceof PemError;
  reporter.error(
    path,
    isBlock ? `PEM block ${error.block} of ${reporter.showFile(file)} ${error.problem}` : error.message,
  );
}
