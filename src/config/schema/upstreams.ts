// The shape of `upstreams`: where requests go and who they say is calling.
import { z } from 'zod';
import { identity } from '../schema-identity.ts';
import { filePath, httpUrl, plainPath, positiveSize, text, timeout } from './values.ts';

const places = z.int().min(1).max(1_000_000);

export const upstream = z.strictObject({
  url: httpUrl
    .refine((url) => !url.includes('?'), 'expected a URL without a query')
    .describe('Where requests go; may carry a base path. Plain http on loopback only.'),
  insecure: z.boolean().default(false).describe('Accept plain http beyond loopback.'),
  tls: z
    .strictObject({
      caFile: filePath.optional().describe('PEM file: the authorities of the upstream; default the public ones.'),
      certFile: filePath.optional().describe('PEM file: the certificate shown to the upstream.'),
      keyFile: filePath.optional().describe('PEM file: its private key.'),
      serverName: text.optional().describe("The name the upstream's certificate must have; default the URL's host."),
    })
    .optional()
    .describe('TLS to the upstream, which is always verified.'),
  identity: identity.prefault({}).describe('How the upstream learns who is calling.'),
  authorization: text
    .regex(/^[\x20-\x7e]+$/, 'expected printable ASCII')
    .optional()
    .describe('A fixed Authorization header, best interpolated; default none.'),
  probe: z
    .strictObject({
      path: plainPath.describe("What is asked for; on an MCP route's path its tools."),
      expect: z.literal('refused').default('refused').describe('The answer has to be 401 or 403.'),
      every: timeout.prefault('30s').describe('Time between two probes.'),
      timeout: timeout.prefault('5s').describe('How long one may take.'),
    })
    .optional()
    .describe('A call without a credential, again and again: until it is refused the gateway is not ready.'),
  timeouts: z
    .strictObject({
      connect: timeout.prefault('5s').describe('To a connection.'),
      firstByte: timeout.prefault('310s').describe("To the answer's head."),
      idle: timeout.prefault('1h').describe('Between two pieces of an answer.'),
    })
    .prefault({})
    .describe('How long the upstream may take.'),
  onClientDisconnect: z
    .enum(['abort', 'drain', 'auto'])
    .default('auto')
    .describe(
      'What becomes of a call whose client leaves: it ends, or its answer is read to the end. auto: as the MCP revision of the message asks. Streams and path routes always end.',
    ),
  limits: z
    .strictObject({
      concurrency: places.default(32).describe('Requests at the same time; streams do not count.'),
      concurrencyPerClient: places.default(8).describe('Of these, requests of one client.'),
      streamsPerClient: places
        .default(16)
        .describe('GET event streams and subscriptions that one client may hold open.'),
      responseBytes: positiveSize.prefault('16MiB').describe('The largest answer; of a stream, the largest event.'),
    })
    .prefault({})
    .describe('How much the upstream has to bear; beyond it requests are answered 503.'),
});
