// Requests to the console and their outcomes, as values of JSON: the process that answers may be another one.
import { X509Certificate } from 'node:crypto';
import type { Principal } from '../../authn/caller/principal.ts';
import type { PeerCertificate } from '../../authn/credential.ts';

/** A client certificate as values of JSON. */
export interface SentCertificate {
  /** DER in base64, the client's own first. */
  readonly chain: readonly string[];
  readonly authorizationError: string | undefined;
}

/** The facts of a request to the console. */
export interface ConsoleRequest {
  readonly id: string;
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  readonly query: string;
  /** Of the console: the resource that tokens must be for. */
  readonly origin: string;
  readonly address: string;
  readonly userAgent: string | undefined;
}

/** A request with what it shows. */
export interface ConsoleAttempt extends ConsoleRequest {
  readonly rawHeaders: readonly string[];
  readonly certificate: SentCertificate | undefined;
  /** In place of credentials. */
  readonly session: SessionIdentity | undefined;
  /** The page that is looked at, for the record; undefined for anything else. */
  readonly page: string | undefined;
}

/** The person of a session, and the configuration of the authenticator at the log-in. */
export interface SessionIdentity {
  readonly principal: Principal;
  readonly configuration: string;
}

/** A caller of the console. */
export interface ConsoleCaller {
  /** For people. */
  readonly name: string;
  /** The same for all requests of one person or program. */
  readonly key: string;
  readonly principal: Principal;
}

/** An answer to a request that is refused. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The status of the cause, where the answer has another one: an address over its rate is answered 429 whatever it is refused for. */
  readonly causeStatus?: number;
}

/** An answer or a refusal; errors would lose their status between processes. */
export type ConsoleOutcome<T> = { readonly ok: T } | { readonly refused: Refusal };

/** The certificate of a connection as values of JSON. */
export function sentCertificate(peer: PeerCertificate | undefined): SentCertificate | undefined {
  if (peer === undefined) return undefined;
  const chain = [peer.certificate, ...peer.chain].map(({ raw }) => raw.toString('base64'));
  return { chain, authorizationError: peer.authorizationError };
}

/** The certificate that was sent. */
export function peerOf({ authorizationError, chain }: SentCertificate): PeerCertificate {
  const [certificate, ...others] = chain.map((der) => new X509Certificate(Buffer.from(der, 'base64')));
  return { certificate: certificate!, chain: others, authorizationError };
}

/** The status of what a request is refused for. */
export function causeOf({ causeStatus, status }: Refusal): number {
  return causeStatus ?? status;
}
