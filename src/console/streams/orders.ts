// Orders of an operator: the end of one stream, and the revocation of one credential for an hour. Each is recorded before it is carried out.
import type { AuditPrincipal } from '../../audit/event.ts';
import {
  addTemporary,
  type RevocableCredential,
  type TemporaryRevocation,
  temporaryRevocationMs,
} from '../../authn/caller/temporary-revocations.ts';
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { endStream } from '../../gateway/request/streams.ts';
import type { LiveStream } from '../../gateway/runtime.ts';
import type { RevocationSpread } from '../../gateway/siblings.ts';

/** A person or program, for records. */
export interface Operator extends Partial<AuditPrincipal> {
  readonly address: string;
}

/** An order, and who gave it. */
export interface Ordering {
  /** The name that the console shows of them. */
  readonly by: string;
  readonly operator?: Operator;
}

/** The order to revoke a credential. */
export interface RevocationOrder extends Ordering {
  readonly credential: RevocableCredential;
}

/**
 * `ended`, `ending` (it was ending already), `revoked` in all processes but the late ones; otherwise nothing was done: the stream is not open
 * (any more), the credential is no configured key, or none of the configured authenticators, there are too many revocations, other processes could not be told, or no
 * record could be written.
 */
export type OrderOutcome =
  | { readonly outcome: 'ended' | 'ending' }
  | { readonly outcome: 'revoked'; readonly until: number; readonly late: readonly number[] }
  | {
      readonly outcome:
        | 'stream_gone'
        | 'credential_unknown'
        | 'revocations_full'
        | 'supervisor_unavailable'
        | 'audit_unavailable';
    };

/** The functions that carry orders out. */
export interface StreamOrders {
  endStream(order: Ordering & { readonly id: string }): Promise<OrderOutcome>;
  revokeCredential(order: RevocationOrder): Promise<OrderOutcome>;
}

const maxIdLength = 577;

/** Creates the functions. */
export function streamOrders(parts: RunningParts, findStream: (id: string) => LiveStream | undefined): StreamOrders {
  const { log, now, record, revocations, runtime, siblings, write } = parts;

  /** The log keeps a `config` record that it could not write, for later; then another one says that nothing came of it. */
  async function isRecorded(detail: Readonly<Record<string, unknown>>): Promise<boolean> {
    try {
      await write(detail);
      return true;
    } catch (cause) {
      log.error({ err: cause, detail }, 'an order of an operator was not carried out, as it could not be recorded');
      void record({ ...detail, event: 'order not carried out', order: detail.event, reason: 'audit_unavailable' });
      return false;
    }
  }

  async function spread(revocation: TemporaryRevocation): Promise<RevocationSpread> {
    if (siblings !== undefined) return siblings.revoke(revocation);
    const next = addTemporary(revocations.temporary(), revocation, now());
    if (next === 'full') return next;
    revocations.setTemporary(next);
    return { late: [] };
  }

  return {
    async endStream({ by, id, operator }) {
      const live = findStream(id);
      if (live === undefined) return { outcome: 'stream_gone' };
      if (live.endingSince !== undefined) return { outcome: 'ending' };
      const { caller, route } = live.authorization;
      const { clientId, subject } = caller?.principal ?? {};
      const ordered = { event: 'stream end ordered', by, operator };
      const detail = { ...ordered, stream: id, route: route.name, clientId, subject };
      if (!(await isRecorded(detail))) return { outcome: 'audit_unavailable' };
      // It may have ended while the record was written.
      if (live.place === -1) return { outcome: 'stream_gone' };
      endStream(live, 'operator', now(), runtime, by);
      log.info(detail, 'a stream was ended by an operator');
      return { outcome: 'ended' };
    },

    async revokeCredential({ by, credential: { authenticator, id, kind }, operator }) {
      if (!isKnown({ authenticator, id, kind }, parts)) return { outcome: 'credential_unknown' };
      const until = now() + temporaryRevocationMs;
      const revocation: TemporaryRevocation = { kind, authenticator, id, until, by };
      const detail = { event: 'credential revoked', ...revocation, operator, until: new Date(until).toISOString() };
      if (!(await isRecorded(detail))) return { outcome: 'audit_unavailable' };
      const done = await spread(revocation).catch((cause: unknown) => {
        log.error({ err: cause, detail }, 'a credential was not revoked, as the supervisor does not answer');
        return undefined;
      });
      if (done === undefined || done === 'full') {
        const reason = done === 'full' ? 'revocations_full' : 'supervisor_unavailable';
        void record({ ...detail, event: 'order not carried out', order: detail.event, reason });
        return { outcome: reason };
      }
      log.warn({ ...detail, late: done.late }, 'a credential was revoked for an hour by an operator');
      return { outcome: 'revoked', until, late: done.late };
    },
  };
}

const accepted = { oauth: 'access-token', 'api-key': 'api-key', mtls: 'client-certificate' } as const;

/** Printable ASCII. */
const usualId = /^[ -~]{1,256}$/;

/**
 * True for a configured key, and for what another authenticator in force could verify: an open stream has it, or its id has the usual form. The
 * values may come from a form that anybody has filled in.
 */
function isKnown({ authenticator, id, kind }: RevocableCredential, { runtime }: RunningParts): boolean {
  const { authenticators, config } = runtime.snapshot;
  const found = authenticators.byName.get(authenticator);
  if (found === undefined || !Object.hasOwn(accepted, kind) || found.accepts !== accepted[kind]) return false;
  const settings = config.authenticators[authenticator];
  if (settings?.type === 'apiKey') return settings.keys?.some((key) => key.id === id) ?? false;
  return usualId.test(id) || (id !== '' && id.length <= maxIdLength && hasStream(runtime.streams, authenticator, id));
}

function hasStream(streams: Iterable<LiveStream>, authenticator: string, id: string): boolean {
  for (const { authorization } of streams) {
    const { principal } = authorization.caller ?? {};
    if (principal?.authenticator === authenticator && principal.credentialId === id) return true;
  }
  return false;
}
