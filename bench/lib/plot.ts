import type { Figure } from './figure.ts';

/*
 * The figures that name a chart as horizontal bars, one chart below the other, as SVG without any library.
 */

const WIDTH = 900;
const LABEL = 220;
const BAR = 22;
const GAP = 6;
const TITLE = 34;
const COLOURS: readonly (readonly [name: RegExp, colour: string])[] = [
  [/livecluster/, '#2563eb'],
  [/floor/, '#64748b'],
];
const OTHER = '#f59e0b';

const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export function plot(figures: readonly Figure[]): string {
  const charts = new Map<string, Figure[]>();
  for (const figure of figures) {
    if (figure.chart === undefined || !Number.isFinite(figure.value)) continue;
    charts.set(figure.chart, [...(charts.get(figure.chart) ?? []), figure]);
  }
  const parts: string[] = [];
  let y = 10;
  for (const [title, bars] of charts) {
    const unit = bars[0]?.unit ?? '';
    parts.push(`<text x="10" y="${y + 20}" class="title">${escape(title)}, ${escape(unit)}</text>`);
    y += TITLE;
    const most = Math.max(...bars.map(({ value, runs }) => Math.max(value, ...(runs ?? []))));
    const scale = (WIDTH - LABEL - 90) / most;
    for (const { what, value, runs = [], fault } of bars) {
      const name = what.slice(what.lastIndexOf(': ') + 2);
      const colour = COLOURS.find(([pattern]) => pattern.test(name))?.[1] ?? OTHER;
      const middle = y + BAR / 2;
      parts.push(
        `<text x="${LABEL - 8}" y="${middle + 5}" text-anchor="end">${escape(name)}</text>`,
        `<rect x="${LABEL}" y="${y}" width="${(value * scale).toFixed(1)}" height="${BAR}" fill="${colour}"` +
          `${fault === undefined ? '' : ' fill-opacity="0.4"'}/>`,
        ...runs.map(
          (run) =>
            `<line x1="${(LABEL + run * scale).toFixed(1)}" x2="${(LABEL + run * scale).toFixed(1)}" y1="${y + 4}" ` +
            `y2="${y + BAR - 4}" stroke="#0f172a"/>`,
        ),
        `<text x="${(LABEL + most * scale + 8).toFixed(1)}" y="${middle + 5}">${value.toFixed(most < 20 ? 2 : 0)}` +
          `${fault === undefined ? '' : ' *'}</text>`,
      );
      y += BAR + GAP;
    }
    y += 14;
  }
  parts.push(
    `<text x="10" y="${y + 14}" class="note">Bars: medians; lines: runs; * not every viewer got every frame.</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 30}" viewBox="0 0 ${WIDTH} ${y + 30}">
<style>text{font:14px sans-serif;fill:#0f172a}.title{font-weight:bold}.note{font-size:12px}</style>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
