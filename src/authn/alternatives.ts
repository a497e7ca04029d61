// Alternatives of credentials that a route accepts: the three forms of `authenticate` as one.
import * as z from 'zod';
import type { Path } from '../config/schema/reporter.ts';
import { authenticatorName } from '../config/schema/values.ts';

const alternative = z.union([
  authenticatorName,
  z.strictObject({ allOf: z.array(authenticatorName).min(1).describe('All of these authenticators.') }),
]);

/** `authenticate` of a route. */
export const authenticateSchema = z.union([
  z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected the name of an authenticator, or none'),
  z.strictObject({
    anyOf: z.array(alternative).min(1).optional().describe('The first alternative that is all there counts.'),
    allOf: z.array(authenticatorName).min(1).optional().describe('All of these authenticators.'),
    optional: z.array(authenticatorName).optional().describe('Credentials that may come besides.'),
  }),
]);
export type AuthenticateConfig = z.output<typeof authenticateSchema>;

/** An authenticator that a route names. */
export interface NamedAuthenticator {
  readonly name: string;
  /** In the configuration. */
  readonly path: Path;
}

/** The authenticators that must all be there. */
export interface Alternative {
  readonly path: Path;
  readonly members: readonly NamedAuthenticator[];
}

/** The content of `authenticate`. */
export interface Alternatives {
  /** Empty for `none`. */
  readonly required: readonly Alternative[];
  readonly optional: readonly NamedAuthenticator[];
}

/** Reads `authenticate`, which stands at `base`. `anyOf` beside `allOf` is one of the alternatives, and all of those. */
export function alternativesOf(config: AuthenticateConfig, base: Path = []): Alternatives {
  if (config === 'none') return { required: [], optional: [] };
  if (typeof config === 'string') {
    return { required: [{ path: base, members: [{ name: config, path: base }] }], optional: [] };
  }
  const named = (names: readonly string[] = [], ...below: Path) =>
    names.map((name, index) => ({ name, path: [...base, ...below, index] }));
  const all = named(config.allOf, 'allOf');
  const anyOf = config.anyOf?.map((member, index): Alternative => {
    const path = [...base, 'anyOf', index];
    const members =
      typeof member === 'string' ? [{ name: member, path }] : named(member.allOf, 'anyOf', index, 'allOf');
    return { path, members: [...members, ...all] };
  });
  const allOf = all.length === 0 ? [] : [{ path: [...base, 'allOf'], members: all }];
  return { required: anyOf ?? allOf, optional: named(config.optional, 'optional') };
}

/** Every authenticator that `authenticate` names, optional ones included, each once and in order. */
export function authenticatorNamesOf(config: AuthenticateConfig): string[] {
  return [...new Set(namedBy(alternativesOf(config)).map(({ name }) => name))];
}

/** Everything that is named, in order. */
export function namedBy({ required, optional }: Alternatives): NamedAuthenticator[] {
  return [...required.flatMap(({ members }) => members), ...optional];
}
