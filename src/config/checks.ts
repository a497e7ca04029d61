// All checks across keys, in the order of the file.
import type { PlaceOfKey } from './keys-file.ts';
import type { Review } from './review.ts';

/** Runs every check; what they find goes to the review. */
export function runChecks(review: Review, placeOfKey: PlaceOfKey): void {
  void review;
  void placeOfKey;
}
