// Schema of `upstreams`: addresses, TLS, identity, timeouts and limits.
import * as z from 'zod';
import { exchangeSchema } from '../../oauth/token-exchange.ts';
import { assertionAlgorithms } from '../../upstream/identity/facts.ts';
import { duration, filePath, headerName, httpUrl, plainPath, positiveSize, scopes, text, timeout } from './values.ts';

const places = z.int().min(1).max(1_000_000);

const minLifetimeMs = 5000;
const maxLifetimeMs = 600_000;

const identityHeaders = z.record(text, headerName);

const assertion = z.strictObject({
  audience: text.describe('Its `aud`: the name that the upstream expects.'),
  algorithm: z.enum(assertionAlgorithms).default('ES256').describe('How it is signed.'),
  username: z
    .record(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected the name of an authenticator, or default'), text)
    .default({ default: '${subject}' })
    .describe(
      'The name that the upstream knows a caller by: a template over the principal, by authenticator, or default.',
    ),
  scopes: scopes
    .default([])
    .describe('Scopes that the upstream asks of every caller, besides those that the caller has.'),
  claims: z
    .record(text, text)
    .default({ email: 'email', tenant: 'tenant' })
    .describe(
      "Further claims: the upstream's name to a claim that authenticators configure; left out where it is absent.",
    ),
  keyFiles: z
    .array(filePath)
    .max(8)
    .default([])
    .describe(
      'PEM files with private keys: the first signs, all are published; default one of the process, kept over reloads.',
    ),
  lifetime: duration
    .refine((ms) => ms >= minLifetimeMs && ms <= maxLifetimeMs, 'expected a duration from 5s to 10m')
    .prefault('60s')
    .describe('How long it is valid; never beyond the credential itself.'),
});

const identity = z.strictObject({
  headers: z
    .union([z.boolean(), identityHeaders])
    .default(true)
    .describe('Identity headers: the default names, none, or a map from facts and configured claims to header names.'),
  assertion: assertion.optional().describe('A JWT signed by the gateway, sent as Authorization: Bearer.'),
  exchange: exchangeSchema
    .optional()
    .describe(
      "The caller's token exchanged at its issuer for one for the upstream (RFC 8693), sent as Authorization: Bearer.",
    ),
});

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
      path: plainPath.describe('The path of the request; on that of an MCP route its tools are listed.'),
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
  connectionMaxAge: timeout
    .prefault('5m')
    .describe(
      'Age from which a connection takes no further request, so that a name that moves to other addresses is followed.',
    ),
  onClientDisconnect: z
    .enum(['abort', 'drain', 'auto'])
    .default('auto')
    .describe(
      'A call whose client leaves ends (abort), or its answer is read to the end (drain); auto: as the MCP revision of the message asks. Streams and path routes always end.',
    ),
  limits: z
    .strictObject({
      concurrency: places.default(32).describe('Requests at the same time; streams and drains do not count.'),
      concurrencyPerClient: places
        .optional()
        .describe('Of these, requests of one client, for all its people; default 32.'),
      concurrencyPerSubject: places
        .optional()
        .describe(
          'Of these, requests of one person, or of a client without people; default 8, or concurrencyPerClient where only that is set.',
        ),
      streamsPerClient: places
        .optional()
        .describe('Streams of one client, for all its people; default no limit of their own.'),
      streamsPerSubject: places
        .optional()
        .describe(
          'Streams that one person, or a client without people, may hold open; default 16, or streamsPerClient where only that is set.',
        ),
      drains: z
        .int()
        .min(0)
        .max(1_000_000)
        .default(16)
        .describe('Calls whose client has left and whose answer is read to the end; beyond it they are aborted.'),
      drainsPerSubject: z
        .int()
        .min(0)
        .max(1_000_000)
        .default(4)
        .describe('Of these, calls of one person, or of a client without people.'),
      responseBytes: positiveSize.prefault('16MiB').describe('The largest answer; of a stream, the largest event.'),
    })
    .transform(withSubjectLimits)
    .prefault({})
    .describe('How much the upstream has to bear; beyond it requests are answered 503.'),
});

interface ClientLimits {
  readonly concurrencyPerClient?: number | undefined;
  readonly concurrencyPerSubject?: number | undefined;
  readonly streamsPerClient?: number | undefined;
  readonly streamsPerSubject?: number | undefined;
}

/** A file that sets the limits of a client alone gives one person the whole of them, as before there were limits of a person. */
function withSubjectLimits<L extends ClientLimits>(
  limits: L,
): L & Record<'concurrencyPerClient' | 'concurrencyPerSubject' | 'streamsPerSubject', number> {
  const { concurrencyPerClient, streamsPerClient } = limits;
  return {
    ...limits,
    concurrencyPerClient: concurrencyPerClient ?? 32,
    concurrencyPerSubject: limits.concurrencyPerSubject ?? concurrencyPerClient ?? 8,
    streamsPerSubject: limits.streamsPerSubject ?? streamsPerClient ?? 16,
  };
}
