// Inherited listening sockets (sd_listen_fds(3), socket activation): two generations of the gateway accept from one kernel queue.

/** Descriptors of the sockets that the service manager has opened, by the listener that each is for. */
export interface InheritedSockets {
  readonly public?: number;
  readonly admin?: number;
}

const variables = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;
const firstDescriptor = 3;
const names = ['public', 'admin'] as const;

/**
 * Reads `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, and removes them from `env`, so that no child takes the sockets for its own. There are none
 * where `LISTEN_PID` is another process. A single socket is the public one, unless its name is `admin`. Throws an Error that names the variable.
 */
export function takeInheritedSockets(env: NodeJS.ProcessEnv, pid: number): InheritedSockets {
  const { LISTEN_FDNAMES: listed, LISTEN_FDS: fds, LISTEN_PID: receiver } = env;
  for (const variable of variables) delete env[variable];
  if (fds === undefined || receiver === undefined) return {};
  if (numberIn('LISTEN_PID', receiver) !== pid) return {};
  const count = numberIn('LISTEN_FDS', fds);
  const given = listed?.split(':') ?? [];
  if (listed !== undefined && given.length !== count)
    throw new Error(`LISTEN_FDNAMES: there are ${given.length} names for ${count} sockets`);
  if (count === 1 && given[0] !== 'admin') return { public: firstDescriptor };
  const sockets: { public?: number; admin?: number } = {};
  for (let index = 0; index < count; index += 1) {
    const name = names.find((each) => each === given[index]);
    if (name === undefined || sockets[name] !== undefined)
      throw new Error(
        'LISTEN_FDNAMES: of several sockets one is called public and one admin; the units say so by FileDescriptorName=',
      );
    sockets[name] = firstDescriptor + index;
  }
  return sockets;
}

function numberIn(variable: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`${variable}: expected a number above zero`);
  return Number(text);
}
