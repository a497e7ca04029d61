// Format of the Open Cybersecurity Schema Framework (OCSF 1.3.0): API Activity (6003) with the profile security_control.
import { isIP } from 'node:net';
import type { Format, MappedRecord, RecordLine } from './format.ts';

const classUid = 6003;
/** `activity_id` of API Activity. */
const activities = { create: 1, read: 2, update: 3, delete: 4, other: 99 } as const;
const ofMethods: Readonly<Record<string, keyof typeof activities>> = {
  ...{ GET: 'read', HEAD: 'read', POST: 'create', PUT: 'update', PATCH: 'update', DELETE: 'delete' },
};
/** `severity_id`: Informational, Medium. */
const severities = { informational: 1, medium: 3 } as const;

/** The record is `raw_data`, its hash `metadata.uid`. */
export const ocsf: Format = {
  mediaType: 'application/x-ndjson',
  encode: (lines) => lines.map((line) => `${JSON.stringify(eventOf(line))}\n`),
};

function eventOf(line: RecordLine): object {
  const record = line.record();
  const { client, http, mcp } = record;
  const activity = activityOf(record);
  const activityId = activities[activity];
  const isRefused = record.decision === 'deny' || record.outcome === 'refused';
  const address = client?.address;
  return {
    category_uid: 6,
    category_name: 'Application Activity',
    class_uid: classUid,
    class_name: 'API Activity',
    activity_id: activityId,
    activity_name: activity === 'other' ? operationOf(record) : activity,
    type_uid: classUid * 100 + activityId,
    time: Date.parse(record.time ?? ''),
    severity_id: isRefused ? severities.medium : severities.informational,
    ...statusOf(record),
    ...(record.decision !== undefined && {
      action_id: record.decision === 'allow' ? 1 : 2,
      action: record.decision === 'allow' ? 'Allowed' : 'Denied',
      disposition_id: record.decision === 'allow' ? 1 : 2,
      disposition: record.decision === 'allow' ? 'Allowed' : 'Blocked',
    }),
    metadata: {
      version: '1.3.0',
      profiles: ['security_control'],
      product: { name: 'Portcullis', vendor_name: 'Portcullis', uid: record.instance },
      uid: record.hash,
      sequence: record.seq,
      correlation_uid: record.id,
      log_name: 'audit',
      event_code: record.stage,
    },
    actor: actorOf(record),
    api: {
      operation: operationOf(record),
      request: { uid: record.id },
      ...(record.status !== undefined && { response: { code: record.status, error: record.reason } }),
      service: { name: record.route ?? 'portcullis' },
    },
    src_endpoint: { ...(address === undefined ? { name: record.instance } : endpointOf(address)) },
    dst_endpoint: record.upstream && { name: record.upstream.name },
    http_request: http && {
      http_method: http.method,
      url: http.path && { path: http.path },
      user_agent: client?.userAgent,
    },
    resources: mcp && resourcesOf(mcp),
    duration: record.durationMs === undefined ? undefined : Math.round(record.durationMs),
    raw_data: line.text,
    unmapped: { prev: record.prev, policy: record.policy, scopes: record.scopes, via: mcp?.via },
  };
}

function activityOf({ http, mcp, stage }: MappedRecord): keyof typeof activities {
  if (stage === 'config' || stage === 'head') return 'other';
  if (mcp !== undefined) return /\/(list|read|get)$/.test(mcp.method ?? '') ? 'read' : 'other';
  return ofMethods[http?.method ?? ''] ?? 'other';
}

function operationOf({ http, mcp, stage }: MappedRecord): string {
  return mcp?.method ?? (http === undefined ? stage : `${http.method} ${http.path ?? ''}`.trimEnd());
}

function statusOf({ outcome, reason, stage, status }: MappedRecord): object {
  const id = stage !== 'completed' || outcome === 'unknown' ? 0 : outcome === 'completed' ? 1 : 2;
  const name = ['Unknown', 'Success', 'Failure'][id];
  return {
    status_id: id,
    status: name,
    ...(status !== undefined && { status_code: String(status) }),
    ...(reason !== undefined && { status_detail: reason }),
  };
}

function actorOf({ decision, policy, principal, rule }: MappedRecord): object {
  return {
    app_name: 'portcullis',
    app_uid: principal?.clientId,
    user: principal && {
      uid: principal.subject,
      credential_uid: principal.credentialId,
      org: principal.tenant && { uid: principal.tenant },
    },
    idp: principal?.issuer && { name: principal.issuer, uid: principal.issuer },
    ...(decision !== undefined && {
      authorizations: [{ decision, policy: { name: rule ?? 'default', uid: policy } }],
    }),
  };
}

function endpointOf(address: string): object {
  return isIP(address) === 0 ? { name: address } : { ip: address };
}

function resourcesOf({ target, tool }: NonNullable<MappedRecord['mcp']>): object[] | undefined {
  const targets = target === undefined ? [] : [target].flat();
  const named = [
    ...(tool === undefined ? [] : [{ type: 'tool', name: tool }]),
    ...targets.filter((name) => name !== tool).map((name) => ({ type: 'target', name })),
  ];
  return named.length === 0 ? undefined : named;
}
