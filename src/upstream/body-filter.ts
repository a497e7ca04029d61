// What stands between an upstream's answer and the client where a body must not pass as it came, and what its head then says.

/** Takes the body of one answer on its way. What it throws makes the answer a bad upstream's, or breaks it off once the head was sent. */
export interface BodyFilter {
  /** The head waits for the whole body, so that one that cannot be shown is still answered with an error. */
  readonly whole: boolean;
  /** What can go to the client by now; undefined for nothing. Bytes it keeps are its own to bound. */
  write(chunk: Buffer): Buffer | undefined;
  /** What is left when the upstream's body is complete. */
  end(): Buffer | undefined;
}

/** What described the body as it came. A body made for one caller is neither stored nor changed on its way. */
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
