// Two ends of an IPC channel within one process: what one sends is cloned, and comes later at the other.
import { EventEmitter } from 'node:events';
import type { Port } from '../../src/workers/channel.ts';

/** Two ports; `cut` ends both, as the exit of a process does. */
export function createPortPair(): { readonly ports: readonly [Port, Port]; cut(): void } {
  const ends = [new EventEmitter(), new EventEmitter()] as const;
  let connected = true;
  const portOf = (own: EventEmitter, other: EventEmitter): Port => ({
    get connected() {
      return connected;
    },
    send(message, _handle, _options, sent) {
      const copy = structuredClone(message);
      setImmediate(() => {
        if (connected) other.emit('message', copy);
        sent(null);
      });
      return true;
    },
    on: (event: 'message', listener: (message: unknown) => void) => own.on(event, listener),
    once: (event: 'disconnect', listener: () => void) => own.once(event, listener),
  });
  return {
    ports: [portOf(ends[0], ends[1]), portOf(ends[1], ends[0])],
    cut() {
      connected = false;
      for (const end of ends) end.emit('disconnect');
    },
  };
}
