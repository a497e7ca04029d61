// OTLP log records of audit records (OpenTelemetry protocol 1.x, JSON encoding of ExportLogsServiceRequest). Pure.
import type { MappedRecord, RecordLine } from '../http/format.ts';
import { severityOf } from '../severity.ts';

/** An ExportLogsServiceRequest with these records, in their order, as pieces of one text. */
export function encodeLogs(lines: readonly RecordLine[], version: string): readonly string[] {
  let last: string | undefined;
  const pieces = ['{"resourceLogs":['];
  for (const line of lines) {
    const record = line.record();
    const { instance } = record;
    if (instance === last) pieces.push(',');
    else pieces.push(last === undefined ? '' : `${groupEnd},`, groupStart(instance, version));
    pieces.push(JSON.stringify(logRecordOf(line.text, record)));
    last = instance;
  }
  pieces.push(last === undefined ? ']}' : `${groupEnd}]}`);
  return pieces;
}

/** Begins the records of one process. */
function groupStart(instance: string, version: string): string {
  const attributes = attributesOf({
    'service.name': 'portcullis',
    'service.version': version,
    'service.instance.id': instance,
  });
  const scope = JSON.stringify({ name: 'portcullis.audit', version });
  return `{"resource":${JSON.stringify({ attributes })},"scopeLogs":[{"scope":${scope},"logRecords":[`;
}

const groupEnd = ']}]}';

/** Nanoseconds up to here fit into 64 bits. */
const maxTimeMs = 2 ** 64 / 1e6;

function logRecordOf(text: string, record: MappedRecord): object {
  const severity = severityOf(record);
  const ms = Date.parse(record.time ?? '');
  // A 64-bit number is a string in the JSON encoding; 0 is an unknown time.
  const time = ms > 0 && ms < maxTimeMs ? `${ms}000000` : '0';
  return {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber: severity.otlp,
    severityText: severity.name,
    eventName: `portcullis.audit.${record.stage}`,
    body: { stringValue: text },
    attributes: attributesOf(attributeValues(record)),
    ...(record.trace && { traceId: record.trace.id, spanId: record.trace.span }),
  };
}

/** OpenTelemetry's names where it has them. The unique id is the record's hash: records with the same one are duplicates. */
function attributeValues(record: MappedRecord): Readonly<Record<string, unknown>> {
  const { client, principal, http, mcp, scopes, upstream } = record;
  return {
    'log.record.uid': record.hash,
    'client.address': client?.address,
    'user_agent.original': client?.userAgent,
    'user.id': principal?.subject,
    'http.request.method': http?.method,
    'url.path': http?.path,
    'http.response.status_code': record.status,
    'mcp.method.name': mcp?.method,
    'gen_ai.tool.name': mcp?.tool,
    'portcullis.seq': record.seq,
    'portcullis.request.id': record.id,
    'portcullis.route': record.route,
    'portcullis.client.id': principal?.clientId,
    'portcullis.credential.id': principal?.credentialId,
    'portcullis.decision': record.decision,
    'portcullis.rule': record.rule,
    'portcullis.reason': record.reason,
    'portcullis.outcome': record.outcome,
    'portcullis.scopes.missing': scopes?.missing?.join(' '),
    'portcullis.upstream': upstream?.name,
    'portcullis.policy': record.policy,
  };
}

function attributesOf(values: Readonly<Record<string, unknown>>): object[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (typeof value === 'number') return { key, value: { intValue: String(value) } };
    return typeof value === 'string' && value !== '' ? { key, value: { stringValue: value } } : [];
  });
}
