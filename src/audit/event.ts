// One audit record before it is chained. The field order here is the order in the line.

export interface AuditPrincipal {
  readonly kind: string;
  readonly issuer: string;
  readonly subject: string;
  readonly clientId?: string | undefined;
  readonly credentialId?: string | undefined;
  readonly tenant?: string | undefined;
}

/** A record as the gateway states it; `seq`, `prev` and `hash` are the chain's. No field ever holds a secret. */
export interface AuditEvent {
  readonly id: string;
  /** Milliseconds since 1970; written as an RFC 3339 instant. */
  readonly time: number;
  readonly stage: 'decided' | 'completed' | 'stream' | 'config';
  /** The members from `route` to `rule`, encoded once for all records of a request; then they are not given one by one. */
  readonly encodedParts?: string | undefined;
  readonly route?: string | undefined;
  readonly client?: { readonly address: string; readonly userAgent?: string | undefined } | undefined;
  readonly principal?: AuditPrincipal | undefined;
  /** What was presented and by which authenticator it was verified. */
  readonly credentials?:
    | readonly {
        readonly kind: string;
        readonly authenticator?: string | undefined;
        readonly id?: string | undefined;
      }[]
    | undefined;
  /** `path` is without its query. */
  readonly http?: { readonly method: string; readonly path: string } | undefined;
  readonly mcp?:
    | {
        readonly method?: string | undefined;
        readonly tool?: string | undefined;
        readonly via?: string | undefined;
        /** Several where a message subscribes to several. */
        readonly target?: string | readonly string[] | undefined;
        /** As `mcp.audit.arguments` says: a digest, selected values, or the arguments' JSON. */
        readonly arguments?: unknown;
      }
    | undefined;
  readonly scopes?:
    | { readonly granted: readonly string[]; readonly required: readonly string[]; readonly missing: readonly string[] }
    | undefined;
  readonly decision?: 'allow' | 'deny' | undefined;
  readonly rule?: string | undefined;
  readonly reason?: string | undefined;
  readonly upstream?: { readonly name: string; readonly status?: number | undefined } | undefined;
  readonly status?: number | undefined;
  readonly bytes?: number | undefined;
  readonly durationMs?: number | undefined;
  readonly outcome?: 'completed' | 'refused' | 'aborted' | 'failed' | 'unknown' | undefined;
  /** What happened, for `config` and housekeeping records: loaded, refused, files deleted; and what a request's end says of its session. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
  /** Hash of the live configuration. */
  readonly policy: string;
}

/** `later`: nobody waits for the record; it may wait a few milliseconds to travel with another. */
export type Urgency = 'now' | 'later';

/** Where records go. */
export interface AuditLog {
  /**
   * Resolves when every required sink has the record, rejects with `audit_unavailable` otherwise. The promise may be
   * ignored. `later` is for records that nobody waits for: they may wait a few milliseconds to travel with others.
   */
  write(event: AuditEvent, urgency?: Urgency): Promise<void>;
  /** False from a required sink's failure until it works again. */
  healthy(): boolean;
  /** Flushes and closes every sink. */
  close(): Promise<void>;
}
