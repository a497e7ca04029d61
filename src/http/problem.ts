// Problem details of error responses (RFC 9457), and headers of every answer of the gateway's own.

import type { GatewayError } from '../errors.ts';
import { STATUS_CODES } from './node-http.ts';

/** The JSON of a refusal or failure: `application/problem+json`. `requestId` is the id of the audit records. */
export function problem(error: GatewayError, requestId: string): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[error.status],
    status: error.status,
    code: error.code,
    detail: error.message,
    requestId,
  });
}

/** Of every answer that is not an upstream's: no browser takes it for a script or a page (Fetch standard §3.7). */
export const ownHeaders: Readonly<Record<string, string>> = { 'x-content-type-options': 'nosniff' };
