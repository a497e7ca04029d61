// Unordered set: an array whose members know their place, and where the last one takes the place of a removed one.

/** A member, which is in one set at most. */
export interface Placed {
  /** Index in the set; -1 outside of it. */
  place: number;
}

/** A walk meets the members of its begin, also those that are deleted meanwhile. */
export interface UnorderedSet<Member extends Placed> extends Iterable<Member> {
  readonly size: () => number;
  readonly add: (member: Member) => void;
  /** Does nothing for a member that is not in the set. */
  readonly delete: (member: Member) => void;
}

/**
 * Creates an empty set for what comes and goes with each request. A `Set` or `Map` leaves its old table behind whenever it grows or shrinks; one in
 * the old generation keeps all that was in it alive, and copied by each scavenge, until the next full collection.
 */
export function createUnorderedSet<Member extends Placed>(): UnorderedSet<Member> {
  const members: Member[] = [];
  return {
    size: () => members.length,
    add(member) {
      member.place = members.push(member) - 1;
    },
    delete(member) {
      const { place } = member;
      if (members[place] !== member) return;
      const last = members.pop()!;
      if (last !== member) {
        members[place] = last;
        last.place = place;
      }
      member.place = -1;
    },
    [Symbol.iterator]: () => members.slice()[Symbol.iterator](),
  };
}
