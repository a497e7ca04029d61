// OTLP log records of audit records (OpenTelemetry protocol 1.x, JSON encoding of ExportLogsServiceRequest). Pure.
import { parseSentRecord, type SentRecord, severityOf } from '../sent-record.ts';

/** RFC 8259 text of an ExportLogsServiceRequest with these lines, given without their newlines. Their order is kept. */
export function encodeLogs(lines: readonly Buffer[], version: string): string {
  const resourceLogs: { resource: object; scopeLogs: [{ scope: object; logRecords: object[] }] }[] = [];
  let last: string | undefined;
  for (const line of lines) {
    const record = parseSentRecord(line);
    const { instance = '' } = record;
    if (instance !== last) {
      const attributes = attributesOf({
        'service.name': 'portcullis',
        'service.version': version,
        'service.instance.id': instance,
      });
      resourceLogs.push({
        resource: { attributes },
        scopeLogs: [{ scope: { name: 'portcullis.audit', version }, logRecords: [] }],
      });
      last = instance;
    }
    resourceLogs.at(-1)!.scopeLogs[0].logRecords.push(logRecordOf(line, record));
  }
  return JSON.stringify({ resourceLogs });
}

/** Nanoseconds up to here fit into 64 bits. */
const maxTimeMs = 2 ** 64 / 1e6;

function logRecordOf(line: Buffer, record: SentRecord): object {
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
    body: { stringValue: line.toString('utf8') },
    attributes: attributesOf(attributeValues(record)),
  };
}

/** OpenTelemetry's names where it has them. The unique id is the record's hash: records with the same one are duplicates. */
function attributeValues(record: SentRecord): Readonly<Record<string, unknown>> {
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
    'portcullis.scopes.missing': scopes?.missing.join(' '),
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
