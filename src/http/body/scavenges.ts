// Minor collections (scavenges) behind the bytes of bodies that pass through.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Told the bytes of each piece of a body that was handed on. */
export type CountPassed = (bytes: number) => void;

const bytesPerScavenge = 8 * 1024 * 1024;

/**
 * Creates the count, which asks for a scavenge from time to time. Buffers lie outside of V8's heap: it lets some 100 MB of those that are done with
 * come together before it looks for them, since their objects fill its young generation slowly.
 */
export function createBodyScavenges(): CountPassed {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;
  setFlagsFromString('--no-expose-gc');
  let left = bytesPerScavenge;
  return (bytes) => {
    left -= bytes;
    if (left > 0) return;
    left = bytesPerScavenge;
    collect({ type: 'minor' });
  };
}
