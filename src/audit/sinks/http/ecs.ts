// Format of the Elastic Common Schema (ECS 8.11): documents in lines, or the _bulk API of Elasticsearch where the path ends so.
import { isIP } from 'node:net';
import { DeliveryFailure } from '../delivery/transport.ts';
import type { Format, MappedRecord, RecordLine } from './format.ts';

/** The record is `event.original`, its hash `event.id`, and `_id` where documents are created by the _bulk API. */
export const ecs: Format = {
  mediaType: 'application/x-ndjson',
  encode(lines, url) {
    const isBulk = isBulkPath(url);
    return lines.map((line) => {
      const action = isBulk ? `{"create":{"_id":"${line.hash}"}}\n` : '';
      return `${action}${JSON.stringify(documentOf(line))}\n`;
    });
  },
  judge({ status, body }, url) {
    if (status !== 200 || !isBulkPath(url)) return false;
    judgeBulk(body);
    return true;
  },
};

function isBulkPath({ pathname }: URL): boolean {
  return pathname.endsWith('/_bulk');
}

interface BulkItem {
  readonly status?: number;
  readonly error?: { readonly type?: string };
}

/** A document that is there already (409) was acknowledged before. One item that may be taken later has the batch tried again. */
function judgeBulk(body: Buffer): void {
  const items = itemsIn(body);
  if (items === undefined) throw new DeliveryFailure('again', 'answered 200, but as the _bulk API does not');
  const failed = items.filter(({ status = 0 }) => status !== 409 && (status < 200 || status > 299));
  const later = failed.find(({ status = 0 }) => status !== 400);
  const [worst = later] = later === undefined ? failed : [later];
  if (worst === undefined) return;
  const type = /^[a-z_]{1,64}$/.exec(worst.error?.type ?? '')?.[0] ?? 'error';
  throw new DeliveryFailure(
    later === undefined ? 'refused' : 'again',
    `answered ${worst.status} (${type}) for a document`,
  );
}

function itemsIn(body: Buffer): BulkItem[] | undefined {
  try {
    const { errors, items } = JSON.parse(body.toString());
    if (errors === false) return [];
    return errors === true && Array.isArray(items) ? items.map(({ create }) => create ?? {}) : undefined;
  } catch {
    return undefined;
  }
}

function documentOf(line: RecordLine): object {
  const record = line.record();
  const { client, http, mcp, principal, scopes, upstream } = record;
  const address = client?.address;
  return {
    '@timestamp': record.time,
    ecs: { version: '8.11.0' },
    event: {
      kind: 'event',
      ...categoryOf(record),
      id: record.hash,
      hash: record.hash,
      sequence: record.seq,
      provider: 'portcullis',
      dataset: 'portcullis.audit',
      action: mcp?.method ?? http?.method ?? record.stage,
      outcome: outcomeOf(record),
      reason: record.reason,
      duration: record.durationMs === undefined ? undefined : Math.round(record.durationMs * 1e6),
      original: line.text,
    },
    service: { name: 'portcullis', type: 'portcullis', node: { name: record.instance } },
    source: address && { address, ...(isIP(address) !== 0 && { ip: address }) },
    user: principal && { id: principal.subject, domain: principal.issuer },
    organization: principal?.tenant && { id: principal.tenant },
    user_agent: client?.userAgent && { original: client.userAgent },
    http: http && {
      request: { id: record.id, method: http.method },
      ...(record.status !== undefined && {
        response: { status_code: record.status, body: { bytes: record.bytes } },
      }),
    },
    url: http?.path && { path: http.path },
    rule: record.rule && { name: record.rule, ruleset: record.policy },
    portcullis: {
      stage: record.stage,
      request_id: record.id,
      route: record.route,
      decision: record.decision,
      policy: record.policy,
      prev: record.prev,
      client_id: principal?.clientId,
      credential: principal && { kind: principal.kind, id: principal.credentialId },
      mcp: mcp && { method: mcp.method, tool: mcp.tool, via: mcp.via, target: mcp.target },
      scopes: scopes && { granted: scopes.granted, missing: scopes.missing },
      upstream: upstream && { name: upstream.name, status: upstream.status },
    },
  };
}

function categoryOf({ stage, decision }: MappedRecord): object {
  if (stage === 'config') return { category: ['configuration'], type: ['info'] };
  if (stage === 'head') return { category: ['configuration'], type: ['info'] };
  if (stage === 'stream') return { category: ['api'], type: ['end'] };
  const decided = decision === undefined ? [] : [decision === 'allow' ? 'allowed' : 'denied'];
  return { category: ['api'], type: ['access', ...decided] };
}

function outcomeOf({ stage, outcome }: MappedRecord): string {
  if (stage !== 'completed' || outcome === 'unknown') return 'unknown';
  return outcome === 'completed' ? 'success' : 'failure';
}
