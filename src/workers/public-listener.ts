// Public listener of a supervisor, as a server of Node that only accepts.
import { type AddressInfo, isIP, type Server } from 'node:net';
import type { listenOn } from '../gateway/listeners/listen.ts';
import { parseListenAddress } from '../http/connection/listen-address.ts';

/** The address of a socket that is inherited, before it is listened on. */
export function addressIn(listen: string): AddressInfo {
  const address = parseListenAddress(listen);
  if (address.kind === 'unix') return { address: listen, family: 'unix', port: 0 };
  return { address: address.host, family: isIP(address.host) === 6 ? 'IPv6' : 'IPv4', port: address.port };
}

/** A server of Node as `listenOn` takes it. */
export function listenable(server: Server): Parameters<typeof listenOn>[0] {
  return {
    server,
    log: { level: 'silent' },
    listen: (options) =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(options, () => {
          server.removeListener('error', reject);
          resolve();
        });
      }),
  };
}
