// Warnings about what is configured and never used.
import { alternativesOf, namesIn } from './alternatives.ts';
import type { Review } from './review.ts';

export function checkUse(review: Review): void {
  const routes = review.draft.routes ?? [];
  const authenticators = new Set(routes.flatMap((route) => namesIn(alternativesOf(route.authenticate, []))));
  const certificates = routes.some((route) => (route.certificateFor ?? []).length > 0);
  for (const [name, { type }] of Object.entries(review.draft.authenticators ?? {})) {
    if (authenticators.has(name) || (type === 'mtls' && certificates)) continue;
    review.warn(['authenticators', name], 'is not used by any route');
  }
  const upstreams = new Set(routes.map(({ upstream }) => upstream));
  for (const name of Object.keys(review.draft.upstreams ?? {})) {
    if (!upstreams.has(name)) review.warn(['upstreams', name], 'is not used by any route');
  }
}
