// Case folding of member names, as the most lenient JSON reader compares them.

/**
 * The same for all names that some reader takes for one: Unicode case folding as Go's encoding/json does it, compatibility forms (NFKC), characters
 * that do not show, and whatever follows a NUL, which ends a name in C.
 */
export function foldName(name: string): string {
  if (plainAscii.test(name)) return name.toLowerCase();
  const [read = ''] = name.split('\0', 1);
  // Lower, upper, lower: no single mapping brings both the long s to `s` and the capital sharp s to `ss`.
  return read.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().replace(unseen, '');
}

const plainAscii = /^[ -~]*$/;
/** With the dot that is left of a lower-cased İ. */
const unseen = /\u0307|[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu;
