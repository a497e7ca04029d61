// Transport over HTTP: one POST a batch, bounded in time and size, judged by its status and by what the format says of the body.
import { hash, randomUUID } from 'node:crypto';
import { authoritiesOf } from '../../../oauth/authorities.ts';
import { answerBounded, type BoundedAnswer, createBoundedAgent, RequestFailure } from '../../../oauth/http-client.ts';
import { hashOf } from '../../hash-chain.ts';
import { DeliveryFailure, type Transport } from '../delivery/transport.ts';
import type { SinkEnvironment } from '../sink-type.ts';
import type { Format, RecordLine } from './format.ts';
import { type FormatName, formats } from './formats.ts';

/** The part of a sink's configuration that a transport is made of. */
export interface HttpReceiver {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly format: FormatName | Format;
  readonly caFile?: string | undefined;
}

/** The address for the operator: without its query, and with digests of long segments of its path, either of which may be a secret. */
export function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url);
  const shown = (segment: string) => (segment.length > 20 ? `~${hash('sha256', segment).slice(0, 8)}` : segment);
  return `${origin}${pathname.split('/').map(shown).join('/')}`;
}

/** Of a whole request, and of each part of it. */
const requestTimeoutMs = 10_000;
const maxAnswerBytes = 1024 * 1024;

/** Creates a transport. Connections open with the first batch. */
export function createHttpTransport(receiver: HttpReceiver, environment: SinkEnvironment): Transport {
  const { headers, url } = receiver;
  const format = typeof receiver.format === 'string' ? formats[receiver.format] : receiver.format;
  const address = new URL(url);
  const shown = shownUrl(url);
  const channel = randomUUID();
  const authorities = authoritiesOf(receiver, environment);
  const agent = createBoundedAgent({
    timeoutMs: requestTimeoutMs,
    connections: 1,
    authorities,
    egress: environment.egress,
  });

  /** Holds the body of the request that is under way. */
  let scratch: Buffer = Buffer.alloc(0);

  function bodyOf(pieces: readonly string[]): Buffer {
    const length = pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0);
    if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const piece of pieces) at += scratch.write(piece, at);
    return scratch.subarray(0, length);
  }

  async function post(lines: readonly RecordLine[], signal: AbortSignal): Promise<BoundedAnswer> {
    return await answerBounded(url, {
      agent,
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
      method: 'POST',
      headers: { ...headers, ...format.headers?.(lines, channel), 'content-type': format.mediaType },
      body: bodyOf(format.encode(lines, address)),
      maxBytes: maxAnswerBytes,
      statuses: 'any',
    }).catch((error: unknown) => statusOnly(error, url, shown));
  }

  return {
    async send(buffers, signal) {
      const answer = await post(buffers.map(parseLine), signal);
      try {
        if (format.judge?.(answer, address) !== true) judgeStatus(answer);
      } catch (error) {
        if (!(error instanceof DeliveryFailure)) throw error;
        throw new DeliveryFailure(error.kind, `${shown} ${error.message}`, { retryAfterMs: retryAfterOf(answer) });
      }
    },
    close: async () => agent.close(),
  };
}

function parseLine(line: Buffer): RecordLine {
  const text = line.toString();
  return { text, hash: hashOf(line), record: () => JSON.parse(text) };
}

/**
 * An answer whose head came and whose body cannot be used: its status counts, unless that is a success. The error says no more than the address
 * without its query.
 */
function statusOnly(error: unknown, url: string, shown: string): BoundedAnswer {
  if (!(error instanceof RequestFailure)) throw error;
  if (error.status === undefined || isSuccess(error.status))
    throw new DeliveryFailure('again', error.message.replaceAll(url, shown));
  return { status: error.status, headers: {}, body: Buffer.alloc(0) };
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A redirect is never followed: the records and the credential are for this address. A web page acknowledges nothing. */
function judgeStatus({ status, headers, body }: BoundedAnswer): void {
  if (
    isSuccess(status) &&
    body.length > 0 &&
    /^(text\/html|application\/xhtml\+xml)\b/i.test(String(headers['content-type']))
  )
    throw new DeliveryFailure('again', `answered ${status} with a web page; look at url, and at proxies on the way`);
  if (isSuccess(status)) return;
  if (status === 413) throw new DeliveryFailure('too_large', 'answered 413');
  if (status === 400 || status === 422) throw new DeliveryFailure('refused', `answered ${status}`);
  throw new DeliveryFailure('again', `answered ${status}${hints[status] ?? (status < 400 ? hints[302] : '')}`);
}

const hints: Readonly<Record<number, string>> = {
  302: ': redirects are not followed; write the address that it leads to',
  401: ': look at the credential in headers',
  403: ': look at the credential in headers, and what it may write',
  404: ': look at the path of url',
};

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterOf({ headers }: BoundedAnswer): number {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return 0;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const untilMs = Date.parse(value) - Date.now();
  return untilMs > 0 ? untilMs : 0;
}
