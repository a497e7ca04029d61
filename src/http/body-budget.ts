// Budget of bytes for request bodies that are held in memory, by subject and in all.
import { overloadedBy } from '../errors.ts';

/** Reserved bytes. `subjects` has only those with a reservation. */
export interface BodyBudget {
  reserved: number;
  readonly subjects: Map<string, number>;
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
  return { reserved: 0, subjects: new Map() };
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
    const own = budget.subjects.get(reservation.subject) ?? 0;
    if (own + more > Math.max(bodyBytes, bodyBytesPerSubject)) throw overloadedBy('body_bytes_per_subject', ownBodies);
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
  const { subject } = reservation;
  const own = (budget.subjects.get(subject) ?? 0) + by;
  if (own === 0) budget.subjects.delete(subject);
  else budget.subjects.set(subject, own);
  budget.reserved += by;
  reservation.reservedBytes += by;
}

const ownBodies = 'You have too many large requests under way. Wait for one of them to end.';
const allBodies = 'Too many large requests are under way here. Try again in a moment.';
