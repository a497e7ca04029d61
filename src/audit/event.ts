// Audit record before it is encoded and chained. The order of the fields is that of the line.
import type { SinkHead } from './heads/signed-head.ts';

/** The principal of a record. */
export interface AuditPrincipal {
  readonly kind: string;
  readonly issuer: string;
  readonly subject: string;
  readonly clientId?: string | undefined;
  readonly credentialId?: string | undefined;
  readonly tenant?: string | undefined;
}

/** A decision that was not enforced. */
export interface OtherDecision {
  readonly rule?: string | undefined;
  readonly decision: 'allow' | 'deny';
  readonly reason?: string | undefined;
  /** The demand that was not met. */
  readonly unmet?: string | undefined;
  /** The scopes that were missing. */
  readonly missing?: readonly string[] | undefined;
  /** Hash of the configuration that decided, where it is another one. */
  readonly policy?: string | undefined;
}

/** No field ever holds a secret. `seq`, `prev` and `hash` are added by the chain. */
export interface AuditEvent {
  readonly id: string;
  /** Milliseconds since 1970; written as an RFC 3339 instant. */
  readonly time: number;
  readonly stage: 'decided' | 'completed' | 'stream' | 'config' | 'head';
  /** The members from `route` to `trace`, encoded once for all records of a request; then they are not given one by one. */
  readonly encodedParts?: string | undefined;
  readonly route?: string | undefined;
  readonly client?: { readonly address: string; readonly userAgent?: string | undefined } | undefined;
  readonly principal?: AuditPrincipal | undefined;
  /** The presented credentials, with the authenticator that verified each. */
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
  /** Of the first rule in report mode that matched. */
  readonly report?: OtherDecision | undefined;
  /** Of the shadow, where it differs from `decision`. */
  readonly shadow?: OtherDecision | undefined;
  /** The trace of the request and its span in it, in hexadecimal, as W3C Trace Context has them. */
  readonly trace?: { readonly id: string; readonly span: string } | undefined;
  readonly reason?: string | undefined;
  readonly upstream?: { readonly name: string; readonly status?: number | undefined } | undefined;
  readonly status?: number | undefined;
  readonly bytes?: number | undefined;
  readonly durationMs?: number | undefined;
  readonly outcome?: 'completed' | 'refused' | 'aborted' | 'failed' | 'unknown' | undefined;
  /** Particulars of a `config` record, such as the deleted files; of a completed request, those of its session; of a `head`, its signature. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
  /** Hash of the live configuration. */
  readonly policy: string;
}

/**
 * The room that a record has in a full queue. `stranger`: of a caller that nobody has verified, in a share of the queue. `decision`: in the whole
 * queue. `completion`: always, as what it tells has happened; nobody waits for it, so it may wait a few milliseconds to be written with others.
 */
export type Priority = 'stranger' | 'decision' | 'completion';

/** The delivery of a sink to its receiver. */
export interface SinkDelivery {
  readonly sink: string;
  readonly type: string;
  readonly required: boolean;
  /** Bytes that wait in the backlog. */
  readonly bytes: number;
  /** Age of the oldest record that is not acknowledged. */
  readonly lagSeconds: number;
  /** The last failure; undefined while records are acknowledged. */
  readonly problem: string | undefined;
}

/** The audit log, for writers of records. */
export interface AuditLog {
  /**
   * Resolves when every required sink has the record: handed to the operating system, or on the disk with `fsync: always`. Rejects with
   * `overloaded` when a queue has no room for it, and with `audit_unavailable` when it cannot be written. The promise may be ignored. Events that
   * are not of a request always have room. The default is `decision`.
   */
  write(event: AuditEvent, priority?: Priority): Promise<void>;
  /** False from a required sink's failure until it works again. */
  healthy(): boolean;
  /** The last signed head of each sink that has one, in the order of the configuration. */
  heads(): readonly SinkHead[];
  /** The sinks that deliver elsewhere, in the order of the configuration. */
  deliveries(): readonly SinkDelivery[];
  /** The reason for which the gateway is not ready with `onTruncation: refuse`; undefined while there is none. */
  truncation(): string | undefined;
  /** Flushes and closes every sink. */
  close(): Promise<void>;
}
