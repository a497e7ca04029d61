// Shapes of objects: the members whose spans are noted while a text is scanned, and the spellings of their names that are refused.
import { GatewayError } from '../errors.ts';
import { foldName } from './fold.ts';
import { sameBytes, textOf } from './tokens.ts';

/**
 * The members of an object that are noted. Other spellings of their names, which some readers take for the same name, are refused:
 * those that fold to the same. A closed shape has no other members at all.
 */
export interface Shape {
  readonly closed: boolean;
  readonly members: readonly NamedMember[];
  /** The names of the members, folded. */
  readonly folded: ReadonlySet<string>;
}

/** A member whose place is noted. */
export interface Member {
  /** Where its place is noted: `spans[2 * slot]` is its first byte, `spans[2 * slot + 1]` the byte after its last; −1 when absent. */
  readonly slot: number;
  /** The shape of the value, if it is an object whose members are noted too. */
  readonly shape?: Shape;
}

interface NamedMember {
  readonly name: string;
  readonly bytes: Buffer;
  readonly member: Member;
}

/** Compiles the members of an object. A closed shape has no others. */
export function compileShape(members: ReadonlyMap<string, Member>, closed: boolean): Shape {
  return {
    closed,
    members: [...members].map(([name, member]) => ({ name, bytes: Buffer.from(name), member })),
    folded: new Set([...members.keys()].map(foldName)),
  };
}

/** The member whose name stands between the bounds, within the quotes. Throws GatewayError `invalid_jsonrpc` for a name that does not belong there. */
export function memberAt(shape: Shape, bytes: Buffer, start: number, end: number): Member | undefined {
  for (const named of shape.members) {
    const { length } = named.bytes;
    if (length === end - start && sameBytes(bytes, start, named.bytes, 0, length)) return named.member;
  }
  return memberOf(shape, textOf(bytes, start, end));
}

/** By its text: the name may be written with escapes. */
function memberOf(shape: Shape, name: string): Member | undefined {
  const named = shape.members.find((each) => each.name === name);
  if (named !== undefined) return named.member;
  if (shape.folded.has(foldName(name))) {
    throw new GatewayError('invalid_jsonrpc', 'A member of the message is misspelt: names are case-sensitive.', {
      reason: 'member_spelling',
    });
  }
  if (shape.closed) {
    throw new GatewayError('invalid_jsonrpc', 'The message has a member that does not belong there.', {
      reason: 'unknown_member',
    });
  }
  return undefined;
}
