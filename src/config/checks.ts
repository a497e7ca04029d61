// All checks across keys, in the order of the file.
import { checkAuthenticators } from './check-authenticators.ts';
import { checkIdentity } from './check-identity.ts';
import { checkKeys } from './check-keys.ts';
import { checkRoutes } from './check-routes.ts';
import { checkScopes } from './check-scopes.ts';
import { checkAudit, checkServer } from './check-server.ts';
import { checkUpstreams } from './check-upstreams.ts';
import { checkUse } from './check-use.ts';
import type { PlaceOfKey } from './keys-file.ts';
import type { Review } from './review.ts';

/** Runs every check; what they find goes to the review. */
export function runChecks(review: Review, placeOfKey: PlaceOfKey): void {
  checkServer(review);
  checkAuthenticators(review);
  checkKeys(review, placeOfKey);
  checkScopes(review);
  checkUpstreams(review);
  checkIdentity(review);
  checkRoutes(review);
  checkAudit(review);
  checkUse(review);
}
