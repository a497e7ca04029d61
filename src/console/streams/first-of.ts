// Selection of the first members of a collection in an order, without sorting all of them. Pure.

/** The number of members that `isMatch` takes, and the first `count` of those in the order of `compare`. */
export function firstOf<T>(
  members: Iterable<T>,
  count: number,
  isMatch: (member: T) => boolean,
  compare: (one: T, other: T) => number,
): { readonly matching: number; readonly first: readonly T[] } {
  const first: T[] = [];
  let matching = 0;
  for (const member of members) {
    if (!isMatch(member)) continue;
    matching += 1;
    if (first.length === count && compare(member, first.at(-1)!) >= 0) continue;
    first.splice(placeOf(member, first, compare), 0, member);
    if (first.length > count) first.pop();
  }
  return { matching, first };
}

/** Behind those that compare as equal. */
function placeOf<T>(member: T, sorted: readonly T[], compare: (one: T, other: T) => number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(member, sorted[middle]!) < 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
