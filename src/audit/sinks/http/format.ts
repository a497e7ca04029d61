// Contract of a format of the http sink, and the members of a record that formats map.
import type { BoundedAnswer } from '../../../oauth/http-client.ts';

/** The text of a record, its hash, and what it says. */
export interface RecordLine {
  readonly text: string;
  readonly hash: string;
  record(): MappedRecord;
}

/** Members of an audit record as they are read back. */
export interface MappedRecord {
  readonly seq: number;
  readonly id: string;
  /** RFC 3339; null where the clock had no valid time. */
  readonly time: string | null;
  readonly instance: string;
  readonly stage: string;
  readonly route?: string;
  readonly client?: { readonly address: string; readonly userAgent?: string };
  readonly principal?: {
    readonly kind: string;
    readonly issuer?: string;
    readonly subject?: string;
    readonly clientId?: string;
    readonly credentialId?: string;
    readonly tenant?: string;
  };
  readonly http?: { readonly method: string; readonly path?: string };
  readonly mcp?: {
    readonly method?: string;
    readonly tool?: string;
    readonly via?: string;
    readonly target?: string | readonly string[];
  };
  readonly scopes?: { readonly granted?: readonly string[]; readonly missing?: readonly string[] };
  readonly decision?: 'allow' | 'deny';
  readonly rule?: string;
  readonly trace?: { readonly id: string; readonly span: string };
  readonly reason?: string;
  readonly upstream?: { readonly name: string; readonly status?: number };
  readonly status?: number;
  readonly bytes?: number;
  readonly durationMs?: number;
  readonly outcome?: string;
  readonly policy: string;
  readonly prev: string;
  readonly hash: string;
}

/** One row of `formats`. */
export interface Format {
  readonly mediaType: string;
  /** The body of a request in pieces: long strings would burden the collector. */
  encode(lines: readonly RecordLine[], url: URL): readonly string[];
  /** Headers of the sink's own. `channel` is a UUID of this process. */
  headers?(lines: readonly RecordLine[], channel: string): Readonly<Record<string, string>>;
  /** Judges an answer by its body: true where that acknowledges the whole batch, false where the status counts. Otherwise throws a DeliveryFailure. */
  judge?(answer: Pick<BoundedAnswer, 'status' | 'body'>, url: URL): boolean;
}
