// Parts that pages share: badges, times, tables, cards, charts. Each is a pure function that gives HTML.
import { type Html, html, type Value, weightOf } from './html.ts';

/** The colours of states. */
export type Tone = 'good' | 'warn' | 'bad' | 'neutral';

/** A state in a word or two. Colour adds to the word and is not the only sign. */
export function badge(text: string, tone: Tone = 'neutral'): Html {
  return html`<span class="badge ${tone}">${text}</span>`;
}

/** An instant, in milliseconds since 1970: how far away it is, with the absolute time in `title` and `datetime`. */
export function time(instantMs: number, now: number): Html {
  const absolute = new Date(instantMs).toISOString();
  return html`<time data-relative datetime="${absolute}" title="${absolute.replace('T', ' ').replace(/\.\d+Z/, ' UTC')}">${relativeTime(instantMs, now)}</time>`;
}

const units: readonly (readonly [name: string, ms: number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
];

/** `3 minutes ago`, `in 12 days`, `now`. `assets/console.js` says it the same way. */
export function relativeTime(instantMs: number, now: number): string {
  const distance = Math.abs(instantMs - now);
  const [name, ms] = units.find(([, ms]) => distance >= ms) ?? [];
  if (name === undefined || ms === undefined) return 'now';
  const count = Math.floor(distance / ms);
  const span = `${count} ${name}${count === 1 ? '' : 's'}`;
  return instantMs > now ? `in ${span}` : `${span} ago`;
}

/** A formatter is much to make. */
const [whole, tenths] = [0, 1].map(
  (maximumFractionDigits) => new Intl.NumberFormat('en-GB', { maximumFractionDigits }),
) as [Intl.NumberFormat, Intl.NumberFormat];

/** A number with separators, in figures of equal width. */
export function count(value: number): Html {
  return html`<span class="num">${tenths.format(value)}</span>`;
}

/** Bytes in a unit that fits. */
export function bytes(value: number): Html {
  const exponent = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** exponent;
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'][exponent];
  return html`<span class="num">${(scaled < 10 ? tenths : whole).format(scaled)} ${unit}</span>`;
}

/** Text as it stands in a file or on a wire: names, hashes, patterns. */
export function code(text: Value): Html {
  return html`<code>${text}</code>`;
}

/** A hash, of which the first letters are shown and all are in `title`, unless it is a long text. */
export function hash(text: string, length = 12): Html {
  return html`<code title="${shorten(text)}">${text.slice(0, length)}</code>`;
}

/** Bytes of the list that a page is about: with its files the page weighs less than 100 KB. */
export const listBytes = 48_000;

/** The beginning of a long text, with its length. In HTML it weighs at most two bytes for each character of `length`. */
export function shorten(text: string, length = 200): string {
  const bytes = 2 * length;
  let begin = text.slice(0, length);
  for (let weight = weightOf(begin); weight > bytes; weight = weightOf(begin))
    begin = begin.slice(0, Math.floor((begin.length * bytes) / weight));
  return begin === text ? text : `${begin}… (${text.length} characters)`;
}

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** Figures stand at the right. */
  readonly isNumber?: boolean;
}

/** Options of `table`. */
export interface TableOptions {
  /** Read by screen readers, and shown unless `isCaptionHidden`. */
  readonly caption: string;
  readonly isCaptionHidden?: boolean;
  readonly id?: string;
  readonly columns: readonly (string | Column)[];
  /** A cell for each column. The first one names its row. */
  readonly rows: readonly (readonly Value[])[];
  /** In place of a table without rows. */
  readonly empty?: Html | string;
}

const named = (column: string | Column): Column => (typeof column === 'string' ? { name: column } : column);
const kindOf = (column: Column | undefined) => column?.isNumber === true && html` class="num"`;

/** A table. On narrow screens each row becomes a card. */
export function table({ caption, columns, empty, id, isCaptionHidden, rows }: TableOptions): Html {
  if (rows.length === 0 && empty !== undefined) return emptyState(empty);
  return html`<div class="table-box" role="region" aria-label="${caption}" tabindex="0"><table class="cards" role="table"${id !== undefined && html` id="${id}"`}>
<caption${isCaptionHidden && html` class="hidden"`}>${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map(named).map((column) => html`<th scope="col" role="columnheader"${kindOf(column)}>${column.name}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows.map((cells) => tableRow(columns, cells))}</tbody>
</table></div>`;
}

/** A row of a table. */
export function tableRow(columns: TableOptions['columns'], cells: readonly Value[]): Html {
  const of = columns.map(named);
  return html`<tr role="row">${cells.map((cell, index) =>
    index === 0
      ? html`<th scope="row" role="rowheader"${kindOf(of[index])}>${cell}</th>`
      : html`<td role="cell" data-label="${of[index]?.name}"${kindOf(of[index])}><span>${cell}</span></td>`,
  )}</tr>\n`;
}

/** A sentence in place of content that is not there; it says what to do, where there is something to do. */
export function emptyState(text: Html | string): Html {
  return html`<p class="empty">${text}</p>`;
}

/** A section of a page in a frame. */
export function card(title: string, body: Value, id?: string): Html {
  return html`<section class="card"${id !== undefined && html` id="${id}"`}><h2>${title}</h2>${body}</section>`;
}

/** Names with their values. */
export function facts(entries: readonly (readonly [name: string, value: Value])[]): Html {
  return html`<dl class="facts">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Options of `chart`. */
export interface ChartOptions {
  readonly id: string;
  readonly title: string;
  /** A sentence with the figures that matter, for who does not see the chart; shown below the title. */
  readonly summary: string;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: readonly {
    readonly name: string;
    readonly tone?: Tone | 'accent';
    readonly values: readonly (number | null)[];
  }[];
  /** Unit of the values, such as `/s` or `ms`. */
  readonly unit: string;
}

/** Scripts and styles of a page with a chart. */
export const chartScripts = ['uplot.js', 'chart.js'];
/** Style sheets of a page with a chart. */
export const chartStyles = ['uplot.css'];

/** A chart over time (uPlot), drawn by `assets/chart.js`. Folded below it is a table, of which each row has the largest values since the row before. */
export function chart({ id, series, summary, times, title, unit }: ChartOptions): Html {
  const step = Math.max(1, Math.ceil(times.length / 12));
  const shown = times.map((_, index) => index).filter((index) => (times.length - 1 - index) % step === 0);
  const largestUntil = (values: readonly (number | null)[], index: number): number | string => {
    const known = values.slice(Math.max(0, index - step + 1), index + 1).filter((value) => value !== null);
    return known.length === 0 ? '–' : Math.max(...known);
  };
  return html`<figure class="chart" id="${id}" data-chart="${JSON.stringify({ times, series, unit })}">
<figcaption><h3>${title} <span class="muted">${unit}</span></h3><p>${summary}</p></figcaption>
<div class="plot" aria-hidden="true"></div>
<details><summary>Values as a table</summary>${table({
    caption: `${title} (${unit})`,
    isCaptionHidden: true,
    columns: [
      step === 1 ? 'Time' : 'Until',
      ...series.map(({ name }) => ({ name: step === 1 ? name : `${name}, largest`, isNumber: true })),
    ],
    rows: shown.map((index) => [
      new Date(times[index]! * 1000).toISOString().slice(11, 19),
      ...series.map(({ values }) => largestUntil(values, index)),
    ]),
  })}</details>
</figure>`;
}
