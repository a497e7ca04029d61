// Opening handshake of a WebSocket (RFC 6455 §4), as far as one that stands between client and server checks it.
import { createHash } from 'node:crypto';

/** RFC 6455 §1.3. */
const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * True if the headers of a 101 response agree to the offer with this `Sec-WebSocket-Key` (§4.1): to this protocol, and by a server that has
 * read the key. Names and values in turn.
 */
export function agreesToOffer(rawHeaders: readonly Buffer[], key: string | undefined): boolean {
  const accept = createHash('sha1').update(`${key}${guid}`).digest('base64');
  return (
    onlyValue(rawHeaders, 'upgrade')?.toLowerCase() === 'websocket' &&
    onlyValue(rawHeaders, 'sec-websocket-accept') === accept
  );
}

/** Undefined where it does not stand exactly once. */
function onlyValue(rawHeaders: readonly Buffer[], name: string): string | undefined {
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]!.toString('latin1').toLowerCase() === name,
  );
  return values.length === 1 ? values[0]!.toString('latin1').trim() : undefined;
}
