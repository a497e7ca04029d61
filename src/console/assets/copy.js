// Button that copies a block of text, where the browser allows it (a secure context).
(() => {
  if (navigator.clipboard === undefined) return;
  for (const block of document.querySelectorAll('pre[data-copy]')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'quiet copy';
    button.textContent = 'Copy';
    button.setAttribute('aria-live', 'polite');
    button.addEventListener('click', async () => {
      const done = await navigator.clipboard.writeText(block.textContent ?? '').then(
        () => 'Copied',
        () => 'Not copied',
      );
      button.textContent = done;
      setTimeout(() => {
        button.textContent = 'Copy';
      }, 2000);
    });
    block.before(button);
  }
})();
