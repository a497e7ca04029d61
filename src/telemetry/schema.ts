// Schema and checks of `tracing`.
import * as z from 'zod';
import type { SectionReporter } from '../config/schema/reporter.ts';
import { filePath, headerName, httpUrl } from '../config/schema/values.ts';
import { isPlainHttp, plainHttpRefused } from '../http/host.ts';

const headerValue = z.string().regex(/^[\x20-\x7e]{1,8192}$/, 'expected a header value of printable ASCII');

/** `tracing`. */
export const tracing = z.strictObject({
  otlp: z
    .strictObject({
      endpoint: httpUrl.describe('The collector; /v1/traces is added to the path unless it ends so.'),
      headers: z.record(headerName, headerValue).default({}).describe('Headers of each export, such as a credential.'),
      caFile: filePath
        .optional()
        .describe('PEM file: the authorities of the certificate of the collector; default the public ones.'),
      insecure: z.boolean().default(false).describe('Accept plain http beyond loopback.'),
    })
    .describe('Export of spans by OTLP over HTTP, as JSON.'),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe(
      'The share of traces that begin here and are kept. A verified caller that keeps its trace keeps ours too.',
    ),
});

export type TracingConfig = z.output<typeof tracing>;

/** Headers that the exporter sets itself. */
const ownHeaders = new Set([
  'host',
  'connection',
  'content-type',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
]);

/** Checks `tracing`. */
export function checkTracing({ otlp }: TracingConfig, reporter: SectionReporter): void {
  const path = ['tracing', 'otlp'];
  const { caFile, endpoint, headers, insecure } = otlp;
  if (!insecure && isPlainHttp(endpoint)) {
    reporter.error([...path, 'endpoint'], plainHttpRefused);
  }
  if (caFile !== undefined && !endpoint.startsWith('https:'))
    reporter.error([...path, 'caFile'], 'needs an https endpoint');
  for (const name of Object.keys(headers)) {
    if (ownHeaders.has(name)) reporter.error([...path, 'headers', name], 'is set by the exporter');
  }
}
