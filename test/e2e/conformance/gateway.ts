// A real gateway over TLS in front of a reference server, as a client without a token reaches it.
import { createTestCertificates } from '../../support/certificates.ts';
import { configure, yamlOf } from '../../support/configuration.ts';
import { startTestGateway } from '../../support/gateway.ts';
import { startInjector } from '../../support/injector.ts';
import { createFakeIssuer } from '../../support/issuer.ts';
import { closedPort } from '../../support/upstream.ts';

export interface Front {
  /** `http://localhost:<port>`. */
  readonly origin: string;
  close(): Promise<void>;
}

/** Lets everything the server has through; Host and Origin of the client are checked here, not by the server. */
export async function startGatewayInFront(upstream: string): Promise<Front> {
  const certificates = await createTestCertificates();
  const issuer = await createFakeIssuer();
  const listenPort = Number(new URL(await closedPort()).port);
  const gateway = await startTestGateway({
    files: certificates.files,
    yaml: yamlOf(
      configure(
        { upstreamUrl: upstream, issuer: issuer.issuer },
        {
          server: {
            allowedHosts: [`localhost:${listenPort}`],
            allowedOrigins: [`http://localhost:${listenPort}`],
            tls: { certFile: 'tls.crt', keyFile: 'tls.key' },
          },
          authenticators: { keys: undefined },
          routes: [
            {
              path: '/mcp',
              mcp: {
                rules: [
                  { allow: { tools: ['*'] } },
                  { allow: { resources: ['*'] } },
                  { allow: { prompts: ['*'] } },
                  { allow: { methods: ['*'] } },
                ],
              },
            },
          ],
        },
      ),
    ),
  });
  const injector = await startInjector({
    port: gateway.port,
    ca: certificates.authority.certificatePem,
    token: await issuer.token(),
    listenPort,
  });
  return {
    origin: injector.origin,
    async close() {
      await injector.close();
      await gateway.close();
      await issuer.close();
    },
  };
}
