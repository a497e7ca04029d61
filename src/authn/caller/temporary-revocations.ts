// Temporary revocations of single credentials by an operator: a bounded list, each of whose entries ends by itself. Pure.
import type { PrincipalKind } from './principal.ts';
import { noEntries, type RevocationEntries } from './revocations.ts';

/** A credential as a revocation names it. */
export interface RevocableCredential {
  readonly kind: PrincipalKind;
  /** The authenticator that verified it. */
  readonly authenticator: string;
  /** `jti`, key id or fingerprint. */
  readonly id: string;
}

/** A revocation that ends. */
export interface TemporaryRevocation extends RevocableCredential {
  /** The first instant at which it does not hold; milliseconds since 1970. */
  readonly until: number;
  /** The operator. */
  readonly by: string;
}

/** Time for which an operator revokes a credential. */
export const temporaryRevocationMs = 3_600_000;
/** Bound of a list. */
export const maxTemporaryRevocations = 1000;

/** The list with `added` in the place of an earlier revocation of the same credential; `full` where it has no room. */
export function addTemporary(
  list: readonly TemporaryRevocation[],
  added: TemporaryRevocation,
  now: number,
): readonly TemporaryRevocation[] | 'full' {
  const others = inForceAt(list, now).filter((each) => !isSameCredential(each, added));
  return others.length < maxTemporaryRevocations ? [...others, added] : 'full';
}

/** The revocations that hold at an instant; the list itself where all do. */
export function inForceAt(list: readonly TemporaryRevocation[], now: number): readonly TemporaryRevocation[] {
  return list.every(({ until }) => now < until) ? list : list.filter(({ until }) => now < until);
}

/** The entries that a revocation file would have for them. */
export function entriesOf(list: readonly TemporaryRevocation[]): RevocationEntries {
  const named = (of: PrincipalKind) =>
    list
      .filter(({ kind }) => kind === of)
      .map(({ authenticator, id }) => (of === 'mtls' ? id : `${authenticator}/${id}`));
  return { ...noEntries, jti: named('oauth'), keyIds: named('api-key'), certificates: named('mtls') };
}

function isSameCredential(one: RevocableCredential, other: RevocableCredential): boolean {
  return one.kind === other.kind && one.authenticator === other.authenticator && one.id === other.id;
}
