// Checks of `scopeImplies`: no circles, and nothing implied that nobody asks for.
import { impliedBy } from '../authn/scopes.ts';
import { rulesOf } from '../policy/presets.ts';
import type { Review } from './review.ts';
import type { RouteConfig, RuleConfig } from './schema.ts';
import { suggestion } from './suggest.ts';

export function checkScopes(review: Review): void {
  const implications = review.draft.scopeImplies ?? {};
  const asked = askedFor(review.draft.routes ?? []);
  for (const [scope, implied] of Object.entries(implications)) {
    implied.forEach((other, index) => {
      const at = ['scopeImplies', scope, index];
      if (other === scope || impliedBy(other, implications).includes(scope)) {
        review.error(at, `${review.show(other)} implies ${review.show(scope)} again: a scope must not imply itself`);
      } else if (implied.indexOf(other) < index) {
        review.warn(at, 'is named twice');
      } else if (!asked.isAskedFor(other) && !Object.hasOwn(implications, other)) {
        review.warn(at, `no rule asks for ${review.show(other)}${suggestion(other, asked.scopes)}`);
      }
    });
  }
}

/** What the rules of all routes require; a condition asks for whatever scope stands in it. */
function askedFor(routes: readonly RouteConfig[]): { scopes: ReadonlySet<string>; isAskedFor(scope: string): boolean } {
  const rules: RuleConfig[] = routes.flatMap(({ mcp, rules = [] }) => (mcp === undefined ? rules : rulesOf(mcp)));
  const ofRules = rules.flatMap(({ require }) => [...(require?.scopes ?? []), ...(require?.anyScope ?? [])]);
  const scopes = new Set([...routes.flatMap((route) => route.scopes ?? []), ...ofRules]);
  const conditions = rules.flatMap(({ allow, deny, require }) => [allow?.when, deny?.when, require?.when]);
  return {
    scopes,
    isAskedFor: (scope) => scopes.has(scope) || conditions.some((condition) => condition?.includes(scope)),
  };
}
