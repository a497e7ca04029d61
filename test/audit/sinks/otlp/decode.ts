// Reader of an ExportLogsServiceRequest in JSON, by the rules of the OTLP specification: strict about names, 64-bit numbers and values.
import * as z from 'zod';

const uint64 = z.string().regex(/^\d{1,20}$/);
const value = z.union([z.strictObject({ stringValue: z.string() }), z.strictObject({ intValue: uint64 })]);
const attributes = z
  .array(z.strictObject({ key: z.string().min(1), value }))
  .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, 'keys are unique');

const logRecord = z.strictObject({
  timeUnixNano: uint64,
  observedTimeUnixNano: uint64,
  severityNumber: z.int().min(1).max(24),
  severityText: z.string(),
  eventName: z.string(),
  body: z.strictObject({ stringValue: z.string() }),
  attributes,
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
  spanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
});

const request = z.strictObject({
  resourceLogs: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeLogs: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string(), version: z.string() }),
          logRecords: z.array(logRecord),
        }),
      ),
    }),
  ),
});

/** A log record, with the attributes of its resource. */
export interface DecodedLog extends Omit<z.output<typeof logRecord>, 'body' | 'attributes'> {
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
}

/** The log records in their order. Throws for anything else. */
export function decodeLogs(json: string): DecodedLog[] {
  return request.parse(JSON.parse(json)).resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map(({ body, attributes: own, ...rest }) => ({
        ...rest,
        body: body.stringValue,
        attributes: textOf(own),
        resource: textOf(resource.attributes),
      })),
    ),
  );
}

function textOf(all: z.output<typeof attributes>): Record<string, string> {
  return Object.fromEntries(all.map(({ key, value: of }) => [key, 'stringValue' in of ? of.stringValue : of.intValue]));
}
