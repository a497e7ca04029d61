// The shape of the configuration file: the one source of the types, of the defaults and of the JSON Schema.
import { z } from 'zod';
import { date, duration, size } from './units.ts';

const name = z.string().regex(/^[A-Za-z0-9_./*-]{1,128}$/, 'expected a name of letters, digits and _ . - / *');
const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'expected a header name')
  .transform((text) => text.toLowerCase());
/** RFC 6749 §3.3: a scope-token. */
const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, 'expected a scope (no spaces, quotes or backslashes)');
const scopes = z.array(scope);
const filePath = z.string().min(1);
const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5}$/, 'expected host:port, such as 127.0.0.1:8443');
const httpUrl = z.string().regex(/^https?:\/\/[^\s#]+$/, 'expected an http(s) URL without a fragment');
const networks = z.array(z.string().min(1));
const method = z.string().regex(/^[A-Z]{3,16}$/, 'expected an upper-case HTTP method');
const routePath = z
  .string()
  .regex(/^\/(?:[A-Za-z0-9\-._~!$&'()+,=:@/]|%[0-9A-F]{2})*(?:\*)?$/, 'expected a path such as /mcp or /api/*')
  .refine((path) => !path.includes('*') || path.endsWith('/*'), '* may only stand as the last segment');
const globs = z.array(z.string().min(1)).min(1);
const condition = z.string().min(1).max(4096);
const claimValue = z.union([z.string(), z.number(), z.boolean()]);
const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);

const tlsServer = z.strictObject({
  certFile: filePath,
  keyFile: filePath,
  clientCertificates: z.enum(['off', 'optional', 'required']).default('off'),
  clientCaFile: filePath.optional(),
  clientCrlFile: filePath.optional(),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
});

const serverLimits = z.strictObject({
  bodyBytes: size.prefault('1MiB'),
  headerBytes: size.prefault('32KiB'),
  urlBytes: size.prefault('8KiB'),
  connections: z.int().min(1).max(1_000_000).default(10_000),
  receiveTimeout: duration.prefault('30s'),
});

const server = z.strictObject({
  listen: address,
  publicUrl: httpUrl,
  allowedHosts: z.array(z.string().min(1)).default([]),
  allowedOrigins: z.array(httpUrl).default([]),
  tls: tlsServer.optional(),
  plaintext: z.boolean().default(false),
  trustedProxies: networks.default([]),
  limits: serverLimits.prefault({}),
  workers: z.literal(1).default(1),
  drainTimeout: duration.prefault('30s'),
});

const admin = z.strictObject({ listen: address.default('127.0.0.1:9090') });

const jwtAuthenticator = z.strictObject({
  type: z.literal('jwt'),
  issuer: httpUrl,
  insecure: z.boolean().default(false),
  jwksUri: httpUrl.optional(),
  audience: oneOrMore(z.string().min(1)).optional(),
  algorithms: z
    .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']))
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA']),
  tokenTypes: z.array(z.string().min(1)).min(1).default(['at+jwt']),
  scopeClaims: z.array(z.string().min(1)).min(1).default(['scope', 'scp', 'permissions']),
  clientIdClaims: z.array(z.string().min(1)).min(1).default(['client_id', 'azp']),
  claims: z.record(z.string(), z.string()).default({}),
  maxScopes: scopes.optional(),
  clockTolerance: duration.prefault('5s'),
  keySet: z.strictObject({ refresh: duration.prefault('10m'), maxStale: duration.prefault('24h') }).prefault({}),
});

const certificateEntry = z.strictObject({
  commonName: z.string().min(1).optional(),
  dnsName: z.string().min(1).optional(),
  uri: z.string().min(1).optional(),
  fingerprint: z
    .string()
    .regex(/^sha256:[0-9a-fA-F]{64}$/, 'expected sha256: and 64 hex digits')
    .transform((text) => text.toLowerCase())
    .optional(),
  clientId: z.string().min(1),
  scopes: scopes.optional(),
});

const mtlsAuthenticator = z.strictObject({
  type: z.literal('mtls'),
  caFile: filePath.optional(),
  allow: z.array(certificateEntry).min(1),
  maxScopes: scopes.optional(),
});

/** One API key, in the file itself or in `keysFile`. */
export const apiKeyEntry = z.strictObject({
  id: z.string().min(1).max(128),
  hash: z.string(),
  clientId: z.string().min(1),
  scopes: scopes,
  notBefore: date.optional(),
  expires: date.optional(),
  networks: networks.optional(),
});

const apiKeyAuthenticator = z.strictObject({
  type: z.literal('apiKey'),
  header: headerName.default('x-api-key'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected letters, digits, _ and -')
    .default('sk_'),
  deprecation: date.optional(),
  sunset: date.optional(),
  migrationGuide: httpUrl.optional(),
  keys: z.array(apiKeyEntry).optional(),
  keysFile: filePath.optional(),
  maxScopes: scopes.optional(),
});

const authenticator = z.discriminatedUnion('type', [jwtAuthenticator, mtlsAuthenticator, apiKeyAuthenticator]);

/** The facts that `identity.headers` can carry, with the header each goes into by default. */
export const identityHeaderDefaults = {
  subject: 'x-forwarded-user',
  clientId: 'x-forwarded-client-id',
  scopes: 'x-forwarded-scopes',
  authMethod: 'x-forwarded-auth-method',
  issuer: 'x-forwarded-issuer',
  tenant: 'x-forwarded-tenant',
  requestId: 'x-request-id',
} as const;
export type IdentityFact = keyof typeof identityHeaderDefaults;

const identityHeaders = z.partialRecord(
  z.enum(Object.keys(identityHeaderDefaults) as [IdentityFact, ...IdentityFact[]]),
  headerName,
);

const upstream = z.strictObject({
  url: httpUrl,
  insecure: z.boolean().default(false),
  tls: z
    .strictObject({
      caFile: filePath.optional(),
      certFile: filePath.optional(),
      keyFile: filePath.optional(),
      serverName: z.string().min(1).optional(),
    })
    .optional(),
  identity: z.strictObject({ headers: z.union([z.boolean(), identityHeaders]).default(true) }).prefault({}),
  authorization: z.string().min(1).optional(),
  timeouts: z
    .strictObject({
      connect: duration.prefault('5s'),
      firstByte: duration.prefault('310s'),
      idle: duration.prefault('1h'),
    })
    .prefault({}),
});

/** What a rule looks at to find out whether it governs a call; all that are present must match. */
const selectors = {
  clients: z.array(z.string().min(1)).min(1).optional(),
  claims: z.record(z.string(), z.array(claimValue).min(1)).optional(),
  networks: networks.optional(),
  when: condition.optional(),
};
const mcpSelector = z.strictObject({
  tools: globs.optional(),
  resources: globs.optional(),
  prompts: globs.optional(),
  methods: globs.optional(),
  ...selectors,
});
const pathSelector = z.strictObject({
  methods: z.array(method).min(1).optional(),
  paths: z.array(routePath).min(1).optional(),
  ...selectors,
});
const requirement = z.strictObject({
  scopes: scopes.optional(),
  anyScope: scopes.min(1).optional(),
  authenticatedBy: z.array(name).min(1).optional(),
  when: condition.optional(),
});

const ruleOf = <T extends z.ZodType>(selector: T) =>
  z.strictObject({
    name: z.string().min(1).max(128).optional(),
    allow: selector.optional(),
    deny: selector.optional(),
    require: requirement.optional(),
  });
const mcpRule = ruleOf(mcpSelector);
const pathRule = ruleOf(pathSelector);

const jsonPointers = z.array(
  z.string().regex(/^(\/([^~/]|~[01])*)+$/, 'expected a JSON pointer such as /request/limit'),
);
const mcp = z.strictObject({
  challengeScopes: scopes.optional(),
  lists: z.literal('usable').default('usable'),
  denials: z.enum(['rpc', 'http']).default('rpc'),
  forwardHeaders: z.array(headerName).default([]),
  audit: z
    .strictObject({
      arguments: z.union([z.enum(['none', 'digest', 'full']), z.record(z.string(), jsonPointers)]).default('digest'),
    })
    .prefault({}),
  rules: z.array(mcpRule).default([]),
});

/** An alternative: one authenticator, or several that must all be there. */
const alternative = z.union([name, z.strictObject({ allOf: z.array(name).min(1) })]);
const authenticate = z.union([
  name,
  z.strictObject({
    anyOf: z.array(alternative).min(1).optional(),
    allOf: z.array(name).min(1).optional(),
    optional: z.array(name).optional(),
  }),
]);

const route = z.strictObject({
  name: name.optional(),
  path: routePath,
  methods: z.array(method).min(1).optional(),
  upstream: name.optional(),
  resource: httpUrl.optional(),
  authenticate,
  certificateFor: z.array(z.string().min(1)).optional(),
  scopes: scopes.optional(),
  rules: z.array(pathRule).optional(),
  mcp: mcp.optional(),
  respond: z
    .strictObject({
      status: z.int().min(200).max(599).default(200),
      json: z.json().optional(),
      text: z.string().optional(),
    })
    .optional(),
});

const sinkCommon = { required: z.boolean().default(true) };
const fileSink = z.strictObject({
  type: z.literal('file'),
  path: filePath,
  rotateAt: size.prefault('100MiB'),
  keepFor: duration.prefault('365d'),
  fsync: z.enum(['interval', 'always', 'never']).default('interval'),
  ...sinkCommon,
});
const stdoutSink = z.strictObject({ type: z.literal('stdout'), ...sinkCommon });

const audit = z.strictObject({
  sinks: z.array(z.discriminatedUnion('type', [fileSink, stdoutSink])).min(1),
  timeout: duration.prefault('2s'),
  onFailure: z.enum(['refuse', 'continue']).default('refuse'),
});

/** The whole file. Parse with `loadConfig`, which adds places, suggestions and the checks across keys. */
export const configSchema = z.strictObject({
  version: z.literal(1),
  server,
  admin: admin.prefault({}),
  authenticators: z.record(name, authenticator).default({}),
  upstreams: z.record(name, upstream).default({}),
  routes: z.array(route).min(1),
  audit,
});

/** The validated file: durations in milliseconds, sizes in bytes, dates in milliseconds since 1970, paths absolute. */
export type Config = z.output<typeof configSchema>;
export type ServerConfig = Config['server'];
export type AuthenticatorConfig = z.output<typeof authenticator>;
export type JwtAuthenticatorConfig = z.output<typeof jwtAuthenticator>;
export type MtlsAuthenticatorConfig = z.output<typeof mtlsAuthenticator>;
export type ApiKeyAuthenticatorConfig = z.output<typeof apiKeyAuthenticator>;
export type ApiKeyEntry = z.output<typeof apiKeyEntry>;
export type UpstreamConfig = z.output<typeof upstream>;
export type RouteConfig = z.output<typeof route>;
export type AuthenticateConfig = z.output<typeof authenticate>;
export type McpConfig = z.output<typeof mcp>;
export type McpRuleConfig = z.output<typeof mcpRule>;
export type PathRuleConfig = z.output<typeof pathRule>;
export type RuleConfig = McpRuleConfig | PathRuleConfig;
export type AuditConfig = Config['audit'];
export type FileSinkConfig = z.output<typeof fileSink>;
