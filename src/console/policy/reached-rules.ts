// Rules of a reading up to the governing one: those behind it are many, and are counted. Pure.
import type { PartReading } from '../../policy/explain.ts';

/** The parts with the rules that were reached, and how many were not, by part. */
export function reachedRules(parts: readonly PartReading[]): {
  readonly parts: PartReading[];
  readonly notReached: number[];
} {
  const reached = parts.map((part) => ({
    ...part,
    rules: part.rules.filter((rule) => rule.outcome !== 'not_reached'),
  }));
  return { parts: reached, notReached: parts.map(({ rules }, index) => rules.length - reached[index]!.rules.length) };
}
