// The schema of the `state` section, and the addresses that it names.
import * as z from 'zod';
import { filePath, oneOrMore, text } from '../config/schema/values.ts';

const expected = 'expected redis:// or rediss:// and a host, such as rediss://valkey:6379/0';

const redisUrl = z
  .string(expected)
  .max(4096)
  .refine((url) => parseRedisUrl(url) !== undefined, expected);

export const state = z.strictObject({
  redis: z
    .strictObject({
      url: oneOrMore(redisUrl).describe(
        'Address of a Redis or Valkey from version 7 on, rediss:// for TLS; several of a cluster or of sentinels.',
      ),
      username: text.optional().describe('The ACL user; default that of url, or else the default user.'),
      password: text.optional().describe('Its password; default that of url, where it is percent-encoded.'),
      cluster: z.boolean().default(false).describe('The addresses are nodes of one Redis Cluster.'),
      sentinel: z
        .strictObject({
          name: text.describe('The name of the master.'),
          username: text.optional().describe('The ACL user at the sentinels.'),
          password: text.optional().describe('Its password.'),
        })
        .optional()
        .describe('The addresses are sentinels, which know the master.'),
      caFile: filePath.optional().describe('PEM file: the authorities of the server; default the public ones.'),
      certFile: filePath.optional().describe('PEM file with the certificate of the gateway, where the server asks.'),
      keyFile: filePath.optional().describe('PEM file with its private key.'),
      insecure: z.boolean().default(false).describe('Accept redis:// without TLS beyond loopback.'),
      prefix: z
        .string()
        .regex(/^[\x21-\x7e]{1,64}$/, 'expected up to 64 printable characters, such as portcullis:')
        .regex(/^[^{}]*$/, 'must not have braces: a cluster would keep all keys at one node')
        .default('portcullis:')
        .describe('Stands before every key; gateways with the same one share their state.'),
    })
    .describe('The server that replicas share.'),
  onFailure: z
    .enum(['refuse', 'local'])
    .default('refuse')
    .describe('refuse: 503 for what needs the state while it is away; local: each process by itself.'),
});

export type StateConfig = z.output<typeof state>;
export type RedisConfig = StateConfig['redis'];

/** One address with what may stand in its URL. */
export interface RedisAddress {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** Undefined for what is no address. */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(url);
  const [, database = ''] = /^\/?(\d{0,5})$/.exec(pathname) ?? [undefined, 'none'];
  if (!/^rediss?:$/.test(protocol) || hostname === '' || database === 'none' || search + hash !== '') return undefined;
  const [user, secret] = [decoded(username), decoded(password)];
  if (user === undefined || secret === undefined) return undefined;
  return {
    tls: protocol === 'rediss:',
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    username: user || undefined,
    password: secret || undefined,
    database: Number(database),
  };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** The addresses of a valid section, in their order. */
export function addressesOf({ url }: RedisConfig): RedisAddress[] {
  return [url].flat().flatMap((each) => parseRedisUrl(each) ?? []);
}
