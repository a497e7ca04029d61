// Script of every page: the choice of a theme, the tab of the page in view, and relative times that stay right.
(() => {
  const themes = ['system', 'light', 'dark'];
  const button = /** @type {HTMLButtonElement} */ (document.getElementById('theme'));
  const root = document.documentElement;
  const show = () => {
    button.textContent = `Theme: ${root.dataset.theme ?? 'system'}`;
  };
  button.hidden = false;
  button.addEventListener('click', () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? 'system') + 1) % themes.length];
    if (next === 'system') {
      delete root.dataset.theme;
      localStorage.removeItem('theme');
    } else {
      root.dataset.theme = next;
      localStorage.setItem('theme', next);
    }
    show();
    document.dispatchEvent(new Event('themechange'));
  });
  show();

  // Not scrollIntoView: that would also move the page away from the fragment of its address.
  const tabs = document.querySelector('.pages');
  const tab = tabs?.querySelector('[aria-current]')?.getBoundingClientRect();
  if (tabs && tab) {
    const box = tabs.getBoundingClientRect();
    tabs.scrollLeft += tab.left - box.left - (box.width - tab.width) / 2;
  }

  const units = /** @type {[string, number][]} */ ([
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
    ['second', 1000],
  ]);
  // The clock of the gateway, which may not be this one's.
  const offset = Number(root.dataset.now ?? Date.now()) - Date.now();
  /** As `relativeTime` in src/console/parts.ts. @param {number} instant */
  function relativeTime(instant) {
    const now = Date.now() + offset;
    const distance = Math.abs(instant - now);
    const unit = units.find(([, ms]) => distance >= ms);
    if (unit === undefined) return 'now';
    const count = Math.floor(distance / unit[1]);
    const span = `${count} ${unit[0]}${count === 1 ? '' : 's'}`;
    return instant > now ? `in ${span}` : `${span} ago`;
  }
  setInterval(() => {
    for (const each of document.querySelectorAll('time[data-relative]')) {
      const text = relativeTime(Date.parse(/** @type {HTMLTimeElement} */ (each).dateTime));
      if (each.textContent !== text) each.textContent = text;
    }
  }, 1000);
})();
