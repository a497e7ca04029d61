// Results in the JSON-RPC messages of upstreams, read strictly.
import { isArray, type Span, spanOf } from '../../json/members.ts';
import { responseLimits, scanElements, scanJson } from '../../json/scanner.ts';
import { compileShape, type Member, type Shape } from '../../json/shape.ts';

/** The members of a result that are looked at. */
export interface ResultShape<P extends string> {
  readonly shape: Shape;
  readonly members: readonly P[];
}

/** A result that an upstream gave. */
export interface Result<P extends string> extends Span {
  /** Undefined where the result has no such member. */
  readonly member: (name: P) => Span | undefined;
}

const envelopeMembers = ['result', 'error', 'method'] as const;

/** The shape of a response whose result has these members. */
export function shapeOfResult<P extends string>(members: readonly P[]): ResultShape<P> {
  const inner = shapeOfMembers(members, envelopeMembers.length);
  const envelope = envelopeMembers.map((name, slot): [string, Member] => [
    name,
    name === 'result' ? { slot, shape: inner } : { slot },
  ]);
  return { shape: compileShape(new Map(envelope), false), members };
}

/** The shape of an object with these members, noted from `firstSlot` on. */
export function shapeOfMembers(members: readonly string[], firstSlot = 0): Shape {
  return compileShape(new Map(members.map((name, index) => [name, { slot: firstSlot + index }])), false);
}

/**
 * The results in a text of one message or a batch of them; `whole` when it must be nothing else. Throws an Error for the log when it is, or when
 * some reader could understand the text in another way.
 */
export function readResults<P extends string>(
  bytes: Buffer,
  { shape, members }: ResultShape<P>,
  whole: boolean,
): Result<P>[] {
  const slots = envelopeMembers.length + members.length;
  const spans = scanJson(bytes, shape, slots, responseLimits);
  const start = bytes.findIndex((byte) => byte > 0x20);
  const messages = isArray(bytes, { start, end: bytes.length })
    ? scanElements(bytes, start, shape, slots, responseLimits)
    : [{ start, end: bytes.length, spans }];
  return messages.flatMap((message) => {
    const [result, error, method] = envelopeMembers.map((_, slot) => spanOf(message, slot));
    if (whole && (result ?? error ?? method) === undefined) throw new Error('the answer is no JSON-RPC message');
    if (result === undefined) return [];
    return { ...result, member: (name) => spanOf(message, envelopeMembers.length + members.indexOf(name)) };
  });
}
