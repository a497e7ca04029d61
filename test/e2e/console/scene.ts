// Gateway as a process of its own, with a console to look at and traffic that it has seen.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, launch, type Running, type Scene, startScene, untilRuns } from '../../deploy/scene.ts';
import { root } from '../../deploy/tools.ts';
import { createClient, type TestClient, toolCall } from '../../support/client.ts';
import { type Changes, configure, resourcesOf, yamlOf } from '../../support/configuration.ts';
import { type HeldStream, holdStream } from '../../support/event-stream.ts';

export interface ConsoleScene {
  readonly scene: Scene;
  readonly running: Running;
  /** Of the configuration and the audit log. */
  readonly folder: string;
  /** Of the console, without a slash at the end. */
  readonly origin: string;
  readonly adminPort: number;
  readonly client: TestClient;
  /** A token of a client for the scene's route; `claims` are laid over it. */
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>;
  call(token: string | undefined, tool: string, args?: unknown): Promise<number>;
  /** Opens a stream whose end does not come. */
  hold(token: string): Promise<HeldStream>;
  reload(changes: Changes): Promise<void>;
  close(): Promise<void>;
}

const rules = [
  { name: 'read', allow: { tools: ['list_dashboards', 'get_*'] }, require: { scopes: ['dashboards:read'] } },
  {
    name: 'sql',
    allow: { tools: ['execute_sql'] },
    require: { scopes: ['queries:execute'], when: 'args.request.limit <= 1000' },
  },
  { name: 'never', allow: { tools: ['list_dashboards'] }, require: { scopes: ['other'] } },
];

/** Starts it with these changes to its configuration. `secure`: the console has TLS. */
export async function startConsoleScene(changes: Changes = {}, secure = false): Promise<ConsoleScene> {
  const scene = await startScene();
  const [port, adminPort] = [await freePort(), await freePort()];
  const configuration = (...more: Changes[]) =>
    configure(
      { upstreamUrl: scene.upstream.url, issuer: scene.issuer.issuer, tls: true },
      {
        server: { listen: `127.0.0.1:${port}` },
        admin: { listen: `127.0.0.1:${adminPort}` },
        revocation: { file: 'revoked.yaml' },
        routes: [
          { path: '/mcp', authenticate: { anyOf: ['corp', 'keys'] }, mcp: { preset: 'superset', rules } },
          { path: '/health', authenticate: 'none', respond: { json: { status: 'healthy' } } },
        ],
      },
      changes,
      ...more,
    );
  const folder = await scene.configure('console', yamlOf(configuration()));
  await writeFile(join(folder, 'revoked.yaml'), '{}\n');
  const origin = `${secure ? 'https' : 'http'}://127.0.0.1:${adminPort}`;
  const command = [process.execPath, join(root, 'dist/main.js'), 'serve', '-c', join(folder, 'gateway.yaml')];
  const running = launch(command);
  scene.started.push(running);
  await untilRuns(async () => running.output().includes('portcullis is listening'), 'it listens', running);
  const ca = scene.certificates.authority.certificatePem;
  const client = createClient({ port, ca });
  const streams: HeldStream[] = [];
  return {
    scene,
    running,
    folder,
    origin,
    adminPort,
    client,
    token: (claims) => scene.issuer.token({ aud: resourcesOf(configuration()), ...claims }),
    async call(token, tool, args) {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return (await client.post(toolCall(tool, args), { headers })).status;
    },
    async hold(token) {
      const stream = await holdStream({
        port,
        ca,
        headers: { authorization: `Bearer ${token}` },
        message: toolCall('execute_sql', { request: { database_id: 1, sql: 'SELECT 1', limit: 10 } }),
      });
      streams.push(stream);
      return stream;
    },
    async reload(more) {
      await writeFile(join(folder, 'gateway.yaml'), yamlOf(configuration(more)));
      running.child.kill('SIGHUP');
    },
    async close() {
      for (const stream of streams) stream.leave();
      client.close();
      await scene.close();
    },
  };
}

/** One of each: allowed, denied, refused, and one that is still open. Names that came from outside are hostile. */
export async function makeTraffic(console: ConsoleScene): Promise<HeldStream> {
  const agent = await console.token();
  const frontend = await console.token({ client_id: 'analytics_frontend', sub: 'ann', scope: 'dashboards:read' });
  const hostile = await console.token({ client_id: '<img src=x onerror=alert(1)>', scope: 'dashboards:read' });
  for (let round = 0; round < 5; round++) {
    await console.call(agent, 'list_dashboards', { request: {} });
    await console.call(frontend, 'execute_sql', { request: { database_id: 1, sql: 'SELECT 1', limit: 5 } });
    await console.call(hostile, '"><script>alert(1)</script>', {});
    await console.call(undefined, 'list_dashboards', {});
    await console.call('not.a.token', 'list_dashboards', {});
  }
  return console.hold(agent);
}
