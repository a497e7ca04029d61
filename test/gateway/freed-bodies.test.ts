// Memory of request bodies on MCP routes: freed behind a complete request, and kept while a connection to the upstream may still read it.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { RequestContext } from '../../src/gateway/request/context.ts';
import { pipeline, type Step } from '../../src/gateway/request/pipeline.ts';
import type { Changes } from '../support/configuration.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const padding = 'x'.repeat(100_000);

const authorize = pipeline.preHandler.find(({ name }) => name === 'authorize') as Extract<
  Step,
  { readonly run: unknown }
>;

/** A gateway whose requests are seen as they pass the step `authorize`. */
async function startSeen(t: Test, config: Changes = {}) {
  const seen: RequestContext[] = [];
  const see: Step = {
    name: 'authorize',
    run(context, runtime) {
      seen.push(context);
      authorize.run(context, runtime);
    },
  };
  const preHandler = pipeline.preHandler.map((step) => (step.name === 'authorize' ? see : step));
  const scenario = await startScenario(t, config, { pipeline: { ...pipeline, preHandler } });
  const isComplete = ({ pendingCompletions }: RequestContext) => pendingCompletions === 0;
  return { ...scenario, seen, completed: () => until(() => seen.every(isComplete), 'the requests are complete') };
}

t.test('behind an answer, and behind a refusal', async (t) => {
  const { agent, seen, completed } = await startSeen(t);
  t.match(await agent.call('list_dashboards', { padding }), { status: 200 });
  t.match((await agent.call('drop_database', { padding })).text, /"denied"/);
  await completed();
  t.same(
    seen.map(({ body }) => body?.byteLength),
    [0, 0],
  );
});

t.test('not where the upstream has answered before it took the whole body', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
      socket.pause();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { agent, seen, completed } = await startSeen(t, {
    server: { limits: { bodyBytes: '16MiB' } },
    upstreams: { superset: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
  });
  t.match(await agent.call('list_dashboards', { padding: 'x'.repeat(12 * 1024 * 1024) }), { status: 200 });
  await completed();
  t.match(await agent.call('list_dashboards'), { status: 200 });
  t.ok(seen[0]!.body!.byteLength > 12 * 1024 * 1024);
});
