// What a route's `authenticate` comes to: its alternatives, each with the place it stands at.
import type { Path } from './problem.ts';
import type { AuthenticateConfig, AuthenticatorConfig } from './schema/config.ts';

export interface NamedAuthenticator {
  readonly name: string;
  readonly path: Path;
}

/** The authenticators that must all be there. */
export interface Alternative {
  readonly path: Path;
  readonly members: readonly NamedAuthenticator[];
}

export interface Alternatives {
  /** Empty for `none`. */
  readonly required: readonly Alternative[];
  readonly optional: readonly NamedAuthenticator[];
}

/** Reads the three forms; `base` is the path of `authenticate`. */
export function alternativesOf(config: AuthenticateConfig, base: Path): Alternatives {
  if (typeof config === 'string') {
    if (config === 'none') return { required: [], optional: [] };
    return { required: [{ path: base, members: [{ name: config, path: base }] }], optional: [] };
  }
  const named = (names: readonly string[], path: Path) =>
    names.map((name, index) => ({ name, path: [...path, index] }));
  const anyOf = (config.anyOf ?? []).map((member, index): Alternative => {
    const path = [...base, 'anyOf', index];
    if (typeof member === 'string') return { path, members: [{ name: member, path }] };
    return { path, members: named(member.allOf, [...path, 'allOf']) };
  });
  const allOf = config.allOf && { path: [...base, 'allOf'], members: named(config.allOf, [...base, 'allOf']) };
  return {
    required: allOf === undefined ? anyOf : [...anyOf, allOf],
    optional: named(config.optional ?? [], [...base, 'optional']),
  };
}

/**
 * The authenticators whose principal may act on the route, and so name the client: a token or key goes before a certificate, which acts
 * only where it is all that an alternative asks for.
 */
export function actingAuthenticators(
  { required, optional }: Alternatives,
  authenticators: Readonly<Record<string, AuthenticatorConfig>>,
): string[] {
  const isCertificate = (name: string) => Object.hasOwn(authenticators, name) && authenticators[name]?.type === 'mtls';
  const acting = required.flatMap(({ members }) => {
    const bearers = members.filter(({ name }) => !isCertificate(name));
    return bearers.length > 0 ? bearers : members;
  });
  const besides = optional.filter(({ name }) => !isCertificate(name));
  return [...new Set([...acting, ...besides].map(({ name }) => name))];
}
