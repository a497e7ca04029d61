// Facts of the connect page: endpoints, the authority to trust, and what a client sees before it has a token.

import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import type { Configuration } from '../../gateway/reload.ts';
import { parseCertificateChain } from '../../http/connection/secure-context.ts';
import { type ClientCheck, checkAsClient } from './client-check.ts';

/** Functions of the console source that the page asks. */
export interface ConnectSource {
  connect(): Promise<ConnectFacts>;
  /** Does what a client does first at the MCP route of this name; undefined where there is none. */
  checkAsClient(route: string): Promise<ClientCheck | undefined>;
}

/** Endpoints, and the authority that clients have to trust. */
export interface ConnectFacts {
  readonly endpoints: readonly EndpointFacts[];
  readonly authority: AuthorityFacts | undefined;
}

/** An MCP route. */
export interface EndpointFacts {
  readonly route: string;
  readonly url: string;
  /** Scopes that the first challenge asks for. */
  readonly scopes: readonly string[];
  readonly authorizationServers: readonly string[];
  /** Authenticators by the type of their credentials. */
  readonly accepts: readonly string[];
}

/** The last certificate of the chain that the gateway sends. */
export interface AuthorityFacts {
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256. */
  readonly fingerprint: string;
  /** A root that is sent along. */
  readonly isRoot: boolean;
  readonly pem: string;
}

/** Creates the functions. */
export function connectFacts({ current, publicAddress, runtime }: RunningParts): ConnectSource {
  const endpoints = () => runtime.snapshot.routes.filter(({ mcp }) => mcp !== undefined);
  const typeOf = (name: string) => current().loaded.config.authenticators[name]?.type;
  return {
    async connect() {
      return {
        endpoints: endpoints().map(({ authorizationServers, challenge, name, requirements, resource }) => ({
          route: name,
          url: resource,
          scopes: challenge === undefined ? [] : challenge.requestedScopes(challenge.scope),
          authorizationServers,
          accepts: [...new Set([...requirements.named].map(typeOf).filter((type) => type !== undefined))],
        })),
        authority: authorityOf(current()),
      };
    },
    async checkAsClient(name) {
      const route = endpoints().find((each) => each.name === name);
      const address = publicAddress();
      if (route === undefined || address === undefined) return undefined;
      const { keySets } = runtime.snapshot.authenticators;
      return checkAsClient({
        url: route.resource,
        address,
        isTls: current().loaded.config.server.tls !== undefined,
        metadataOf: (issuer) => [...keySets.values()].find((each) => each.issuer === issuer)?.metadata(),
      });
    },
  };
}

function authorityOf({ loaded: { config, files } }: Configuration): AuthorityFacts | undefined {
  const path = config.server.tls?.certFile;
  if (path === undefined) return undefined;
  const last = files.parse(path, parseCertificateChain).at(-1)!;
  return {
    subject: oneLine(last.subject),
    issuer: oneLine(last.issuer),
    fingerprint: last.fingerprint256,
    isRoot: last.checkIssued(last),
    pem: last.toString(),
  };
}

function oneLine(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}
