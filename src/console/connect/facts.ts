// Facts of the connect page: endpoints, the authority to trust, and what a client sees before it has a token.

import type { X509Certificate } from 'node:crypto';
import { nameText } from '../../authn/certificate/x509.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import type { Configuration } from '../../gateway/reload.ts';
import { parseCertificateChain } from '../../http/connection/secure-context.ts';
import { parseCertificates } from '../../pem.ts';
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
  /** The upstream's name in the configuration. */
  readonly upstream: string;
  readonly url: string;
  /** Scopes that the first challenge asks for. */
  readonly scopes: readonly string[];
  readonly authorizationServers: readonly string[];
  /** Authenticators by the type of their credentials. */
  readonly accepts: readonly string[];
}

/** The root of the gateway's chain, or the last certificate that is known of it. */
export interface AuthorityFacts {
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256. */
  readonly fingerprint: string;
  readonly isRoot: boolean;
  readonly pem: string;
}

/** Creates the functions. */
export function connectFacts({ current, publicAddress, runtime }: RunningParts): ConnectSource {
  const endpoints = () => runtime.snapshot.routes.filter(({ mcp }) => mcp !== undefined);
  const upstreamOf = (name: string) =>
    runtime.snapshot.config.routes[runtime.snapshot.routes.findIndex((route) => route.name === name)]?.upstream ?? '';
  const typeOf = (name: string) => current().loaded.config.authenticators[name]?.type;
  return {
    async connect() {
      return {
        endpoints: endpoints().map(({ authorizationServers, challenge, name, requirements, resource }) => ({
          route: name,
          upstream: upstreamOf(name),
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

/** A chain without its root is completed from the authorities of clients, as TLS does when it sends the chain. */
function authorityOf({ loaded: { config, files } }: Configuration): AuthorityFacts | undefined {
  const { certFile, clientCaFile } = config.server.tls ?? {};
  if (certFile === undefined) return undefined;
  const last = files.parse(certFile, parseCertificateChain).at(-1)!;
  const others = clientCaFile === undefined ? [] : files.parse(clientCaFile, parseCertificates);
  const root = [last, ...others].find((each) => isRoot(each) && last.checkIssued(each) && last.verify(each.publicKey));
  const shown = root ?? last;
  return {
    subject: nameText(shown.subject),
    issuer: nameText(shown.issuer),
    fingerprint: shown.fingerprint256,
    isRoot: root !== undefined,
    pem: shown.toString(),
  };
}

function isRoot(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate);
}
