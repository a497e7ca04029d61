// Arguments of a call that are parsed when somebody first looks at them.

/** Yields the parsed value, the same at every call; undefined when there are no bytes. The bytes have been scanned before. */
export function lazyArguments(bytes: Buffer | undefined): () => unknown {
  let parsed: unknown;
  return () => {
    if (bytes !== undefined) parsed ??= JSON.parse(bytes.toString('utf8'));
    return parsed;
  };
}
