// Problem details of error responses (RFC 9457).
import { STATUS_CODES } from 'node:http';
import type { GatewayError } from '../errors.ts';

/** The JSON of a refusal or failure: `application/problem+json`. */
export function problem(error: GatewayError): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[error.status],
    status: error.status,
    code: error.code,
    detail: error.message,
  });
}
