// Routes of well-known documents: protected resource metadata (RFC 9728), mirrored server metadata (RFC 8414), keys (RFC 7517).
import { mirroredIssuer } from '../authn/authorization-servers.ts';
import type { AuthenticatorSet } from '../authn/registry.ts';
import { compileRequirements } from '../authn/requirements.ts';
import { type AcceptedBindings, bindingMetadata, noBindings } from '../authn/token/binding/accepted-bindings.ts';
import type { Config } from '../config/schema/config.ts';
import { GatewayError } from '../errors.ts';
import {
  keySetPath,
  metadataPathOf,
  otherFormOf,
  protectedResourceMetadata,
  publicDocumentHeaders,
  rootMetadataPath,
  serverMetadataPath,
} from '../http/well-known.ts';
import { openPolicy } from '../policy/compile.ts';
import type { Answer, Route } from './route.ts';
import { uncounted } from './rule-hits.ts';

/** Routes of all documents. `routes` are the compiled routes of the configuration; `publishedKeys` is the key set of the assertions, if any. */
export function metadataRoutes(
  routes: readonly Route[],
  config: Config,
  { keySets }: Pick<AuthenticatorSet, 'keySets'>,
  publishedKeys: string | undefined,
): Route[] {
  const mirrored = mirroredIssuer(config);
  const keySet = [...keySets.values()].find(({ issuer }) => issuer === mirrored);
  return [
    ...resourceRoutes(routes),
    ...(publishedKeys === undefined ? [] : [documentRoute('published-keys', keySetPath, fixedDocument(publishedKeys))]),
    ...(keySet === undefined
      ? []
      : [documentRoute('authorization-server-metadata', serverMetadataPath, () => mirror(keySet.metadata()))]),
  ];
}

/** Route of a public document: credential, Host and Origin are not checked. */
function documentRoute(name: string, path: string, document: (path: string) => Answer): Route {
  return {
    name,
    path,
    methods: new Set(['GET', 'OPTIONS']),
    mcp: undefined,
    forwardHeaders: [],
    sessions: undefined,
    pins: undefined,
    resource: '',
    authorizationServers: [],
    bindings: noBindings,
    requirements: compileRequirements({ authenticate: 'none' }, new Map()),
    policy: openPolicy,
    hits: uncounted,
    limits: [],
    bodyBytes: undefined,
    websocket: false,
    upstream: undefined,
    respond: (method, asked) => (method === 'OPTIONS' ? options : document(asked)),
    challenge: undefined,
    otherForm: undefined,
    anyOrigin: true,
  };
}

/** A document that is constant until the next reload. */
function fixedDocument(text: string): () => Answer {
  const answer = { status: 200, headers: publicDocumentHeaders, body: text };
  return () => answer;
}

const options: Answer = {
  status: 204,
  headers: { allow: 'GET, HEAD, OPTIONS', 'access-control-allow-origin': '*' },
  body: '',
};

interface ProtectedResource {
  readonly resource: string;
  readonly authorizationServers: Set<string>;
  readonly scopes: Set<string>;
  readonly bindings: AcceptedBindings[];
  isMcp: boolean;
}

/**
 * One document for each resource that takes tokens, at the path form of RFC 9728 §3.1. Routes of the same resource share its document. Asked with a
 * trailing slash or without, it is that of the resource in the same form. The document of a sole MCP endpoint is also at the root.
 */
function resourceRoutes(routes: readonly Route[]): Route[] {
  const documents = new Map<string, ProtectedResource>();
  for (const { authorizationServers, bindings, challenge, mcp } of routes) {
    if (challenge?.metadataUrl === undefined) continue;
    const pathname = metadataPathOf(challenge.resource);
    const known = documents.get(pathname) ?? {
      resource: challenge.resource,
      authorizationServers: new Set(),
      scopes: new Set(),
      bindings: [],
      isMcp: false,
    };
    documents.set(pathname, known);
    for (const issuer of authorizationServers) known.authorizationServers.add(issuer);
    for (const scope of challenge.requestedScopes(challenge.scope)) known.scopes.add(scope);
    known.bindings.push(bindings);
    known.isMcp ||= mcp !== undefined;
  }
  const [endpoint, another] = [...documents.values()].filter(({ isMcp }) => isMcp);
  if (endpoint !== undefined && another === undefined && !documents.has(rootMetadataPath)) {
    documents.set(rootMetadataPath, endpoint);
  }
  return [...documents].map(([path, { resource, authorizationServers, bindings, scopes }]) => {
    const common = { authorizationServers: [...authorizationServers], scopes: [...scopes] };
    const documentOf = (form: string): (() => Answer) =>
      fixedDocument(
        JSON.stringify({ ...protectedResourceMetadata({ resource: form, ...common }), ...bindingMetadata(bindings) }),
      );
    const own = documentOf(resource);
    const other = path === rootMetadataPath ? own : documentOf(otherFormOf(resource));
    const document = (asked: string) => (asked.endsWith('/') === resource.endsWith('/') ? own() : other());
    return documentRoute('protected-resource-metadata', path, document);
  });
}

/** Authorization server metadata (RFC 8414) as the issuer publishes it, its `issuer` included. */
function mirror(metadata: string | undefined): Answer {
  if (metadata !== undefined) return { status: 200, headers: publicDocumentHeaders, body: metadata };
  throw new GatewayError(
    'idp_unavailable',
    'The metadata of the authorization server is not at hand at the moment. Try again shortly.',
    { reason: 'metadata', headers: { 'retry-after': '10', 'access-control-allow-origin': '*' } },
  );
}
