// Browser of the console, for tests: it keeps cookies, follows nothing by itself, and says where a request comes from as browsers do.
import type { Gateway } from '../../src/gateway/gateway.ts';
import type { LoginProvider } from './login-provider.ts';
import { until } from './until.ts';

export interface ConsoleBrowser {
  readonly cookies: Map<string, string>;
  send(path: string, options?: BrowserRequest): Promise<BrowserAnswer>;
  /** From the first redirect to the answer to the way back; `query` changes that. */
  logIn(provider: LoginProvider, query?: (query: string) => string): Promise<BrowserAnswer>;
  /** Logs in, again where the machine was too busy for the time that a log-in waits for the provider. */
  enter(provider: LoginProvider): Promise<void>;
  /** The token of the forms of a page. */
  csrfToken(): Promise<string>;
}

export interface BrowserRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly form?: Readonly<Record<string, string>>;
  readonly remoteAddress?: string;
}

export interface BrowserAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly location: string;
}

const site = 'console.example.com';

/** A new browser, at `https://console.example.com`. */
export function openBrowser({ admin }: Pick<Gateway, 'admin'>): ConsoleBrowser {
  const cookies = new Map<string, string>();
  const send: ConsoleBrowser['send'] = async (path, { method = 'GET', headers = {}, form, remoteAddress } = {}) => {
    const sent: Record<string, string | undefined> = {
      host: site,
      accept: 'text/html',
      'sec-fetch-site': method === 'GET' ? 'none' : 'same-origin',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      ...(method === 'POST' && { origin: `https://${site}`, 'content-type': 'application/x-www-form-urlencoded' }),
      ...(cookies.size > 0 && { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') }),
      ...headers,
    };
    const given = Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const answer = await admin.inject({
      method,
      url: path,
      headers: Object.fromEntries(given),
      ...(method === 'POST' && { payload: new URLSearchParams(form).toString() }),
      ...(remoteAddress !== undefined && { remoteAddress }),
    });
    for (const set of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair = '', ...attributes] = set.split('; ');
      const name = pair.slice(0, pair.indexOf('='));
      if (attributes.includes('Max-Age=0')) cookies.delete(name);
      else cookies.set(name, pair.slice(name.length + 1));
    }
    const { body, headers: answered, statusCode: status } = answer;
    return { status, headers: answered, body, location: String(answered.location ?? '') };
  };
  const logIn: ConsoleBrowser['logIn'] = async (provider, change = (query) => query) => {
    const begun = await send('/login?next=%2F');
    if (begun.status !== 303) return begun;
    const headers = { 'sec-fetch-site': 'cross-site' };
    return send(`/login/callback?${change(provider.authorize(begun.location))}`, { headers });
  };
  return {
    cookies,
    send,
    logIn,
    enter: (provider) => until(async () => (await logIn(provider)).status === 303, 'the log-in'),
    async csrfToken() {
      return /name="csrf" value="([^"]+)"/.exec((await send('/')).body)?.[1] ?? '';
    },
  };
}
