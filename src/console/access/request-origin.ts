// Host, Origin and Fetch Metadata of a request to the console: against DNS rebinding, cross-site request forgery and frames.
import { isIP } from 'node:net';
import { isLoopbackAddress, parseHost } from '../../http/host.ts';

/** The part of a request that says where it comes from, and to whom it believes to speak. */
export interface RequestOrigin {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** The names of the console. */
export interface ConsoleNames {
  /** The host of `admin.listen`; undefined for a unix socket. */
  readonly listenHost: string | undefined;
  /** `admin.publicUrl`. */
  readonly publicUrl: string | undefined;
  readonly isTls: boolean;
  /** True for `server.publicUrl`'s host and `server.allowedHosts`. */
  readonly isServedHost: (host: string) => boolean;
}

/** A refusal by where a request comes from. */
export interface OriginRefusal {
  readonly status: 403 | 421;
  readonly code: 'origin_denied' | 'bad_host';
  readonly message: string;
}

/** Added by proxies that bring others. */
export const proxyHeaders = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
];

const foreign: OriginRefusal = {
  status: 403,
  code: 'origin_denied',
  message: 'Only pages of this console may ask for this. Open the console by its own address.',
};

/**
 * Undefined for a request that may come from where it comes from. Another site may link to a page of the console, and nothing else: neither load nor
 * frame nor post. Programs that are no browser send none of these headers.
 */
export function refusalByOrigin(request: RequestOrigin, names: ConsoleNames): OriginRefusal | undefined {
  const { headers, method } = request;
  const host = String(headers.host ?? '');
  if (!isConsoleHost(host, names)) {
    const message = 'This host name is not the console. Use its address, or write this one as admin.publicUrl.';
    return { status: 421, code: 'bad_host', message };
  }
  const { origin } = headers;
  if (origin !== undefined && !originsOf(host, names).includes(String(origin))) return foreign;
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin') return undefined;
  const isLoad = method === 'GET' || method === 'HEAD';
  const isTopLevel = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  return isLoad && (isTopLevel || site === 'none') ? undefined : foreign;
}

/** Narrower than for probes: a name without a dot may be anybody's on the same network. */
function isConsoleHost(host: string, { isServedHost, listenHost, publicUrl }: ConsoleNames): boolean {
  if (host === '' || isServedHost(host)) return true;
  const parsed = parseHost(host);
  if (parsed === undefined) return false;
  const { name } = parsed;
  if (isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0 || isLoopbackAddress(name)) return true;
  return name === listenHost?.toLowerCase() || name === hostnameOf(publicUrl);
}

function hostnameOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : new URL(url).hostname;
}

function originsOf(host: string, { isTls, publicUrl }: ConsoleNames): string[] {
  const addressed = `${isTls ? 'https' : 'http'}://${host.toLowerCase()}`;
  const own = URL.canParse(addressed) ? [new URL(addressed).origin] : [];
  return publicUrl === undefined ? own : [...own, publicUrl];
}

/** True for a request that changes nothing. */
export function isSafe({ method }: RequestOrigin): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** A browser that opens a page. */
export function isNavigation({ headers, method }: RequestOrigin): boolean {
  const mode = headers['sec-fetch-mode'];
  return (
    method === 'GET' &&
    (mode === undefined || mode === 'navigate') &&
    /\btext\/html\b/.test(String(headers.accept ?? ''))
  );
}
