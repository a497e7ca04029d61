// Sink http: batches of records for a SIEM, by the Splunk HTTP Event Collector, as JSON lines, ECS or OCSF.
import * as z from 'zod';
import { headerName, headerValue, httpUrl } from '../../../config/schema/values.ts';
import { isPlainHttp, plainHttpRefused } from '../../../http/host.ts';
import { authoritiesOf } from '../../../oauth/authorities.ts';
import { checkDelivery, deliveryKey, deliveryKeys } from '../delivery/delivery-config.ts';
import { createDeliveryTarget } from '../delivery/delivery-target.ts';
import { probeReceiver } from '../delivery/transport.ts';
import type { SinkCheck, SinkType } from '../sink-type.ts';
import { type FormatName, formats } from './formats.ts';
import { createHttpTransport, shownUrl } from './http-transport.ts';

const schema = z.strictObject({
  type: z.literal('http').describe('Records in batches to a receiver over HTTP, such as a SIEM.'),
  url: httpUrl.describe('Where batches are sent, by POST.'),
  headers: z.record(headerName, headerValue).default({}).describe('Headers of each request, such as a credential.'),
  format: z
    .enum(Object.keys(formats) as [FormatName, ...FormatName[]])
    .default('json-lines')
    .describe('The form of a batch: records as they are, Splunk HEC, Elastic Common Schema, or OCSF.'),
  ...deliveryKeys,
});

type HttpSinkConfig = z.output<typeof schema>;

/** Set by the sink or the HTTP client. */
const ownHeaders =
  /^(host|connection|content-(type|length|encoding)|transfer-encoding|accept-encoding|expect|te|trailer|upgrade|keep-alive|idempotency-key|x-splunk-request-channel)$/;

export const httpSink = {
  schema,
  key: keyOf,
  check(config, check) {
    checkDelivery(config, check);
    checkHttp('url', config.url, config, check);
  },
  probe: (config, environment) => probeReceiver(createHttpTransport(config, environment)),
  create: (config, runtime, environment) =>
    createDeliveryTarget({ config, key: keyOf(config), runtime, environment, transport: createHttpTransport }),
} satisfies SinkType<HttpSinkConfig>;

/** Checks an address, which stands in `key`, and what belongs to it. */
export function checkHttp(
  key: string,
  url: string,
  config: Pick<HttpSinkConfig, 'caFile' | 'headers' | 'insecure'>,
  { error, files, isRead, unusable, warn }: SinkCheck,
): void {
  const { caFile, headers, insecure } = config;
  if (isPlainHttp(url) && !insecure) error(key, plainHttpRefused);
  if (isPlainHttp(url) && insecure) warn(key, 'is plain http: records and the headers can be read on the way');
  for (const name of Object.keys(headers)) {
    if (ownHeaders.test(name)) error('headers', `"${name}" is set by the sink`);
  }
  if (caFile === undefined || !isRead(caFile)) return;
  try {
    authoritiesOf(config, { files });
  } catch (cause) {
    unusable('caFile', caFile, cause as Error);
  }
}

function keyOf(config: HttpSinkConfig): string {
  return deliveryKey(config, shownUrl(config.url));
}
