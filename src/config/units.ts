// Durations, sizes and dates as the configuration file writes them, as zod types that yield numbers.
import { z } from 'zod';

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnits: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const dateExpected = 'expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z';
const dayOnly = /^\d{4}-\d{2}-\d{2}$/;
const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/;

/** A duration such as `30s`, `5m`, `24h`; yields milliseconds. */
export const duration = z
  .string('expected a duration such as 30s, 5m or 24h')
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'expected a duration such as 30s, 5m or 24h')
  .transform((text) => scale(text, durationUnits));

/** A size such as `64KiB` or `1MiB`; yields bytes. */
export const size = z
  .string('expected a size such as 64KiB or 1MiB')
  .regex(/^\d{1,9}(B|KiB|MiB|GiB)$/, 'expected a size such as 64KiB or 1MiB')
  .transform((text) => scale(text, sizeUnits));

/** An instant (RFC 3339, zone required) or a day (00:00 UTC); yields milliseconds since 1970. */
export const date = z
  .string(dateExpected)
  .refine(isDate, dateExpected)
  .transform((text) => Date.parse(text));

function scale(text: string, units: Record<string, number>): number {
  const digits = /^\d+/.exec(text)?.[0] ?? '';
  return Number(digits) * (units[text.slice(digits.length)] ?? Number.NaN);
}

function isDate(text: string): boolean {
  if (!dayOnly.test(text) && !instant.test(text)) return false;
  const parsed = Date.parse(text);
  // Date.parse rolls 2026-02-30 over into March; the day must come back as written.
  return (
    !Number.isNaN(parsed) && new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().startsWith(text.slice(0, 10))
  );
}
