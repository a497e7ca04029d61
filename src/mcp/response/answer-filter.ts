// Filter for results of other requests: clients match results to requests by their ids, from whichever response they come.
import { spanOf } from '../../json/members.ts';
import { compileShape } from '../../json/shape.ts';
import { filterMessages, nothing } from './messages.ts';

/** Options of the filter. */
export interface AnswerOptions {
  /** The JSON text of the id of the request that is answered; undefined where no result passes. */
  readonly id: string | undefined;
  /** Told each result that is withheld. */
  readonly withheld: () => void;
}

const slots = { id: 0, result: 1 };
const envelope = compileShape(
  new Map([
    ['id', { slot: slots.id }],
    ['result', { slot: slots.result }],
  ]),
  false,
);

/** The text without results of other requests. Errors pass. Undefined when nothing is withheld, empty when nothing is left; throws as `filterMessages`. */
export function filterAnswers(text: Buffer, { id, withheld }: AnswerOptions): Buffer | undefined {
  return filterMessages(text, envelope, 2, (message) => {
    if (spanOf(message, slots.result) === undefined) return undefined;
    const span = spanOf(message, slots.id);
    const own = span !== undefined && id !== undefined && isSameId(text.toString('utf8', span.start, span.end), id);
    if (own) return undefined;
    withheld();
    return nothing;
  });
}

/** Ids may be written differently. Whole numbers that some reader would round are the same only in the same digits. */
function isSameId(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b]: unknown[] = [JSON.parse(one), JSON.parse(other)];
  return a === b && (typeof a === 'string' || Number.isSafeInteger(a));
}
