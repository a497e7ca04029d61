// Gateways of one configuration as processes of their own behind a load balancer, with the state that they share in a real Redis.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, type Running, type Scene, startScene, untilAnswers } from '../deploy/scene.ts';
import { root } from '../deploy/tools.ts';
import { createClient, type TestClient } from '../support/client.ts';
import { type Changes, type Configuration, configure, yamlOf } from '../support/configuration.ts';
import { startBalancer } from './nginx.ts';
import { type RedisServer, startRedis } from './redis.ts';

export interface Replica {
  readonly port: number;
  readonly adminUrl: string;
  /** Of its configuration, its audit log and its revocation list. */
  readonly folder: string;
  running: Running;
  /** Starts it, again too, and waits until it is ready. */
  start(): Promise<void>;
  /** The values of a metric, by its labels as they are written. */
  metric(name: string): Promise<ReadonlyMap<string, number>>;
}

export interface Replicas {
  readonly scene: Scene;
  readonly redis: RedisServer;
  readonly replicas: readonly Replica[];
  /** Of the load balancer. */
  readonly port: number;
  /** A client with connections of its own, through the load balancer or to one replica. */
  client(options?: { readonly replica?: Replica; readonly connections?: number }): TestClient;
  close(): Promise<void>;
}

export interface ReplicasOptions {
  readonly upstreamUrl?: string;
  readonly onFailure?: 'refuse' | 'local';
  readonly changes: Changes;
  readonly count?: number;
}

/** Starts them, and an issuer and an upstream. Throws `Lacking` where Redis or nginx cannot be had. */
export async function startReplicas(options: ReplicasOptions): Promise<Replicas> {
  const redis = await startRedis();
  const scene = await startScene();
  const sessionKey = randomBytes(32).toString('base64');
  const count = options.count ?? 3;
  const replicas: Replica[] = [];
  for (let number = 1; number <= count; number++) replicas.push(await prepare(`replica-${number}`));
  await Promise.all(replicas.map((replica) => replica.start()));
  const balancer = await startBalancer(
    replicas.map(({ port }) => port),
    scene.directory,
  );
  const clients: TestClient[] = [];

  async function prepare(name: string): Promise<Replica> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const folder = await scene.configure(name, yamlOf(configurationOf(port, adminPort)));
    await writeFile(join(folder, 'session.key'), sessionKey, { mode: 0o600 });
    await writeFile(join(folder, 'revoked.yaml'), '{}\n');
    const adminUrl = `http://127.0.0.1:${adminPort}`;
    const command = [process.execPath, join(root, 'dist/main.js'), 'serve', '-c', join(folder, 'gateway.yaml')];
    const replica: Replica = {
      port,
      adminUrl,
      folder,
      running: undefined as never,
      async start() {
        replica.running = await scene.start(command, `${adminUrl}/livez`);
        await untilAnswers(`${adminUrl}/readyz`, replica.running);
      },
      async metric(metric) {
        const lines = (await (await fetch(`${adminUrl}/metrics`)).text()).split('\n');
        const values = lines.filter((line) => line.startsWith(metric)).map((line) => line.split(/ (?=\S+$)/));
        return new Map(values.map(([labels, value]) => [labels!, Number(value)]));
      },
    };
    return replica;
  }

  function configurationOf(port: number, adminPort: number): Configuration {
    const shared: Changes = {
      server: { listen: `127.0.0.1:${port}`, drainTimeout: '10s' },
      admin: { listen: `127.0.0.1:${adminPort}` },
      revocation: { file: 'revoked.yaml' },
      state: { redis: { url: redis.url, prefix: 'portcullis:' }, onFailure: options.onFailure ?? 'refuse' },
    };
    const surroundings = {
      upstreamUrl: options.upstreamUrl ?? scene.upstream.url,
      issuer: scene.issuer.issuer,
      tls: true,
    };
    return configure(surroundings, shared, options.changes);
  }

  return {
    scene,
    redis,
    replicas,
    port: balancer.port,
    client({ replica, connections = 1 } = {}) {
      const port = replica?.port ?? balancer.port;
      const client = createClient({ port, ca: scene.certificates.authority.certificatePem, connections });
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      await balancer.running.stop('SIGKILL');
      await scene.close();
      await redis.close();
    },
  };
}
