// The types of authenticators by the name that a configuration gives them.
import * as z from 'zod';
import { apiKeyType } from './api-key.ts';
import type { AuthenticatorType } from './authenticator-type.ts';
import { mtlsType } from './certificate/mtls.ts';
import { introspectionType } from './token/introspection.ts';
import { jwtType } from './token/jwt.ts';

/** The authenticator types. A new type is a file and a row here. */
export const authenticatorTypes = {
  jwt: jwtType,
  introspection: introspectionType,
  mtls: mtlsType,
  apiKey: apiKeyType,
} satisfies Record<string, AuthenticatorType<{ type: string }>>;

type Types = typeof authenticatorTypes;
type Schema = Types[keyof Types]['schema'];

/** One entry of `authenticators`. */
export const authenticatorSchema = z.discriminatedUnion(
  'type',
  Object.values(authenticatorTypes).map(({ schema }) => schema) as [Schema, ...Schema[]],
);
export type AuthenticatorConfig = z.output<Schema>;

/** The row of a configured authenticator. */
export function authenticatorTypeOf(config: AuthenticatorConfig): AuthenticatorType<AuthenticatorConfig> {
  return authenticatorTypes[config.type];
}
