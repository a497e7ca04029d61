// Memory of request bodies on MCP routes: freed behind a complete request, and kept while a connection to the upstream may still read it.
import t, { type Test } from 'tap';
import type { RequestContext } from '../../src/gateway/request/context.ts';
import { pipeline, type Step } from '../../src/gateway/request/pipeline.ts';
import type { Changes } from '../support/configuration.ts';
import { startEarlyUpstream } from '../support/early-upstream.ts';
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
  const upstream = await startEarlyUpstream(t);
  const { agent, seen, completed } = await startSeen(t, {
    server: { limits: { bodyBytes: '16MiB' } },
    upstreams: { superset: { url: upstream.url } },
  });
  t.match(await agent.call('list_dashboards', { padding: 'x'.repeat(12 * 1024 * 1024) }), { status: 200 });
  await completed();
  t.match(await agent.call('list_dashboards'), { status: 200 });
  t.ok(seen[0]!.body!.byteLength > 12 * 1024 * 1024);
});
