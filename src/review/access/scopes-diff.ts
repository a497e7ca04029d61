// Difference of two configurations in scopes that no rule demands: conditions may read them, and the upstream is told them.
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import type { PolicyFile } from '../policy-file.ts';
import type { ConfigurationChange } from './configuration-diff.ts';

/** Compares the scopes that callers may have, but for those that a rule demands: the access shows these. */
export function compareScopes(before: PolicyFile, after: PolicyFile): ConfigurationChange[] {
  const demanded = new Set([before, after].flatMap(demandedBy));
  const [old, next] = [scopesOf(before), scopesOf(after)];
  // A section that is new or gone is told by itself.
  const both = [...new Set([...old.keys(), ...next.keys()])].filter(
    (words) => words.startsWith('scopeImplies') || (old.has(words) && next.has(words)),
  );
  return both.flatMap((words): ConfigurationChange[] => {
    const [one = [], other = []] = [old.get(words), next.get(words)];
    const isMore = (less: readonly string[], more: readonly string[]): boolean =>
      more.some((scope) => !demanded.has(scope) && !less.includes(scope) && !less.includes(any));
    if (isMore(one, other)) return [{ words: `${words}: more scopes`, mayWiden: true }];
    return isMore(other, one) ? [{ words: `${words}: fewer scopes`, mayWiden: false }] : [];
  });
}

/** Stands for every scope; no scope is empty. */
const any = '';

function demandedBy({ loaded }: PolicyFile): string[] {
  return [...loaded.policies.values()].flatMap(({ rules }) =>
    rules.flatMap(({ require }) => [...require.scopes, ...require.anyScope]),
  );
}

function scopesOf({ loaded: { config } }: PolicyFile): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const [scope, implied] of Object.entries(config.scopeImplies)) found.set(`scopeImplies of ${scope}`, implied);
  for (const [name, section] of Object.entries(config.authenticators)) {
    found.set(`authenticator ${name}`, section.maxScopes ?? [any]);
    if (section.type === 'apiKey')
      for (const { id, scopes = [any] } of section.keys ?? []) found.set(`key ${name}/${id}`, scopes);
    if (section.type === 'mtls')
      for (const entry of section.allow)
        found.set(`certificate ${name}/${entry[identityKeyOf(entry)!]}`, entry.scopes ?? [any]);
  }
  return found;
}
