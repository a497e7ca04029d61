// Media types that are read: JSON and event streams in UTF-8, without a content encoding.
import { GatewayError } from '../errors.ts';

const jsonInUtf8 = inUtf8('application/json');
const eventStreamInUtf8 = inUtf8('text/event-stream');

/**
 * Case and empty parameters mean nothing (RFC 9110 §8.3.1, §5.6.6). `charset=utf-8` is the one parameter: anything else has been read in two ways by
 * two readers before.
 */
function inUtf8(type: string): RegExp {
  return new RegExp(`^${type} *(?:; *)*(?:charset=(?:utf-8|"utf-8") *(?:; *)*)?$`, 'i');
}

/** True for `application/json` in UTF-8. */
export function isJson(contentType: string | undefined): boolean {
  return contentType === 'application/json' || (contentType !== undefined && jsonInUtf8.test(contentType));
}

/** True for `text/event-stream` in UTF-8. */
export function isEventStream(contentType: string): boolean {
  return eventStreamInUtf8.test(contentType);
}

/** Throws `unsupported_media_type` unless the body is plain JSON. */
export function checkMediaType(headers: {
  readonly 'content-type'?: string | undefined;
  readonly 'content-encoding'?: string | string[] | undefined;
}): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && String(encoding).toLowerCase() !== 'identity') {
    throw new GatewayError('unsupported_media_type', 'The body must not be compressed.', {
      reason: 'content_encoding',
    });
  }
  if (!isJson(headers['content-type'])) {
    throw new GatewayError('unsupported_media_type', 'The body must be application/json in UTF-8.', {
      reason: 'content_type',
    });
  }
}
