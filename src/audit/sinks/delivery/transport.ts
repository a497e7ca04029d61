// Contract of a transport: it sends one batch of audit records to a receiver, and says what became of it.

/**
 * Sends batches; the delivery around it retries, splits and keeps the order. `send` and `flush` are never called while a call is out.
 */
export interface Transport {
  /**
   * Sends whole records in order: the lines of the chain without their newlines, each of which ends in `"hash":"…"}`. Resolves when the receiver has
   * acknowledged all of them; with `flush`, when they were handed to the system on a live connection. Otherwise throws a DeliveryFailure; any other
   * error is one to be tried again. The bytes may be overwritten once this returns. No lines ask the receiver without a record.
   */
  send(lines: readonly Buffer[], signal: AbortSignal): Promise<void>;
  /**
   * Only of a protocol without acknowledgements. Resolves when the receiver has read all that was sent before; when it throws, all since the last flush
   * is sent again before anything new.
   */
  flush?(signal: AbortSignal): Promise<void>;
  /** Ends the connections. A call that is out may fail. */
  close(): Promise<void>;
}

/**
 * `again`: the same batch may be taken later. `too_large`: a smaller one may be. `refused`: the receiver understood the batch and will not take it as it
 * is, so that one of its records is at fault, and never a credential, an address or a setting.
 */
export type FailureKind = 'again' | 'too_large' | 'refused';

/** Asks the receiver without a record, and closes the transport. Throws an Error for the operator where records could not be delivered. */
export async function probeReceiver(transport: Transport): Promise<string> {
  try {
    await transport.send([], AbortSignal.timeout(probeMs));
  } catch (error) {
    // It understood, and misses a record.
    if (!(error instanceof DeliveryFailure) || error.kind === 'again') throw error;
  } finally {
    await transport.close();
  }
  return 'the receiver answers and accepts the sink';
}

const probeMs = 5000;

/** A batch that was not acknowledged. The message is for the operator and holds no secret. */
export class DeliveryFailure extends Error {
  readonly kind: FailureKind;
  /** The receiver asked to wait so long. */
  readonly retryAfterMs: number;

  constructor(
    kind: FailureKind,
    message: string,
    details: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DeliveryFailure';
    this.kind = kind;
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }
}
