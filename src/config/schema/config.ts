// Schema of the configuration file: the one source of its types, its defaults and its JSON Schema.
import * as z from 'zod';
import { audit } from '../../audit/schema.ts';
import { type AuthenticatorConfig, authenticatorSchema } from '../../authn/authenticator-types.ts';
import { limit, limitName } from '../../limits/limit.ts';
import { state } from '../../state/schema.ts';
import { tracing } from '../../telemetry/schema.ts';
import { type mcp, route } from './routes.ts';
import { admin, revocation, server, shadow } from './server.ts';
import { upstream } from './upstreams.ts';
import { authenticatorName, name, scope, scopes } from './values.ts';

export type { AuthenticatorConfig };

/** The file as it is written, without what follows from several keys together. */
export const fileSchema = z.strictObject({
  version: z.literal(1).describe('The version of this format.'),
  server: server.describe('The public listener.'),
  admin: admin.prefault({}).describe('The listener of operators.'),
  authenticators: z
    .record(authenticatorName, authenticatorSchema)
    .default({})
    .describe('Verifiers of credentials, by name.'),
  scopes: z
    .record(scope, z.string().min(1).max(256))
    .optional()
    .describe('The scopes that there are, each in words for people; with it, any other scope in the file is an error.'),
  scopeImplies: z
    .record(scope, scopes.min(1))
    .default({})
    .describe('Scopes that stand for others too: whoever has the one has those it names.'),
  revocation: revocation.optional().describe('Revoked credentials, in a file of its own.'),
  upstreams: z.record(name, upstream).default({}).describe('Servers behind the gateway, by name.'),
  limits: z
    .record(limitName, limit)
    .default({})
    .describe('Rates and quotas of calls, by name; routes and rules say which of them they are under.'),
  routes: z.array(route).min(1).describe('The first route that matches a request serves it.'),
  shadow: shadow
    .optional()
    .describe('A configuration whose decisions are compared with those of this one, and never enforced.'),
  state: state.optional().describe('State that replicas share; without it each machine is for itself.'),
  audit: audit.describe('The record of every request.'),
  tracing: tracing.optional().describe('Traces of requests, by OpenTelemetry.'),
});

/** The whole file. Parse with `loadConfig`, which adds places, suggestions and the checks across keys. */
export const configSchema = fileSchema.transform((file) => ({ ...file, routes: withResources(file) }));

/** The routes with their resource identifiers: `publicUrl` and the path without `/*`, unless one is given. */
export function withResources(file: {
  readonly server: ServerConfig;
  readonly routes: readonly z.output<typeof route>[];
}): RouteConfig[] {
  const { publicUrl } = file.server;
  return file.routes.map((each) => ({
    ...each,
    resource: each.resource ?? publicUrl + each.path.replace(/\/\*$/, ''),
  }));
}

/** The validated file: durations in milliseconds, sizes in bytes, dates in milliseconds since 1970, paths absolute. */
export type Config = Omit<z.output<typeof fileSchema>, 'routes'> & { routes: RouteConfig[] };
export type ServerConfig = z.output<typeof server>;
export type UpstreamConfig = z.output<typeof upstream>;
export type AssertionConfig = NonNullable<UpstreamConfig['identity']['assertion']>;
export type RouteConfig = z.output<typeof route> & { resource: string };
export type McpConfig = z.output<typeof mcp>;
export type PresetName = NonNullable<McpConfig['preset']>['name'];
