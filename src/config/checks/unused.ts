// Warnings about what is configured and never used.
import { authenticatorNamesOf } from '../../authn/alternatives.ts';
import type { Path } from '../schema/reporter.ts';
import type { CheckContext } from './context.ts';

/** Warns of unused authenticators and upstreams. */
export function checkUse(context: CheckContext): void {
  const { admin, routes = [], authenticators = {} } = context.draft;
  const uses = [admin?.authenticate, ...routes.map(({ authenticate }) => authenticate)];
  const named = uses.flatMap((authenticate) => (authenticate === undefined ? [] : authenticatorNamesOf(authenticate)));
  const asksForCertificates = routes.some((route) => (route.certificateFor ?? []).length > 0);
  const idle = Object.keys(authenticators).filter(
    (name) => authenticators[name]?.type === 'mtls' && asksForCertificates,
  );
  warnOfUnused(context, ['authenticators'], context.declared.authenticators, [...named, ...idle]);
  const targets = routes.flatMap(({ upstream }) => upstream ?? []);
  warnOfUnused(context, ['upstreams'], context.declared.upstreams, targets);
}

/** A name that is used and not there is probably one of those that seem unused. */
function warnOfUnused(context: CheckContext, path: Path, declared: readonly string[], used: readonly string[]): void {
  if (used.some((name) => name !== 'none' && !declared.includes(name))) return;
  for (const name of declared) {
    if (!used.includes(name)) context.warn([...path, name], 'is not used by any route');
  }
}
