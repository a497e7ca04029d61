// Refresh of a page every ten seconds while it is seen: parts with `data-refresh`, and the values of charts.
(() => {
  const everyMs = 10_000;

  async function refresh() {
    if (document.hidden) return;
    const response = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (!response.ok || response.redirected) return;
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-refresh][id]')) {
      const other = next.getElementById(part.id);
      // Not under somebody's hands.
      if (other === null || part.contains(document.activeElement) || part.innerHTML === other.innerHTML) continue;
      part.innerHTML = other.innerHTML;
    }
    for (const box of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('figure.chart[id]'))) {
      const other = next.getElementById(box.id);
      if (other?.dataset.chart === undefined || other.dataset.chart === box.dataset.chart) continue;
      box.dataset.chart = other.dataset.chart;
      for (const selector of ['figcaption', 'details .table-box']) {
        const [old, made] = [box.querySelector(selector), other.querySelector(selector)];
        if (old !== null && made !== null && !old.contains(document.activeElement)) old.innerHTML = made.innerHTML;
      }
      box.dispatchEvent(new Event('chart:data'));
    }
  }

  setInterval(() => {
    // The gateway may be away for a restart; the next time tells.
    refresh().catch(() => undefined);
  }, everyMs);
})();
