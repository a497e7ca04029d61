// OTLP sink: audit records as log records for an OpenTelemetry collector, in JSON over HTTP (OpenTelemetry protocol 1.x).
import * as z from 'zod';
import { headerName, headerValue, httpUrl } from '../../../config/schema/values.ts';
import { otlpUrl } from '../../../http/otlp-url.ts';
import { checkDelivery, deliveryKey, deliveryKeys } from '../delivery/delivery-config.ts';
import { createDeliveryTarget } from '../delivery/delivery-target.ts';
import { DeliveryFailure, probeReceiver, type Transport } from '../delivery/transport.ts';
import type { Format } from '../http/format.ts';
import { checkHttp } from '../http/http-sink.ts';
import { createHttpTransport } from '../http/http-transport.ts';
import type { SinkEnvironment, SinkType } from '../sink-type.ts';
import { encodeLogs } from './log-records.ts';

const schema = z.strictObject({
  type: z.literal('otlp').describe('Records as log records to an OpenTelemetry collector, by OTLP over HTTP.'),
  endpoint: httpUrl.describe('The collector; /v1/logs is added to the path unless it ends so.'),
  headers: z.record(headerName, headerValue).default({}).describe('Headers of each request, such as a credential.'),
  ...deliveryKeys,
});

type OtlpSinkConfig = z.output<typeof schema>;

export const otlpSink = {
  schema,
  key: keyOf,
  check(config, check) {
    checkDelivery(config, check);
    checkHttp('endpoint', config.endpoint, config, check);
  },
  probe: (config, environment) => probeReceiver(transportOf(config, environment, '0')),
  create(config, runtime, environment) {
    const transport = (next: OtlpSinkConfig, of: SinkEnvironment) => transportOf(next, of, runtime.version ?? '0');
    return createDeliveryTarget({ config, key: keyOf(config), runtime, environment, transport });
  },
} satisfies SinkType<OtlpSinkConfig>;

function keyOf(config: OtlpSinkConfig): string {
  const { origin, pathname } = new URL(otlpUrl(config.endpoint, path));
  return deliveryKey(config, `${origin}${pathname}`);
}

function transportOf(config: OtlpSinkConfig, environment: SinkEnvironment, version: string): Transport {
  return createHttpTransport(
    { ...config, url: otlpUrl(config.endpoint, path), format: otlpFormat(version) },
    environment,
  );
}

const path = '/v1/logs';

function otlpFormat(version: string): Format {
  return {
    mediaType: 'application/json',
    encode: (lines) => encodeLogs(lines, version),
    judge({ status, body }) {
      if (status !== 200) return false;
      judgePartialSuccess(body);
      return true;
    },
  };
}

/**
 * A collector may take a part of a batch, and does not say which. The protocol has the client drop the rest; evidence is not dropped, so the batch
 * is sent again in halves until the rejected record stands alone. The unique ids of the others tell that they came twice.
 */
function judgePartialSuccess(body: Buffer): void {
  const { partialSuccess } = Object(parse(body)) as { readonly partialSuccess?: unknown };
  const { rejectedLogRecords = 0, errorMessage } = Object(partialSuccess) as Readonly<Record<string, unknown>>;
  if (!(Number(rejectedLogRecords) > 0)) return;
  const [reason = ''] = /^[\x20-\x7e]{1,200}/.exec(String(errorMessage ?? '')) ?? [];
  throw new DeliveryFailure('refused', `rejects ${Number(rejectedLogRecords)} log records: ${reason}`);
}

/** Throws a DeliveryFailure for what is no answer of a collector, such as a page. */
function parse(body: Buffer): unknown {
  if (body.length === 0) return {};
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new DeliveryFailure('again', 'answered 200, but as no collector does; look at the path of endpoint');
  }
}
