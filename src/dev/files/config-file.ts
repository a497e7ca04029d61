// Gateway configuration that `portcullis dev` writes: the scenario of the README, over loopback.
import { hash } from 'node:crypto';

/** Scopes, MCP rules and further routes of the written configuration. */
export interface DevelopmentPolicy {
  /** Path of the MCP route. */
  readonly mcpPath: string;
  /** Origin of the upstream. Its path is that of the route. */
  readonly upstreamOrigin: string;
  /** The upstream is reached over plain HTTP on another host; needs `insecure: true`. */
  readonly upstreamInsecure: boolean;
  readonly scopes: Readonly<Record<DevelopmentClient, readonly string[]>>;
  /** All scopes of the authorization server. */
  readonly allScopes: readonly string[];
  /** Scopes of the first challenge. */
  readonly challengeScopes: readonly string[];
  /** YAML of the policy keys below `mcp:`. */
  readonly mcp: string;
  /** YAML of further routes. */
  readonly routes: string;
}

export type DevelopmentClient = 'ai_agent_prod' | 'analytics_frontend' | 'reporting_tool';

/** Values that the configuration file is made of. */
export interface ConfigFileFacts {
  readonly gatewayPort: number;
  readonly adminPort: number;
  readonly issuer: string;
  readonly apiKeyHash: string;
  /** `YYYY-MM-DD`. */
  readonly deprecation: string;
  readonly sunset: string;
  readonly policy: DevelopmentPolicy;
}

/** First line of the file. `portcullis dev` overwrites only a file that begins with it. */
export const configFileMark = '# Written by `portcullis dev`, and written again at its next start.';

/** The text of the file. Its paths are relative to it. Its last line tells an edited file from one as it was written. */
export function configFile(facts: ConfigFileFacts): string {
  const text = configText(facts);
  return `${text}${digestLine(text)}`;
}

/** Somebody has changed the text since it was written. */
export function isEdited(text: string): boolean {
  const end = text.lastIndexOf(digestMark);
  return end === -1 || text.slice(end) !== digestLine(text.slice(0, end));
}

const digestMark = '# Edited files are kept; as written: sha256 ';

function digestLine(text: string): string {
  return `${digestMark}${hash('sha256', text, 'hex')}\n`;
}

function configText(facts: ConfigFileFacts): string {
  const { policy } = facts;
  return `${configFileMark}
version: 1

server:
  listen: 127.0.0.1:${facts.gatewayPort}
  publicUrl: https://localhost:${facts.gatewayPort}
  allowedOrigins: [http://localhost:6274]   # the MCP inspector
  tls:
    certFile: pki/server.crt
    keyFile: pki/server.key
    clientCertificates: optional
    clientCaFile: pki/ca.crt
    clientCrlFile: pki/clients.crl
  drainTimeout: 1s

admin: {listen: "127.0.0.1:${facts.adminPort}"}

authenticators:
  dev-oauth:
    type: jwt
    issuer: ${facts.issuer}
    clockTolerance: 0s
  certificates:
    type: mtls
    allow:
      - {commonName: client-ai-agent-1, clientId: ai_agent_prod}
  legacy-keys:
    type: apiKey
    deprecation: ${facts.deprecation}
    sunset: ${facts.sunset}
    migrationGuide: https://example.com/from-keys-to-oauth
    keys:
      - id: reporting-tool-1
        hash: ${facts.apiKeyHash}
        clientId: reporting_tool
        scopes: ${flow(policy.scopes.reporting_tool)}

upstreams:
  superset:
    url: ${policy.upstreamOrigin}${policy.upstreamInsecure ? '\n    insecure: true   # plain HTTP over a network: never in production' : ''}

routes:
  - name: superset-mcp
    path: ${policy.mcpPath}
    upstream: superset
    authenticate: {anyOf: [dev-oauth, legacy-keys], optional: [certificates]}
    mcp:
      denials: http   # 403 for a denied call, so that curl shows it; the default answers 200 with an error that a model can read
      challengeScopes: ${flow(policy.challengeScopes)}
${indent(policy.mcp, 6)}${indent(policy.routes, 2)}
  - name: health
    path: /health
    authenticate: none
    respond: {status: 200, json: {status: healthy}}

audit:
  sinks:
    - {type: file, path: audit.jsonl}
`;
}

/** Policy of the demo Superset: its tools under the five scopes of the scenario. */
export function supersetPolicy(upstreamOrigin: string): DevelopmentPolicy {
  return {
    mcpPath: '/mcp',
    upstreamOrigin,
    upstreamInsecure: false,
    scopes: {
      ai_agent_prod: ['dashboards:read', 'queries:execute'],
      analytics_frontend: ['dashboards:read'],
      reporting_tool: ['dashboards:read', 'queries:read', 'exports:create'],
    },
    allScopes: ['dashboards:read', 'dashboards:write', 'queries:read', 'queries:execute', 'exports:create'],
    challengeScopes: ['dashboards:read'],
    mcp: supersetMcp,
    routes: supersetRoutes,
  };
}

const supersetMcp = `preset: superset   # what each tool needs: dashboards:read to view, queries:execute to run SQL, exports:create for files, and so on
rules:             # read before the rules of the preset
  - {name: no deletion, deny: {tools: ["delete_*"]}}
`;

const supersetRoutes = `
- name: dashboards
  path: /api/dashboards/*
  methods: [GET]
  upstream: superset
  authenticate: dev-oauth
  scopes: ["dashboards:read"]
- name: queries   # defence in depth: a token and the client's own certificate
  path: /api/queries
  methods: [POST]
  upstream: superset
  authenticate: {allOf: [dev-oauth, certificates]}
  scopes: ["queries:execute"]
- name: exports
  path: /api/exports
  methods: [POST]
  upstream: superset
  authenticate: {anyOf: [dev-oauth, legacy-keys]}
  scopes: ["exports:create"]
`;

/**
 * Policy of a server with unknown tools: tools with a name of reading need `tools:read`, all others `tools:call`.
 * The agent has both scopes, the frontend and the reporting tool only `tools:read`.
 */
export function generalPolicy(upstream: URL): DevelopmentPolicy {
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(upstream.hostname);
  return {
    mcpPath: upstream.pathname === '/' ? '/mcp' : upstream.pathname.replace(/\/$/, ''),
    upstreamOrigin: upstream.origin,
    upstreamInsecure: upstream.protocol === 'http:' && !isLoopback,
    scopes: {
      ai_agent_prod: ['tools:read', 'tools:call'],
      analytics_frontend: ['tools:read'],
      reporting_tool: ['tools:read'],
    },
    allScopes: ['tools:read', 'tools:call'],
    challengeScopes: ['tools:read', 'tools:call'],
    mcp: `rules:
  - name: reading
    allow: {tools: ["get_*", "list_*", "search_*", "read_*", "find_*", "describe_*"]}
    require: {scopes: ["tools:read"]}
  - name: everything else
    allow: {tools: ["*"]}
    require: {scopes: ["tools:call"]}
  - {name: resources, allow: {resources: ["*"]}, require: {scopes: ["tools:read"]}}
  - {name: prompts, allow: {prompts: ["*"]}, require: {scopes: ["tools:read"]}}
`,
    routes: '',
  };
}

function flow(items: readonly string[]): string {
  return JSON.stringify(items);
}

function indent(text: string, columns: number): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(columns));
}
