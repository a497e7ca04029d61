// Charts over time (uPlot) in the figures that parts.ts makes. `chart:data` events on a figure give it new values.
(() => {
  /** @param {HTMLElement} element @param {string} colour */
  function colourOf(element, colour) {
    element.style.color = `var(--${colour})`;
    const { color } = getComputedStyle(element);
    element.style.color = '';
    return color;
  }

  // Series differ by more than their colour.
  const dashes = [undefined, [6, 4], [2, 3]];

  /** @param {number} value */
  function figure(value) {
    if (value >= 1000) return `${(value / 1000).toFixed(1)}k`;
    if (value >= 10 || Number.isInteger(value)) return value.toFixed(0);
    return value >= 1 ? value.toFixed(1) : value.toPrecision(2);
  }

  /** Places of values without a neighbour, which no line shows. @param {(number | null)[]} values */
  function alone(values) {
    const isGap = (/** @type {number} */ index) => typeof values[index] !== 'number';
    return [...values.keys()].filter((index) => !isGap(index) && isGap(index - 1) && isGap(index + 1));
  }

  for (const box of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('figure.chart'))) {
    const plot = /** @type {HTMLElement} */ (box.querySelector('.plot'));
    let chart;
    const draw = () => {
      const { series, times, unit } = JSON.parse(box.dataset.chart ?? '');
      chart?.destroy();
      const line = colourOf(plot, 'line');
      const axis = {
        stroke: colourOf(plot, 'muted'),
        font: '12px system-ui, sans-serif',
        grid: { stroke: line, width: 1 },
        ticks: { stroke: line, width: 1, size: 4 },
      };
      chart = new uPlot(
        {
          width: plot.clientWidth,
          height: 180,
          cursor: { y: false, drag: { x: false, y: false } },
          legend: { live: true },
          scales: { y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
          axes: [
            {
              ...axis,
              space: 70,
              values: [
                [3600, '{HH}:{mm}', null, null, null, null, null, null, 1],
                [60, '{HH}:{mm}', null, null, null, null, null, null, 1],
                [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
              ],
            },
            { ...axis, size: 52, values: (_chart, splits) => splits.map((value) => `${figure(value)}`) },
          ],
          series: [
            { value: '{HH}:{mm}:{ss}' },
            ...series.map(({ name, tone }, index) => ({
              dash: dashes[index],
              label: name,
              stroke: colourOf(plot, tone ?? 'accent'),
              width: 2,
              points: { show: true, size: 5, filter: (chart, column) => alone(chart.data[column]) },
              value: (_chart, value) => (value === null || value === undefined ? '–' : `${figure(value)} ${unit}`),
            })),
          ],
        },
        [times, ...series.map(({ values }) => values)],
        plot,
      );
    };
    draw();
    new ResizeObserver(() => {
      if (plot.clientWidth !== chart.width) chart.setSize({ width: plot.clientWidth, height: 180 });
    }).observe(plot);
    document.addEventListener('themechange', draw);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
    box.addEventListener('chart:data', draw);
  }
})();
