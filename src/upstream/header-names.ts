// Header names as the strictest reader sees them, and the names that never cross the gateway in either direction.
import type { PresetName } from '../config/schema/config.ts';

/**
 * The one form of all spellings that some upstream would take for the same header: lower case, and every character that is no letter or
 * digit as `-`. CGI, WSGI, PHP and Rack fold `_`, `.` and `-` together; Apache folds everything else as well.
 */
export function foldHeaderName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-');
}

/** RFC 9110 §7.6.1 and RFC 7230: they belong to one connection. */
export const hopByHopHeaders: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
];

/** Folded names, by the preset of an MCP route: what the server would take for the gateway's word on what a caller may see. */
export const presetHeaders: Readonly<Record<PresetName, readonly string[]>> = {
  superset: ['x-superset-dashboard-scope'],
};

/** Adds the folded names that a Connection header lists to `listed`; what only steers the connection itself is not among them. */
export function addConnectionOptions(value: string, listed: readonly string[]): readonly string[] {
  if (value === 'keep-alive' || value === 'close') return listed;
  const options = value.split(',').map((option) => foldHeaderName(option.trim()));
  return [...listed, ...options.filter((option) => option !== '')];
}

/** The spellings that nearly all senders use: `x-name` and `X-Name`. */
export function commonSpellings(name: string): readonly string[] {
  return [name, name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())];
}
