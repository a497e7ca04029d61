// Limits of an explained request as text: their sizes, and the values that have a bucket.

import { printable } from '../../printable.ts';
import type { LimitReading } from '../../review/explain/request-explanation.ts';

/** A line for each limit. */
export function limitLines(limits: readonly LimitReading[]): string[] {
  return limits.map(({ bucket, name, size }) => {
    const values = Object.entries(bucket).map(
      ([key, value = '(none)']) => `${printable(key)} ${printable(value.replaceAll('\n', ' '))}`,
    );
    return `  ${name}: ${size}, ${values.length === 0 ? 'all calls together' : `for ${values.join(', ')}`}`;
  });
}
