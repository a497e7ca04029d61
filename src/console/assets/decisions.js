// Script of the decisions page: new requests as they come (server-sent events). Rows are filled by text only.
(() => {
  const live = /** @type {HTMLElement} */ (document.getElementById('live'));
  const url = live.dataset.events;
  const body = document.querySelector('#decisions tbody');
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById('decision-row'));
  const blank = template.content.querySelector('tbody tr');
  if (url === undefined || body === null || blank === null) return;
  const pause = /** @type {HTMLButtonElement} */ (document.getElementById('pause'));
  const state = /** @type {HTMLElement} */ (document.getElementById('live-state'));
  const summary = /** @type {HTMLElement} */ (document.getElementById('live-summary'));
  const nothing = /** @type {HTMLElement} */ (document.getElementById('no-decisions'));
  const worker = new URL(url, location.href).searchParams.get('worker');

  /** @typedef {Record<'id'|'time'|'client'|'call'|'decision'|'rule'|'reason'|'outcome'|'status'|'duration', string>} Row */
  const maxRows = 200;
  const summaryMs = 10_000;
  const counts = { seen: 0, leftOut: 0, denied: 0, summed: 0 };
  let cursor = live.dataset.cursor ?? '';
  let isPaused = false;
  /** @type {EventSource | undefined} */
  let source;
  /** Rows that wait while the table is in use, so that none moves away under a pointer or the focus. @type {Map<string, Row>} */
  const waiting = new Map();
  /** @type {Map<string, Element>} */
  const shown = new Map();
  // The oldest first, which is the first to go.
  for (const row of [...body.children].reverse()) {
    const id = decodeURIComponent(row.querySelector('a')?.pathname.split('/').pop() ?? '');
    shown.set(id, row);
  }

  /** As `printableText` in src/printable.ts. @param {string} text */
  const printable = (text) =>
    text.replace(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
      character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    );

  /** @param {Element} element @param {Row} row */
  function fill(element, row) {
    const link = /** @type {HTMLAnchorElement} */ (element.querySelector('a'));
    link.href = `/decisions/${encodeURIComponent(row.id)}${worker === null ? '' : `?worker=${worker}`}`;
    const time = /** @type {HTMLTimeElement} */ (link.querySelector('time'));
    time.dateTime = row.time;
    time.title = row.time;
    time.textContent = row.time.slice(11, 23);
    const texts = [row.client, row.call, undefined, row.rule, row.reason, row.outcome, row.status, row.duration];
    const cells = element.querySelectorAll('td > span');
    texts.forEach((text, index) => {
      if (text !== undefined) /** @type {Element} */ (cells[index]).textContent = printable(text);
    });
    const badge = /** @type {Element} */ (element.querySelector('.badge'));
    badge.className = `badge ${row.decision === 'allow' ? 'good' : row.decision === 'deny' ? 'bad' : 'neutral'}`;
    badge.textContent = printable(row.decision) || '–';
  }

  function show() {
    const isInUse = body?.matches(':hover, :focus-within') && !isPaused;
    // Oldest first, so that the newest ends on top. What is shown already is filled in place.
    for (const [id, row] of waiting) {
      const known = shown.get(id);
      if (known !== undefined) {
        fill(known, row);
        waiting.delete(id);
      } else if (!isInUse) {
        const element = /** @type {Element} */ (blank?.cloneNode(true));
        fill(element, row);
        element.classList.add('new');
        body?.prepend(element);
        shown.set(id, element);
        waiting.delete(id);
      }
    }
    while (shown.size > maxRows) {
      const [id, element] = /** @type {[string, Element]} */ (shown.entries().next().value);
      element.remove();
      shown.delete(id);
    }
    for (const id of waiting.keys()) {
      if (waiting.size <= maxRows) break;
      waiting.delete(id);
      counts.leftOut += 1;
    }
    nothing.hidden = shown.size > 0;
    tell();
  }

  function tell() {
    const parts = [isPaused ? 'Paused' : source?.readyState === EventSource.OPEN ? 'Live' : 'Connecting…'];
    parts.push(`${counts.seen.toLocaleString('en-GB')} new`);
    if (waiting.size > 0) parts.push(`${waiting.size} wait until you leave the table`);
    if (counts.leftOut > 0) parts.push(`${counts.leftOut.toLocaleString('en-GB')} left out, as too many came at once`);
    state.textContent = parts.join(' · ');
  }

  /** @param {MessageEvent<string>} event */
  function take(event) {
    const { leftOut, rows } = /** @type {{ leftOut: number, rows: Row[] }} */ (JSON.parse(event.data));
    cursor = event.lastEventId;
    counts.leftOut += leftOut;
    for (const row of rows.reverse()) {
      if (!shown.has(row.id) && !waiting.has(row.id)) {
        counts.seen += 1;
        if (row.decision === 'deny') counts.denied += 1;
      }
      waiting.set(row.id, row);
    }
    show();
  }

  function connect() {
    source?.close();
    source = undefined;
    if (!isPaused && !document.hidden) {
      const at = new URL(/** @type {string} */ (url), location.href);
      at.searchParams.set('cursor', cursor);
      source = new EventSource(at);
      source.onmessage = take;
      source.onopen = tell;
      source.onerror = tell;
    }
    tell();
  }

  pause.addEventListener('click', () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? 'Resume' : 'Pause';
    connect();
  });
  // A page that nobody sees asks nothing.
  document.addEventListener('visibilitychange', connect);
  body.addEventListener('mouseleave', show);
  body.addEventListener('focusout', () => setTimeout(show));
  // Now and then, and not for each row.
  setInterval(() => {
    const { denied, seen, summed } = counts;
    if (seen === summed) return;
    summary.textContent = `${seen - summed} new requests, ${denied} of them denied`;
    counts.summed = seen;
    counts.denied = 0;
  }, summaryMs);
  live.hidden = false;
  connect();
})();
