// All checks across keys, in the order of the file.

import type { PlaceOfKey } from '../keys-file.ts';
import { checkKeys } from './api-keys.ts';
import { checkAuthenticators } from './authenticators.ts';
import type { Review } from './report.ts';
import { checkRoutes } from './routes.ts';
import { checkScopes } from './scopes.ts';
import { checkAudit, checkServer } from './server.ts';
import { checkUse } from './unused.ts';
import { checkIdentity } from './upstream-identity.ts';
import { checkUpstreams } from './upstreams.ts';

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
