// The shape of `upstreams`: where requests go and who they say is calling.
import { z } from 'zod';
import { type IdentityFact, identityHeaderDefaults } from '../upstream/identity-headers.ts';
import { filePath, headerName, httpUrl, text, timeout } from './schema-values.ts';

const identityHeaders = z.partialRecord(
  z.enum(Object.keys(identityHeaderDefaults) as [IdentityFact, ...IdentityFact[]]),
  headerName,
);

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
  identity: z
    .strictObject({
      headers: z
        .union([z.boolean(), identityHeaders])
        .default(true)
        .describe('Identity headers: the default names, none, or fact: header-name.'),
    })
    .prefault({})
    .describe('How the upstream learns who is calling.'),
  authorization: text
    .regex(/^[\x20-\x7e]+$/, 'expected printable ASCII')
    .optional()
    .describe('A fixed Authorization header, best interpolated; default none.'),
  timeouts: z
    .strictObject({
      connect: timeout.prefault('5s').describe('To a connection.'),
      firstByte: timeout.prefault('310s').describe("To the answer's head."),
      idle: timeout.prefault('1h').describe('Between two pieces of an answer.'),
    })
    .prefault({})
    .describe('How long the upstream may take.'),
});
