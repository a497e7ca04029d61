// Schema of `server`, `admin` and `revocation`.
import * as z from 'zod';
import { certificateHeaderSchema } from '../../authn/certificate/header.ts';
import { oauthClientKeys } from '../../oauth/client-auth.ts';
import { isProxyUrl } from '../../oauth/egress.ts';
import { claims } from '../../policy/selectors/claims.ts';
import { clients } from '../../policy/selectors/clients.ts';
import {
  address,
  authenticatorName,
  callerOrigin,
  duration,
  filePath,
  host,
  origin,
  peers,
  positiveSize,
  rate,
  scopes,
  text,
  timeout,
  watchedFilePath,
} from './values.ts';

/** More hinder each other on any machine of today. */
const maxWorkers = 256;

const tlsServer = z.strictObject({
  certFile: filePath.describe('PEM file: the server certificate and its intermediates.'),
  keyFile: filePath.describe('PEM file: its private key, not encrypted.'),
  clientCertificates: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe('Clients are not asked for a certificate, asked, or refused in the handshake without one.'),
  clientCaFile: filePath.optional().describe('PEM file: the authorities that client certificates must come from.'),
  clientCrlFile: filePath.optional().describe('PEM file: revocation lists of those authorities.'),
  certificates: z
    .array(
      z.strictObject({
        certFile: filePath.describe('PEM file: a further server certificate and its intermediates.'),
        keyFile: filePath.describe('PEM file: its private key, not encrypted.'),
      }),
    )
    .default([])
    .describe('Further certificates, each for the server names that it has.'),
  ciphers: text
    .default('modern')
    .describe('modern: TLS 1.3, and of TLS 1.2 ECDHE with AEAD; or a list in the form of OpenSSL.'),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('The oldest TLS version accepted.'),
});

const serverLimits = z.strictObject({
  bodyBytes: positiveSize.prefault('1MiB').describe('The largest request body.'),
  bodyBytesPerSubject: positiveSize
    .prefault('8MiB')
    .describe(
      'Bodies of one person, client or address that are held in memory at the same time; one whole body always fits.',
    ),
  bodyBytesInAll: positiveSize
    .prefault('64MiB')
    .describe('Bodies that are held in memory at the same time; one whole body always fits.'),
  headerBytes: positiveSize.prefault('32KiB').describe('The largest request head.'),
  urlBytes: positiveSize.prefault('8KiB').describe('The longest request target.'),
  connections: z.int().min(1).max(1_000_000).default(10_000).describe('Client connections at the same time.'),
  connectionsPerAddress: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(256)
    .describe('Connections of one address at the same time, or of one IPv6 /64; trusted proxies have no such bound.'),
  refusalsPerAddress: rate
    .prefault('20/s')
    .describe(
      'Refusals and failures without a verified caller that an address gets and that are recorded one by one; beyond: 429.',
    ),
  requestsPerConnection: z
    .int()
    .min(1)
    .max(1000)
    .default(8)
    .describe('Requests of one connection under way at the same time; the next ones wait unread.'),
  receiveTimeout: timeout
    .prefault('30s')
    .describe('How long a whole request may take to arrive; its answer may take longer.'),
});

export const server = z.strictObject({
  listen: address.describe('host:port of the public listener, or unix: and the path of a socket.'),
  publicUrl: origin.describe('The address that clients type. Metadata, challenges and audiences are made from it.'),
  allowedHosts: z.array(host).default([]).describe('Further Host values; other hosts are answered 421.'),
  allowedOrigins: z
    .array(callerOrigin)
    .default([])
    .describe('Further origins whose pages, extensions or desktop applications may call.'),
  authorizationServerMetadata: z
    .enum(['mirror', 'off'])
    .default('mirror')
    .describe('mirror: the metadata of the first issuer is repeated here, for clients of MCP 2025-03-26.'),
  tls: tlsServer.optional().describe('TLS of the public listener. Without it plain HTTP, on loopback only.'),
  plaintext: z.boolean().default(false).describe('Accept plain HTTP beyond loopback; something else must encrypt.'),
  trustedProxies: peers.default([]).describe('Peers whose X-Forwarded-For and Forwarded are believed.'),
  clientCertificateHeader: certificateHeaderSchema
    .optional()
    .describe('A header in which a proxy states the certificate of the client; absent: never believed.'),
  limits: serverLimits.prefault({}).describe('Bounds of what a client may send.'),
  workers: z
    .union([z.int().min(1).max(maxWorkers), z.literal('auto')], { error: 'expected a number of processes, or auto' })
    .default(1)
    .describe(
      'Processes that share the listener; auto: one for each processor. More than one have a supervisor above them.',
    ),
  egressProxy: z
    .string()
    .refine(isProxyUrl, 'expected http:// or https://, host and port of a proxy, with user:password@ if it needs them')
    .optional()
    .describe(
      'The proxy to issuers, introspection and exchange, by CONNECT; default HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment.',
    ),
  drainTimeout: duration
    .refine((ms) => ms <= 86_400_000, 'expected at most 1d')
    .prefault('30s')
    .describe('How long requests and streams may go on after SIGTERM.'),
});

const login = z.strictObject({
  authenticator: authenticatorName
    .optional()
    .describe('The jwt authenticator at whose issuer people log in; default the only one that authenticate names.'),
  ...oauthClientKeys,
  scopes: scopes
    .default(['openid', 'profile', 'email'])
    .describe('The scopes that are asked for; openid is always among them.'),
});

export const admin = z.strictObject({
  listen: address
    .default('127.0.0.1:9090')
    .describe('host:port of console, metrics, health and status, or unix: and a path; never the public listener.'),
  publicUrl: origin
    .optional()
    .describe(
      'The address of the console as people type it: tokens must be for it, and log-in comes back to it; default that of listen.',
    ),
  tls: tlsServer
    .extend({
      clientCertificates: tlsServer.shape.clientCertificates
        .unwrap()
        .default('optional')
        .describe('As for the server; optional asks only where there is a CA.'),
      clientCaFile: tlsServer.shape.clientCaFile.describe(
        'PEM file: the authorities of client certificates; default those of the server, where authenticate names an mtls authenticator.',
      ),
    })
    .optional()
    .describe('TLS of the admin listener, as of the server.'),
  authenticate: z
    .union([
      authenticatorName,
      z.strictObject({ anyOf: z.array(authenticatorName).min(1).describe('Any of these authenticators.') }),
    ])
    .optional()
    .describe(
      'Who may see the console: an authenticator, or anyOf. Without it the console is served on loopback only.',
    ),
  allow: z
    .strictObject({
      ...clients.keys,
      ...claims.keys,
      scopes: scopes.min(1).optional().describe('All of these scopes.'),
    })
    .optional()
    .describe('Whom of those that authenticate accepts; all that is given must hold. Default: everybody.'),
  login: login.optional().describe('Log-in in the browser by OpenID Connect; absent: none.'),
  metrics: z
    .enum(['open', 'protected'])
    .default('open')
    .describe('open: /metrics and /status answer whoever reaches the listener; protected: as the console.'),
});

export const shadow = z.strictObject({
  file: watchedFilePath.describe('YAML file: another configuration. It is loaded and checked as this one is.'),
});

export const revocation = z.strictObject({
  file: watchedFilePath.describe(
    'YAML file: what is revoked. Looked at several times a second, apart from the configuration.',
  ),
});
