// Client of Redis or Valkey: one server, a Cluster, or what Sentinels say is the master.
import type { SecureContext } from 'node:tls';
import { buildClientContext } from '../../http/connection/client-context.ts';
import type { NamedFiles } from '../../named-files.ts';
import { addressesOf, type RedisConfig } from '../schema.ts';

/** A client of one server or of several that act as one. */
export interface RedisClient {
  /** Resolves once commands can be sent. Bounded by nobody. */
  connect(): Promise<void>;
  /** Sends a command about one key, and yields the reply (RESP 2). Rejects for an error reply; a silent server lets it wait. */
  send(key: string, command: readonly string[]): Promise<unknown>;
  /** Ends all connections at once; commands under way reject. */
  destroy(): void;
}

/** Makes a client that is not connected. `lost` is told when it is of no use any more; one of several servers never is. */
export type OpenRedis = (lost: (error: Error) => void) => RedisClient;

const connectTimeoutMs = 2000;
/** Commands that one connection may have under way. */
const maxCommands = 4096;

/** The TLS context of the connections. Throws a SecureContextError that names key and file; `check` builds the same one. */
export function buildRedisContext(config: RedisConfig, files: NamedFiles): SecureContext {
  return buildClientContext('state.redis', config, files);
}

/** Loads the package, and reads the section. Throws an Error of one line when the package is missing, or a file cannot be used. */
export async function loadRedis(config: RedisConfig, files: NamedFiles): Promise<OpenRedis> {
  const { createClient, createCluster, createSentinel } = await loadPackage();
  const addresses = addressesOf(config);
  const [first] = addresses;
  const isOne = !config.cluster && config.sentinel === undefined;
  const { database = 0, tls = true } = first ?? {};
  const secure = tls
    ? { tls: true as const, secureContext: buildRedisContext(config, files), rejectUnauthorized: true }
    : {};
  const common = {
    RESP: 2 as const,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    commandsQueueMaxLength: maxCommands,
    // Its own limit of time covers only what is not sent yet.
    commandOptions: { timeout: 0 },
    socket: { ...secure, connectTimeout: connectTimeoutMs, reconnectStrategy: isOne ? (false as const) : reconnectMs },
  };
  // The commands tell; without a listener an error would end the process.
  const ignore = (): void => {};
  const user = credentials(config.username ?? first?.username, config.password ?? first?.password);
  const nodes = addresses.map(({ host, port }) => ({ host, port }));

  if (config.cluster) {
    return () => {
      const defaults = { ...common, ...user };
      const rootNodes = nodes.map((socket) => ({ socket: { ...common.socket, ...socket } }));
      const cluster = createCluster({ RESP: 2, rootNodes, defaults });
      cluster.on('error', ignore);
      return {
        connect: async () => void (await cluster.connect()),
        send: (key, command) => cluster.sendCommand(key, false, [...command]),
        destroy: () => ignoreErrors(() => cluster.destroy()),
      };
    };
  }
  const { sentinel } = config;
  if (sentinel !== undefined) {
    return () => {
      const client = createSentinel({
        name: sentinel.name,
        RESP: 2,
        sentinelRootNodes: nodes,
        nodeClientOptions: { ...common, ...user, database },
        sentinelClientOptions: { ...common, ...credentials(sentinel.username, sentinel.password) },
      });
      client.on('error', ignore);
      return {
        connect: async () => void (await client.connect()),
        send: (_key, command) => client.sendCommand(false, [...command]),
        destroy: () => ignoreErrors(() => client.destroy()),
      };
    };
  }
  return (lost) => {
    const client = createClient({ ...common, ...user, database, socket: { ...common.socket, ...nodes[0]! } });
    client.on('error', lost);
    return {
      connect: async () => void (await client.connect()),
      send: (_key, command) => client.sendCommand([...command]),
      destroy: () => ignoreErrors(() => client.destroy()),
    };
  };
}

function credentials(username: string | undefined, password: string | undefined) {
  return { ...(username !== undefined && { username }), ...(password !== undefined && { password }) };
}

/** Of nodes behind a cluster or sentinels, whose other nodes go on. */
function reconnectMs(retries: number): number {
  return Math.min(50 * 2 ** retries, 2000) * (0.5 + Math.random() / 2);
}

/** A client that is closed already throws, or rejects. */
function ignoreErrors(close: () => unknown): void {
  new Promise((resolve) => resolve(close())).catch(() => {});
}

async function loadPackage() {
  try {
    return await import('@redis/client');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error('state.redis needs the package @redis/client, which is not installed: npm install @redis/client', {
      cause: error,
    });
  }
}
