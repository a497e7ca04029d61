// Body filter: changes the body of an upstream's answer, and the headers that describe it.

/** Filters the body of one answer. A throw makes the answer `bad_upstream`, or cuts it once the head was sent. */
export interface BodyFilter {
  /** The head waits for the whole body, so that one that cannot be shown is still answered with an error. */
  readonly whole: boolean;
  /** Yields the bytes for the client; undefined for none. The filter bounds the bytes that it keeps. */
  write(chunk: Buffer): Buffer | undefined;
  /** Yields the rest when the upstream's body is complete. */
  end(): Buffer | undefined;
}

/** Headers that describe the original body. A filtered body is for one caller, neither stored nor changed by caches. */
const aboutTheBody: ReadonlySet<string> = new Set([
  'content-length',
  'content-range',
  'accept-ranges',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'etag',
  'last-modified',
  'age',
  'expires',
  'pragma',
  'cache-control',
  'cdn-cache-control',
  'surrogate-control',
]);

/** The head for a body that a filter changes; `length` when it is known. */
export function filteredHeaders(headers: readonly string[], length: number | undefined): string[] {
  const left: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    if (!aboutTheBody.has(headers[index]!.toLowerCase())) left.push(headers[index]!, headers[index + 1]!);
  }
  left.push('cache-control', 'private, no-store, no-transform');
  if (length !== undefined) left.push('content-length', String(length));
  return left;
}
