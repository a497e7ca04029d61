// Bar charts in SVG, readable on light and on dark pages.

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Quartiles, drawn as a line. */
  readonly spread?: readonly [number, number];
  readonly emphasized: boolean;
}

export interface BarGroup {
  readonly label?: string;
  readonly bars: readonly Bar[];
}

export interface Chart {
  readonly title: string;
  readonly groups: readonly BarGroup[];
  readonly digits: number;
}

const width = 760;
const labels = 310;
const bars = 370;
const row = 24;
const style = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title, .group { font-weight: 600 }
  rect { fill: #8c959f }
  .emphasized { fill: #0969da }
  line { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    rect { fill: #6e7681 }
    .emphasized { fill: #4493f8 }
    line { stroke: #e6edf3 }
  }`;

export function drawChart({ title, groups, digits }: Chart): string {
  const all = groups.flatMap((group) => group.bars);
  const scale = bars / Math.max(...all.map(({ value, spread }) => spread?.[1] ?? value));
  const parts: string[] = [text(0, 16, title, 'class="title"')];
  let y = row + 8;
  for (const { label, bars } of groups) {
    if (label !== undefined) {
      parts.push(text(0, y + 16, label, 'class="group"'));
      y += row;
    }
    for (const bar of bars) {
      parts.push(drawBar(bar, y, scale, digits));
      y += row;
    }
    y += 8;
  }
  const size = `width="${width}" height="${y}" viewBox="0 0 ${width} ${y}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escaped(title)}">\n<style>${style}\n</style>\n${parts.join('\n')}\n</svg>\n`;
}

function drawBar({ label, value, spread, emphasized }: Bar, y: number, scale: number, digits: number): string {
  const at = (figure: number) => (labels + figure * scale).toFixed(1);
  const middle = y + row / 2;
  const shape = emphasized ? 'class="emphasized" ' : '';
  const end = Number(at(spread?.[1] ?? value)) + 8;
  return [
    text(labels - 8, middle + 4, label, 'text-anchor="end"'),
    `<rect ${shape}x="${labels}" y="${y + 3}" width="${(value * scale).toFixed(1)}" height="${row - 6}"/>`,
    ...(spread === undefined
      ? []
      : [`<line x1="${at(spread[0])}" x2="${at(spread[1])}" y1="${middle}" y2="${middle}"/>`]),
    text(end, middle + 4, value.toFixed(digits)),
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
