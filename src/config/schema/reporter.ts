// The reporter that checks of a configuration write to.

/** Keys and indices from the root of a file to a value. */
export type Path = readonly (string | number)[];

export interface Reporter {
  error(path: Path, message: string): void;
  warn(path: Path, message: string): void;
  /** A value in quotes; what the environment or a file put in is never shown. */
  show(value: string): string;
}

/** A reporter that also knows what stands in the file, and the files that it names. */
export interface SectionReporter extends Reporter {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Whether everything below the path could be read; what is absent elsewhere may only be misspelt. */
  isWhole(path: Path): boolean;
  /** Whether the key stands in the file, and is not there by default. */
  isWritten(path: Path): boolean;
}

/** The content of the file at `path` as `parse` reads it; undefined, and reported, when it throws. A file that could not be read has been reported. */
export function readAt<T>(
  reporter: Pick<SectionReporter, 'files' | 'error'>,
  path: Path,
  file: string | undefined,
  parse: (content: Buffer) => T,
): T | undefined {
  const content = file === undefined ? undefined : reporter.files.get(file);
  if (content === undefined) return undefined;
  try {
    return parse(content);
  } catch (error) {
    reporter.error(path, (error as Error).message);
    return undefined;
  }
}
