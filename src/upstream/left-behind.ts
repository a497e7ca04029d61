// A client left before its answer was whole: the upstream's work ends with it, or its answer is read to the end for nobody.
import { type Passage, settle } from './passage.ts';

/** What becomes of the upstream's request, now that nobody waits for its answer any more. */
export function leaveBehind(passage: Passage): void {
  const { leftBehind } = passage.options;
  clearTimeout(passage.stallTimer);
  if (passage.giveUp !== undefined) return;
  if (leftBehind === undefined || passage.ended || passage.failure !== undefined) {
    settle(passage);
    passage.abort?.();
    return;
  }
  const giveUp = (): void => {
    endReading(passage);
    passage.abort?.();
  };
  const timer = setTimeout(giveUp, passage.upstream.timeouts.firstByte).unref();
  passage.giveUp = () => {
    clearTimeout(timer);
    leftBehind.delete(giveUp);
  };
  leftBehind.add(giveUp);
  passage.resume?.();
}

/** The upstream has ended its answer, or it is not read any further. */
export function endReading(passage: Passage): void {
  passage.giveUp?.();
  settle(passage);
}
