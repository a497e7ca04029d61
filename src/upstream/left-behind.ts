// A client left before its answer was whole: the upstream's work ends with it, or its answer is read to the end for nobody.
import { type Passage, settle } from './transfer.ts';

/** What becomes of the upstream's request, now that nobody waits for its answer any more. */
export function leaveBehind(passage: Passage): void {
  if (passage.rest === undefined && canBeReadOn(passage)) readOn(passage, passage.options.leftBehind!);
  settle(passage);
  if (passage.rest === undefined) passage.abort?.();
}

function canBeReadOn({ options, ended, failure }: Passage): boolean {
  return options.leftBehind !== undefined && !ended && failure === undefined;
}

/** Takes the rest of the answer and throws it away, for a bounded time. */
export function readOn(passage: Passage, leftBehind: Set<() => void>): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const giveUp = (): void => {
    rest.end();
    passage.abort?.();
  };
  const timer = setTimeout(giveUp, passage.upstream.timeouts.firstByte).unref();
  const rest = {
    promise,
    end() {
      clearTimeout(timer);
      leftBehind.delete(giveUp);
      resolve();
    },
  };
  passage.rest = rest;
  leftBehind.add(giveUp);
  passage.resume?.();
}
