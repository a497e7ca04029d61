// A person's browser at the development authorization server.

/** Follows redirects with cookies and presses the button; returns where the client is called back. */
export async function approve(authorizationUrl: URL): Promise<URL> {
  const { origin } = authorizationUrl;
  const cookies = new Map<string, string>();
  let url = authorizationUrl;
  for (let step = 0; step < 8; step++) {
    const isPage = url.pathname.startsWith('/interaction/');
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const shown = isPage ? await (await fetch(url, { headers: { cookie } })).text() : '';
    if (isPage && !/Approve as analyst/.test(shown)) throw new Error(`no button on the page: ${shown}`);
    if (/<b>/.test(shown)) throw new Error('the client name is not escaped');
    const response = await fetch(url, { method: isPage ? 'POST' : 'GET', headers: { cookie }, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) cookies.set(name, value);
    }
    url = new URL(response.headers.get('location') ?? '', origin);
    if (url.origin !== origin) return url;
  }
  throw new Error('too many redirects');
}
