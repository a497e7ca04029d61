// First version of each key of the configuration. Every key that is not named here is as old as the program.

const first = '0.1.0';

/** Keys of later versions: the path of a key, which counts for all below it, and its version. */
const later: Readonly<Record<string, string>> = {};

/** The version that brought a key. */
export function sinceOf(path: string): string {
  const prefix = Object.keys(later).find((each) => path === each || /^[.[]/.test(path.slice(each.length)));
  return prefix !== undefined && path.startsWith(prefix) ? later[prefix]! : first;
}
