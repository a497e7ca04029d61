// Timeline of ends: one bar for each row of a table, all on the same scale from now on.
import { type Html, html } from '../html/html.ts';

/** Bars on one scale. */
export interface Timeline {
  /** The day at which the scale ends, in UTC. */
  readonly until: string;
  /** The time that is left, as a bar; `mark` is a date on it. Instants in milliseconds since 1970. */
  bar(end: number | undefined, mark: number | undefined): Html;
}

const dayMs = 86_400_000;
/** Ends beyond this do not flatten the others. */
const maxSpanMs = 2 * 365 * dayMs;

/** Creates a scale that holds these ends, up to two years. */
export function createTimeline(ends: readonly number[], now: number): Timeline {
  const span = Math.min(maxSpanMs, Math.max(30 * dayMs, ...ends.map((end) => end - now)));
  const place = (instant: number) => Math.round(Math.min(1, Math.max(0, (instant - now) / span)) * 1000) / 10;
  return {
    until: new Date(now + span).toISOString().slice(0, 10),
    bar(end, mark) {
      const width = end === undefined ? 100 : place(end);
      const tone = end === undefined ? 'endless' : end - now < 30 * dayMs ? 'soon' : 'left';
      return html`<svg class="timeline" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="scale" width="100" height="8" rx="1"/><rect class="${tone}" width="${width}" height="8" rx="1"/>${
        mark !== undefined && mark > now && html`<rect class="mark" x="${place(mark) - 0.5}" width="1" height="8"/>`
      }</svg>`;
    },
  };
}
