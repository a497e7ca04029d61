// Framing of requests (RFC 9112 §6): refusal of old protocols, ambiguous lengths and duplicate headers that Node's parser accepts.
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';

const maxHeaders = 200;
/** Headers that may stand once, as those of `mcp-*`. Duplicate credential headers are refused by authentication. */
const singleHeaders = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'origin',
  'transfer-encoding',
  'last-event-id',
]);

/** Reason of refusals behind which no body can be told from what follows it. */
export const badFraming = 'framing';
const unframed = { reason: badFraming };

/** Throws a GatewayError for a request whose framing or headers two parsers could read differently. */
export function checkFraming(request: IncomingMessage): void {
  if (request.httpVersionMajor !== 1 || (request.httpVersion !== '1.1' && request.httpVersion !== '1.0')) {
    throw new GatewayError('bad_request', 'Only HTTP/1.1 and HTTP/1.0 are understood here.', unframed);
  }
  checkDuplicates(request.rawHeaders);
  const { headers } = request;
  if (headers.host === undefined && request.httpVersion === '1.1') {
    throw new GatewayError('bad_request', 'The Host header is missing.');
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    throw new GatewayError('expectation_failed', 'The only expectation met here is 100-continue.');
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') {
      throw new GatewayError('not_implemented', 'The only transfer coding understood here is chunked.', unframed);
    }
    if (request.httpVersion === '1.0')
      throw new GatewayError('bad_request', 'HTTP/1.0 has no transfer codings.', unframed);
  }
  if ((request.method === 'GET' || request.method === 'HEAD') && hasBody(request)) {
    throw new GatewayError('bad_request', 'A GET or HEAD request has no body here.');
  }
}

/** True when the head announces a body of at least one byte, or of unknown length. */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function checkDuplicates(rawHeaders: readonly string[]): void {
  if (rawHeaders.length > maxHeaders * 2) {
    throw new GatewayError('headers_too_large', `More than ${maxHeaders} headers.`);
  }
  const seen: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!singleHeaders.has(name) && !name.startsWith('mcp-')) continue;
    if (seen.includes(name)) throw new GatewayError('duplicate_header', 'A header that may stand once was sent twice.');
    seen.push(name);
  }
}
