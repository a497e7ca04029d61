// Syslog sink: audit records as messages of RFC 5424, over TLS (RFC 5425), or over TCP (RFC 6587) where that is allowed.
import { hostname } from 'node:os';
import * as z from 'zod';
import { filePath } from '../../../config/schema/values.ts';
import { buildClientContext } from '../../../http/connection/client-context.ts';
import { SecureContextError } from '../../../http/connection/secure-context.ts';
import { isLoopbackAddress } from '../../../http/host.ts';
import { checkDelivery, deliveryKey, deliveryKeys } from '../delivery/delivery-config.ts';
import { createDeliveryTarget } from '../delivery/delivery-target.ts';
import { probeReceiver, type Transport } from '../delivery/transport.ts';
import type { SinkCheck, SinkEnvironment, SinkType } from '../sink-type.ts';
import { createMessageEncoder } from './message.ts';
import { createSyslogTransport } from './transport.ts';

const pattern = /^(?<scheme>tls|tcp):\/\/(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?<port>\d{1,5})$/;
const addressExpected = 'expected tls:// or tcp://, a host and a port, such as tls://siem.example.com:6514';

const schema = z.strictObject({
  type: z.literal('syslog').describe('Records as messages of syslog (RFC 5424), over TLS or TCP.'),
  address: z
    .string(addressExpected)
    .refine((text) => !text.startsWith('udp:'), {
      error: 'syslog over UDP loses records unnoticed and is not supported; take tls://, or tcp:// on loopback',
      abort: true,
    })
    .regex(pattern, { error: addressExpected, abort: true })
    .refine((text) => Number(addressOf(text).port) <= 65_535, 'a port is at most 65535')
    .describe('The receiver.'),
  facility: z.int().min(0).max(23).default(13).describe('The facility of the messages (RFC 5424); 13 is log audit.'),
  format: z
    .enum(['json', 'cef'])
    .default('json')
    .describe(
      'json: the record as it is, whose hash can be verified; cef: its main members in the Common Event Format.',
    ),
  certFile: filePath.optional().describe('Client certificate for the receiver, in PEM.'),
  keyFile: filePath.optional().describe('The private key of certFile.'),
  ...deliveryKeys,
});

type SyslogSinkConfig = z.output<typeof schema>;

export const syslogSink = {
  schema,
  key: keyOf,
  check(config, check) {
    checkDelivery(config, check);
    const { scheme, host } = addressOf(config.address);
    if (scheme === 'tls') return checkTls(config, check);
    if (!config.insecure && !isLoopbackAddress(host))
      check.error('address', 'tcp:// sends records in clear text; take tls://, or write `insecure: true` beside it');
    for (const key of tlsKeys) if (config[key] !== undefined) check.error(key, 'is of TLS, and the address is tcp://');
  },
  probe: (config, environment) => probeReceiver(transportOf(config, environment, '0')),
  create(config, runtime, environment) {
    const transport = (next: SyslogSinkConfig, of: SinkEnvironment) => transportOf(next, of, runtime.version ?? '0');
    return createDeliveryTarget({ config, key: keyOf(config), runtime, environment, transport });
  },
} satisfies SinkType<SyslogSinkConfig>;

const tlsKeys = ['caFile', 'certFile', 'keyFile'] as const;

/** Builds the context as the gateway will, and reports every file that it cannot use. */
function checkTls(config: SyslogSinkConfig, { files, error, isRead, unusable }: SinkCheck): void {
  if (config.certFile === undefined && config.keyFile !== undefined) error('keyFile', 'needs certFile beside it');
  if (config.keyFile === undefined && config.certFile !== undefined) error('certFile', 'needs keyFile beside it');
  try {
    buildClientContext('audit.sinks', config, files);
  } catch (cause) {
    if (!(cause instanceof SecureContextError)) throw cause;
    for (const file of cause.files) {
      if (file.path !== undefined && isRead(file.path)) unusable(file.key, file.path, file.cause);
    }
  }
}

function transportOf(config: SyslogSinkConfig, { files }: SinkEnvironment, version: string): Transport {
  const { facility, format } = config;
  const { scheme, host, port } = addressOf(config.address);
  const context = scheme === 'tls' ? buildClientContext('audit.sinks', config, files) : undefined;
  const encode = createMessageEncoder({ facility, format, hostname: hostname(), version });
  return createSyslogTransport({ host, port: Number(port), context, timeoutMs }, encode);
}

function keyOf(config: SyslogSinkConfig): string {
  return deliveryKey(config, config.address);
}

/** Of connecting, of a write, and of waiting until the receiver has read everything. */
const timeoutMs = 10_000;

function addressOf(address: string): Record<'scheme' | 'host' | 'port', string> {
  const { scheme = '', host = '', port = '' } = pattern.exec(address)?.groups ?? {};
  return { scheme, host: host.replace(/^\[|\]$/g, ''), port };
}
