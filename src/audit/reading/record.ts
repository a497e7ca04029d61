// Audit record as read back from its line (RFC 8259): the members of an `AuditEvent`, and the sequence number of its chain. Pure.
import * as z from 'zod';

const texts = z.array(z.string());

/** Members of later versions are kept. */
const auditRecord = z.looseObject({
  seq: z.number(),
  id: z.string(),
  /** RFC 3339; null where the clock had no valid time. */
  time: z.string().nullable(),
  instance: z.string().optional(),
  stage: z.string(),
  route: z.string().optional(),
  client: z.looseObject({ address: z.string(), userAgent: z.string().optional() }).optional(),
  principal: z
    .looseObject({
      kind: z.string(),
      issuer: z.string().optional(),
      subject: z.string().optional(),
      clientId: z.string().optional(),
      credentialId: z.string().optional(),
      tenant: z.string().optional(),
    })
    .optional(),
  credentials: z
    .array(z.looseObject({ kind: z.string(), authenticator: z.string().optional(), id: z.string().optional() }))
    .optional(),
  http: z.looseObject({ method: z.string(), path: z.string().optional() }).optional(),
  mcp: z
    .looseObject({
      method: z.string().optional(),
      tool: z.string().optional(),
      via: z.string().optional(),
      target: z.union([z.string(), texts]).optional(),
      arguments: z.unknown().optional(),
    })
    .optional(),
  scopes: z.looseObject({ granted: texts, required: texts, missing: texts }).optional(),
  decision: z.enum(['allow', 'deny']).optional(),
  rule: z.string().optional(),
  reason: z.string().optional(),
  upstream: z.looseObject({ name: z.string(), status: z.number().nullable().optional() }).optional(),
  status: z.number().nullable().optional(),
  bytes: z.number().nullable().optional(),
  durationMs: z.number().nullable().optional(),
  outcome: z.string().optional(),
  detail: z.unknown().optional(),
  policy: z.string(),
});

/** A record. Text beyond 256 bytes is cut, and has a digest of the whole beside it. */
export type AuditRecord = z.output<typeof auditRecord>;

/** Parses a line; undefined for what is no audit record. Its hash is not looked at: that is for `verifyChain`. */
export function parseRecord(line: Buffer): AuditRecord | undefined {
  try {
    return auditRecord.parse(JSON.parse(line.toString('utf8')));
  } catch {
    return undefined;
  }
}

/** Milliseconds since 1970; NaN where the record has no time. */
export function timeOf({ time }: Pick<AuditRecord, 'time'>): number {
  return Date.parse(time ?? '');
}

/** The number of requests that a record of refused strangers sums up; 1 for every other. */
export function requestsIn({ detail }: Pick<AuditRecord, 'detail'>): number {
  const { summed } = Object(detail) as { readonly summed?: unknown };
  const { requests } = Object(summed) as { readonly requests?: unknown };
  return typeof requests === 'number' && requests > 1 ? requests : 1;
}

/** Names the call of a request: its tool, its MCP method, or the HTTP method and the route. */
export function callOf({ http, mcp, route }: AuditRecord): string {
  return mcp?.tool ?? mcp?.method ?? `${http?.method ?? ''} ${route ?? http?.path ?? ''}`.trim();
}

/** The message of a request in words: its method, what it names, and the meta-tool that it went through; empty for none. */
export function messageWords({ mcp }: Pick<AuditRecord, 'mcp'>): string {
  const through = mcp?.via && `through ${mcp.via}`;
  return [mcp?.method, mcp?.tool ?? mcp?.target, through].flat().filter(Boolean).join(' ');
}
