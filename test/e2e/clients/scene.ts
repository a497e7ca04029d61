// Surroundings of clients from end to end: an authorization server, a gateway over TLS on localhost, and servers of both SDK generations behind it.
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { type AuthorizationServerOptions, startAuthorizationServer } from '../../../src/dev/authorization-server.ts';
import { createCertificateAuthority } from '../../../src/pki/authority.ts';
import { type Changes, configure, yamlOf } from '../../support/configuration.ts';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '../../support/gateway.ts';
import { closedPort } from '../../support/upstream.ts';
import { startServerV1 } from '../conformance/server-v1.ts';
import { startServerV2 } from '../conformance/server-v2.ts';

export interface Scene {
  /** `https://localhost:<port>`; `/v1` is the server of the first generation, with sessions, `/v2` the one of both eras. */
  readonly origin: string;
  /** What clients have to trust. */
  readonly caPem: string;
  readonly issuer: string;
  /** May ask for `dashboards:read` and `queries:execute`. */
  readonly agent: { readonly clientId: string; readonly clientSecret: string };
  readonly gateway: TestGateway;
  /** Reloads the configuration of the scene, with these changes laid over it. */
  reload(changes?: Changes): Promise<void>;
  /** An access token of the agent for one of the paths, or of the client whose tokens live fifteen seconds. */
  token(path: string, scope: string, client?: 'agent' | 'brief'): Promise<string>;
  /** The gateway's list of revocations, whose writer is the operator. */
  readonly revocationFile: string;
  close(): Promise<void>;
}

const scopes = ['dashboards:read', 'queries:execute'];
const agent = { clientId: 'ai_agent_prod', clientSecret: 'agent-secret' };
const brief = { clientId: 'brief', clientSecret: 'brief-secret' };

/** Allowed with dashboards:read is everything but: test_sampling is denied, test_tool_with_progress needs queries:execute, some have no rule. */
const rules = [
  { name: 'sampling', deny: { tools: ['test_sampling'] } },
  { name: 'progress', allow: { tools: ['test_tool_with_progress'] }, require: { scopes: ['queries:execute'] } },
  { name: 'tests', allow: { tools: ['test_*'] }, require: { scopes: ['dashboards:read'] } },
  { name: 'texts', allow: { resources: ['test://static-*'] }, require: { scopes: ['dashboards:read'] } },
  { name: 'prompts', allow: { prompts: ['test_simple_prompt'] }, require: { scopes: ['dashboards:read'] } },
];
const route = (name: string) => ({
  path: `/${name}`,
  upstream: name,
  mcp: { challengeScopes: ['dashboards:read'], rules },
});
const webSocketRoute = { path: '/ws/*', upstream: 'echo', scopes: ['dashboards:read'], websocket: true };

export interface SceneOptions
  extends Pick<AuthorizationServerOptions, 'accessTokenLifetimeSeconds' | 'refreshTokens'>,
    Pick<TestGatewayOptions, 'pipeline' | 'revocationPollMs'> {
  /** The gateway's clock. */
  readonly now?: () => number;
  /** Beside the gateway's configuration. */
  readonly files?: Readonly<Record<string, string>>;
  /** Over the gateway's configuration. */
  readonly changes?: Changes;
  /** Sees each request at the servers behind the gateway, and may hold it up. */
  readonly arrive?: (request: IncomingMessage) => Promise<void> | undefined;
  /** The upstream of the route `/ws/*`, which has WebSockets. */
  readonly webSocketUpstream?: string;
}

export async function startScene(options: SceneOptions = {}): Promise<Scene> {
  const { now, pipeline, revocationPollMs, files, changes = {}, arrive, webSocketUpstream, ...tokens } = options;
  const authority = await createCertificateAuthority();
  const [certificate, v1, v2, free] = await Promise.all([
    authority.issue({ commonName: 'localhost', dnsNames: ['localhost'], server: true }),
    startServerV1(arrive),
    startServerV2(arrive),
    closedPort(),
  ]);
  const { port } = new URL(free);
  const origin = `https://localhost:${port}`;
  const issuer = await startAuthorizationServer({
    resources: [`${origin}/v1`, `${origin}/v2`, `${origin}/ws`],
    scopes,
    clients: [
      { ...agent, scopes },
      { ...brief, scopes, accessTokenLifetimeSeconds: 15 },
    ],
    ...tokens,
  });
  const configuration = (...more: Changes[]) =>
    yamlOf(
      configure(
        { upstreamUrl: v1.origin, issuer: issuer.issuer },
        {
          server: {
            listen: `127.0.0.1:${port}`,
            publicUrl: origin,
            tls: { certFile: 'tls.crt', keyFile: 'tls.key' },
          },
          authenticators: { keys: undefined },
          revocation: { file: 'revoked.yaml' },
          upstreams: {
            superset: undefined,
            v1: { url: v1.origin },
            v2: { url: v2.origin },
            ...(webSocketUpstream !== undefined && { echo: { url: webSocketUpstream } }),
          },
          routes: [route('v1'), route('v2'), ...(webSocketUpstream === undefined ? [] : [webSocketRoute])],
        },
        changes,
        ...more,
      ),
    );
  const gateway = await startTestGateway({
    ...(now !== undefined && { now }),
    ...(pipeline !== undefined && { pipeline }),
    ...(revocationPollMs !== undefined && { revocationPollMs }),
    files: { 'tls.crt': certificate.certificatePem, 'tls.key': certificate.keyPem, 'revoked.yaml': '{}\n', ...files },
    yaml: configuration(),
  });
  return {
    origin,
    caPem: authority.certificatePem,
    issuer: issuer.issuer,
    agent,
    gateway,
    reload: (more = {}) => gateway.reload(configuration(more)),
    revocationFile: join(gateway.directory, 'revoked.yaml'),
    async token(path, scope, client = 'agent') {
      const { clientId, clientSecret } = client === 'agent' ? agent : brief;
      const response = await fetch(issuer.tokenEndpoint, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: origin + path, scope }),
      });
      const { access_token } = (await response.json()) as { access_token: string };
      return access_token;
    },
    async close() {
      await gateway.close();
      await Promise.all([v1.close(), v2.close(), issuer.close()]);
    },
  };
}
