// Plain form of request targets (RFC 3986): the string that passes is matched, decided and forwarded as it is.
import { GatewayError } from '../errors.ts';
import { foldLookAlikes } from './look-alikes.ts';

/** Segments of unreserved and harmless reserved characters; `\\`, `;`, `#`, `//`, controls and non-ASCII are not among them. */
const plainPath = /^\/(?:(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})+(?:\/|$))*$/;
/** Encoded controls, `%`, `/`, `\\` and unreserved characters: one parser decodes them, another does not. */
export const ambiguousEncoding = /%(?:[01].|2[5DEF]|3\d|4[1-9A-F]|5[0-9ACF]|6[1-9A-F]|7[0-9AEF])/i;
const dotSegment = /\/\.{1,2}(?:\/|$)/;

/** Splits a request target into path and query (without `?`). Throws `bad_path` or `url_too_long`. */
export function parseTarget(target: string, urlBytes: number): { path: string; query: string } {
  if (target.length > urlBytes) {
    throw new GatewayError('url_too_long', `The URL is longer than ${urlBytes} bytes. Send long values in the body.`);
  }
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? '' : target.slice(mark + 1);
  if (!isPlainPath(path) || !isVisibleAscii(query)) {
    throw badPath();
  }
  return { path, query };
}

/** 400 for a target that two parsers could read differently. */
export function badPath(): GatewayError {
  return new GatewayError(
    'bad_path',
    'The path is not in plain form. Send it without encoded separators, dot segments or empty segments.',
  );
}

/** True when every parser reads this path the same way. */
export function isPlainPath(path: string): boolean {
  if (!plainPath.test(path) || dotSegment.test(path)) return false;
  return !path.includes('%') || isPlainEncoding(path);
}

function isPlainEncoding(path: string): boolean {
  if (ambiguousEncoding.test(path)) return false;
  try {
    const read = foldLookAlikes(decodeURIComponent(path));
    return !read.includes('\\') && !dotSegment.test(read) && read.split('/').length === path.split('/').length;
  } catch {
    return false;
  }
}

/** `#` would be cut off by some parsers. */
function isVisibleAscii(query: string): boolean {
  return query === '' || /^[\x21\x22\x24-\x7e]*$/.test(query);
}
