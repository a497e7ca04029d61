// Media type of a POST on an MCP route: JSON in UTF-8, without a content encoding.
import { GatewayError } from '../errors.ts';

/** One spelling of the type, and one parameter: anything else has been read in two ways by two readers before. */
const jsonInUtf8 = /^application\/json(?: *; *charset=(?:utf-8|"utf-8"))?$/i;

/** Reports whether a Content-Type is `application/json`, alone or with `charset=utf-8`. */
export function isMcpMediaType(contentType: string | undefined): boolean {
  if (contentType === 'application/json') return true;
  return contentType?.startsWith('application/json') === true && jsonInUtf8.test(contentType);
}

/** Throws `unsupported_media_type` unless the body is plain JSON. */
export function checkMediaType(headers: {
  readonly 'content-type'?: string | undefined;
  readonly 'content-encoding'?: string | string[] | undefined;
}): void {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new GatewayError('unsupported_media_type', 'The body must not be compressed.', {
      reason: 'content_encoding',
    });
  }
  if (!isMcpMediaType(headers['content-type'])) {
    throw new GatewayError('unsupported_media_type', 'The body must be application/json in UTF-8.', {
      reason: 'content_type',
    });
  }
}
