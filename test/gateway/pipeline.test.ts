// The pipeline fails closed: without any one of its steps nothing reaches the upstream.
import t from 'tap';
import { pipeline } from '../../src/gateway/request/pipeline.ts';
import { toolCall } from '../support/client.ts';
import { startScenario } from '../support/scenario.ts';

/** What these do comes behind the record of the decision: nothing is left to let pass. */
const carriesOut = ['answerLocally', 'forwardMcp'];
const refusedEarlier = ['matchRoute', 'authenticate', 'readMcpMessage'];
const names = [...pipeline.onRequest, ...pipeline.preHandler].map(({ name }) => name);

for (const missing of names.filter((name) => !carriesOut.includes(name))) {
  t.test(`without ${missing} nothing is forwarded or answered`, async (t) => {
    const without = (steps: typeof pipeline.onRequest) => steps.filter(({ name }) => name !== missing);
    const { agent, upstream } = await startScenario(
      t,
      {},
      { pipeline: { onRequest: without(pipeline.onRequest), preHandler: without(pipeline.preHandler) } },
    );
    const answers = [
      await agent.post(toolCall('list_dashboards')),
      await agent.send({ path: '/api/dashboards' }),
      await agent.send({ path: '/open/x', method: 'POST', body: '{}' }),
      await agent.send({ path: '/health' }),
    ];
    for (const { status, text } of answers) t.ok(status >= 400 || JSON.parse(text).error !== undefined, text);
    // The guard of `recordDecision` and of what carries requests out, where no earlier step misses its predecessor.
    if (!refusedEarlier.includes(missing)) for (const { status } of answers) t.equal(status, 500);
    t.equal(upstream.requests.length, 0);
  });
}

t.test('with all of them the same requests pass', async (t) => {
  const { agent, upstream } = await startScenario(t);
  t.equal((await agent.post(toolCall('list_dashboards'))).status, 200);
  t.equal((await agent.send({ path: '/api/dashboards' })).status, 200);
  t.equal((await agent.send({ path: '/open/x', method: 'POST', body: '{}' })).status, 200);
  t.equal((await agent.send({ path: '/health' })).status, 200);
  t.equal(upstream.requests.length, 3);
});
