// The reporter that checks of a configuration write to.

/** Keys and indices from the root of a file to a value. */
export type Path = readonly (string | number)[];

export interface Reporter {
  error(path: Path, message: string): void;
  warn(path: Path, message: string): void;
  /** A value in quotes; what the environment or a file put in is never shown. */
  show(value: string): string;
}
