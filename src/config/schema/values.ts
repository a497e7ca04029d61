// Schemas of values that several sections share: durations, sizes, dates, names, addresses, paths.
import * as z from 'zod';
import { parseHost } from '../../http/host.ts';
import { isPlainPath } from '../../http/path.ts';
import { compileNetworks, unixPeer } from '../../ip-ranges.ts';

/** Longer timers overflow Node's and would fire at once. */
const maxTimerMs = 24 * 86_400_000;

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnits: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const dateExpected = 'expected a date such as 2026-12-31 or an instant such as 2026-12-31T12:00:00Z';
const hostExpected = 'expected a host name, with a port or without';
const hostAndPort = 'expected host:port, such as 127.0.0.1:8443';
const dayOnly = /^\d{4}-\d{2}-\d{2}$/;
const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/;

/** A duration such as `30s`, `5m`, `24h`; yields milliseconds. */
export const duration = z
  .string('expected a duration such as 30s, 5m or 24h')
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'expected a duration such as 30s, 5m or 24h')
  .transform((text) => scale(text, durationUnits));

/** A size such as `64KiB` or `1MiB`; yields bytes. */
const size = z
  .string('expected a size such as 64KiB or 1MiB')
  .regex(/^\d{1,9}(B|KiB|MiB|GiB)$/, 'expected a size such as 64KiB or 1MiB')
  .transform((text) => scale(text, sizeUnits));

/** An instant (RFC 3339, zone required) or a day (00:00 UTC); yields milliseconds since 1970. */
export const date = z
  .string(dateExpected)
  .refine(isDate, dateExpected)
  .transform((text) => Date.parse(text));

/** A rate such as `20/s` or `30/m`; yields a number of events and the milliseconds in which they may come. */
export const rate = z
  .string('expected a rate such as 20/s or 30/m')
  .regex(/^[1-9]\d{0,8}\/[smhd]$/, 'expected a rate above zero, such as 20/s or 30/m')
  .transform(countInTime);

/** A quota such as `500/d`: a number of events in each minute, hour or day of UTC. */
export const quota = z
  .string('expected a quota such as 500/d')
  .regex(/^[1-9]\d{0,8}\/[mhd]$/, 'expected a quota above zero in a minute, hour or day, such as 500/d')
  .transform(countInTime);

function countInTime(text: string): { count: number; perMs: number } {
  return { count: Number.parseInt(text, 10), perMs: durationUnits[text.slice(-1)]! };
}

function scale(text: string, units: Record<string, number>): number {
  const digits = /^\d+/.exec(text)?.[0] ?? '';
  return Number(digits) * (units[text.slice(digits.length)] ?? Number.NaN);
}

function isDate(text: string): boolean {
  if (!dayOnly.test(text) && !instant.test(text)) return false;
  const parsed = Date.parse(text);
  // Date.parse rolls 2026-02-30 over into March; the day must come back as written.
  return (
    !Number.isNaN(parsed) && new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().startsWith(text.slice(0, 10))
  );
}

export const name = z.string().regex(/^[A-Za-z0-9_./*-]{1,128}$/, 'expected a name of letters, digits and _ . - / *');

/** Stands before `/` in qualified client ids and beside the words `none` and `default`, so it is narrower than other names. */
export const authenticatorName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'expected a name of letters, digits and _ . -', abort: true })
  .refine((text) => text !== 'none' && text !== 'default', 'this word has a meaning of its own; take another name');

export const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'expected a header name')
  .transform((text) => text.toLowerCase());

/** The value of a header of ours, which is often a secret. */
export const headerValue = z
  .string()
  .regex(/^[\x21-\x7e]([\x20-\x7e]{0,8190}[\x21-\x7e])?$/, 'expected printable ASCII');

/** RFC 6749 §3.3: a scope-token. */
export const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, 'expected a scope (no spaces, quotes or backslashes)');
export const scopes = z.array(scope);

export const fingerprint = z
  .string()
  .regex(/^sha256:[0-9a-fA-F]{64}$/, 'expected sha256: and 64 hex digits')
  .transform((value) => value.toLowerCase());

export const text = z.string().min(1);
/** The use of a file: `read` with the configuration, `written`, or `watched` apart, as it changes more often. */
type FileUse = 'read' | 'written' | 'watched';
const fileOf = (fileUse: FileUse) => text.meta({ fileUse });
export const filePath = fileOf('read');
export const writtenFilePath = fileOf('written');
export const watchedFilePath = fileOf('watched');

/** `host:port`, or `unix:` and an absolute path that fits into a socket address (108 bytes with its end). */
export const address = z
  .string(hostAndPort)
  .regex(/^(unix:\/\S+|(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5})$/, {
    error: ({ input }) =>
      String(input).startsWith('unix:')
        ? 'expected unix: and an absolute path, such as unix:/run/portcullis/gateway.sock'
        : hostAndPort,
    abort: true,
  })
  .refine(
    (value) => value.startsWith('unix:/') || Number(value.slice(value.lastIndexOf(':') + 1)) <= 65_535,
    'a port is at most 65535',
  )
  .refine(
    (value) => !value.startsWith('unix:/') || Buffer.byteLength(value) <= 'unix:'.length + 107,
    'the path of a unix socket is at most 107 bytes long',
  );

export const host = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/, { error: hostExpected, abort: true })
  .refine((text) => parseHost(text) !== undefined, hostExpected);

export const httpUrl = z
  .string()
  .regex(/^https?:\/\/[^\s#\\]+$/, { error: 'expected an http(s) URL without a fragment', abort: true })
  .refine((url) => URL.canParse(url) && new URL(url).username === '', {
    error: 'expected an http(s) URL without a user name',
    abort: true,
  });

/** Yields the URL without a trailing slash. */
export const origin = httpUrl
  .refine(
    (url) => /^https?:\/\/[^/?]+\/?$/.test(url),
    'expected scheme, host and port only, such as https://mcp.example.com',
  )
  .transform((url) => (URL.canParse(url) ? new URL(url).origin : url));

/** The origin of a page, an extension or a desktop application (RFC 6454 §6.2); one of http(s) may have a trailing slash. Yields it as it is sent. */
export const callerOrigin = z
  .string()
  .regex(
    /^(https?:\/\/[^\s\\/?#@]+\/?|(?!https?:)[a-z][a-z0-9+.-]*:\/\/(\[[0-9a-f:.]+\]|[A-Za-z0-9\-._~!$&'()+,;=%]*)(:\d{1,5})?)$/,
    {
      error:
        'expected an origin written out in full, such as https://app.example.com or chrome-extension://abcdefghijklmnop, and never null',
      abort: true,
    },
  )
  .refine((text) => URL.canParse(text), 'expected an origin such as https://app.example.com')
  .transform((text) => (/^https?:/.test(text) && URL.canParse(text) ? new URL(text).origin : text));

export const networks = z.array(z.string().refine(isRange, 'expected an address or a range such as 10.0.0.0/8'));

/** Addresses of proxies; `unix:` is whoever connects to a unix socket. */
export const peers = z.array(
  z.string().refine((peer) => peer === unixPeer || isRange(peer), 'expected an address or a range such as 10.0.0.0/8'),
);

export const method = z
  .string()
  .regex(/^[A-Z]{3,16}$/, { error: 'expected an upper-case HTTP method', abort: true })
  .refine((value) => value !== 'CONNECT' && value !== 'TRACE', 'CONNECT and TRACE are never served');

export const routePath = z
  .string()
  .regex(/^\/(?:[A-Za-z0-9\-._~!$&'()+,=:@/]|%[0-9A-F]{2})*(?:\*)?$/, {
    error: 'expected a path such as /mcp or /api/*',
    abort: true,
  })
  .refine((path) => !path.includes('*') || path.endsWith('/*'), '* may only stand as the last segment');

/** A path that is sent as it stands. */
export const plainPath = z
  .string()
  .refine(isPlainPath, 'expected a path such as /mcp, without a query, dot segments or encoded separators');

/** RFC 6901; not the whole, which is the empty pointer. */
export const jsonPointer = z.string().regex(/^(\/([^~/]|~[01])*)+$/, 'expected a JSON pointer such as /request/limit');

export const globs = z.array(text).min(1);
export const condition = z.string().min(1).max(4096);
export const claimValue = z.union([z.string(), z.number(), z.boolean()]);
export const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);

/** A duration that a timer counts; zero would switch the protection off. */
export const timeout = duration
  .refine((ms) => ms > 0, 'expected a duration above zero')
  .refine((ms) => ms <= maxTimerMs, 'expected at most 24d');

export const positiveSize = size.refine((bytes) => bytes > 0, 'expected a size above zero');

function isRange(range: string): boolean {
  try {
    compileNetworks([range]);
    return true;
  } catch {
    return false;
  }
}
