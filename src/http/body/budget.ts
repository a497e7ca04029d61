// Budget of bytes for request bodies that are held in memory, by subject and in all.
import { overloadedBy } from '../../errors.ts';
import { createKeyedCounts, type KeyedCounts } from '../../keyed-counts.ts';

/** Reserved bytes. */
export interface BodyBudget {
  reserved: number;
  readonly subjects: KeyedCounts<{ reserved: number }>;
}

/** Limits of the budget. Each has room for one whole body at least. */
export interface BodyBudgetLimits {
  readonly bodyBytes: number;
  readonly bodyBytesPerSubject: number;
  readonly bodyBytesInAll: number;
}

/** One request's part of the budget. */
export interface BodyReservation {
  readonly subject: string;
  reservedBytes: number;
}

/** Creates a budget of which nothing is reserved. */
export function createBodyBudget(): BodyBudget {
  return { reserved: 0, subjects: createKeyedCounts(() => ({ reserved: 0 })) };
}

/** Changes a reservation to `bytes`. Throws GatewayError `overloaded` where more is asked for than is left; then nothing changes. */
export function reserveBody(
  budget: BodyBudget,
  reservation: BodyReservation,
  bytes: number,
  { bodyBytes, bodyBytesPerSubject, bodyBytesInAll }: BodyBudgetLimits,
): void {
  const more = bytes - reservation.reservedBytes;
  if (more > 0) {
    const own = budget.subjects.of(reservation.subject);
    if (own.reserved + more > Math.max(bodyBytes, bodyBytesPerSubject))
      throw overloadedBy('body_bytes_per_subject', ownBodies);
    if (budget.reserved + more > Math.max(bodyBytes, bodyBytesInAll))
      throw overloadedBy('body_bytes_in_all', allBodies);
  }
  change(budget, reservation, more);
}

/** Gives a reservation back. */
export function releaseBody(budget: BodyBudget, reservation: BodyReservation): void {
  change(budget, reservation, -reservation.reservedBytes);
}

function change(budget: BodyBudget, reservation: BodyReservation, by: number): void {
  if (by === 0) return;
  budget.subjects.of(reservation.subject).reserved += by;
  budget.reserved += by;
  reservation.reservedBytes += by;
}

const ownBodies = 'You have too many large requests under way. Wait for one of them to end.';
const allBodies = 'Too many large requests are under way here. Try again in a moment.';
