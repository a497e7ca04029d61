// Servers around the gateway: Keycloak, Superset's MCP server and Superset's web server, each on a free port of loopback.
import { createFakeIssuer, type FakeIssuer } from '../../support/issuer.ts';
import { closedPort } from '../../support/upstream.ts';
import type { Daemon, Daemons } from './daemons.ts';
import { type Installation, publicUrl } from './install.ts';
import { type Keycloak, startKeycloak } from './keycloak.ts';
import { prepareSuperset, type Superset } from './superset.ts';

export interface Ports {
  readonly gateway: number;
  /** Where Superset fetches the gateway's keys. */
  readonly admin: number;
  readonly keycloak: number;
  readonly mcp: number;
  readonly web: number;
  /** For further servers of Superset. */
  readonly spare: readonly [number, number, number];
}

export interface Servers {
  readonly ports: Ports;
  readonly keycloak: Keycloak;
  /** The application of embedded analytics, which signs tokens of its own. */
  readonly application: FakeIssuer;
  readonly superset: Superset;
  readonly mcp: Daemon;
  readonly web: Daemon;
  close(): Promise<void>;
}

/** Databases and logs go into `folder`. Throws an Error with the log of what does not start. */
export async function startServers(daemons: Daemons, installation: Installation, folder: string): Promise<Servers> {
  const [gateway, admin, keycloakPort, mcpPort, webPort, ...spare] = await freePorts(8);
  const ports = { gateway, admin, keycloak: keycloakPort, mcp: mcpPort, web: webPort, spare } as unknown as Ports;
  const superset = prepareSuperset({
    daemons,
    installation,
    folder,
    keySet: `http://127.0.0.1:${ports.admin}/.well-known/jwks.json`,
    issuer: publicUrl,
  });
  const [keycloak, mcp, web, application] = await Promise.all([
    startKeycloak({
      daemons,
      installation,
      port: ports.keycloak,
      folder,
    }),
    superset.startMcp(ports.mcp),
    superset.startWeb(ports.web),
    createFakeIssuer(),
  ]);
  return {
    ports,
    keycloak,
    application,
    superset,
    mcp,
    web,
    async close() {
      await application.close();
      await daemons.stopAll();
    },
  };
}

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const origins = await Promise.all(Array.from({ length: count }, closedPort));
  return origins.map((origin) => Number(new URL(origin).port));
}
