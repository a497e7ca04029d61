// The bytes of the real server: large answers, many frames, slow queries, and clients that leave in the middle of a call.
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { toolCall } from '../../support/client.ts';
import { holdStream } from '../../support/event-stream.ts';
import { until } from '../../support/until.ts';
import { startRecorder } from './recorder.ts';
import type { World } from './world.ts';

/** Keeps SQLite busy for about a second each. 6.1.0 runs it on its one event loop. */
const slowly = (seconds: number) => ({
  request: {
    database_id: 1,
    sql: `SELECT count(*) AS n FROM sales a, sales b, (SELECT amount FROM sales LIMIT ${seconds}) c WHERE a.amount * b.amount + c.amount < -1`,
    timeout: 120,
  },
});

export function wireTests(world: World): void {
  const { ports, mcp } = world.servers;
  const { everything, viewing } = world.keys;

  test('large answers, many frames and slow answers pass byte for byte', async () => {
    const recorder = await startRecorder(ports.mcp);
    await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${recorder.port}`));
    try {
      for (const [name, args, least] of [
        ['get_chart_data', { request: { identifier: 1, format: 'json', limit: 5 } }, 2000],
        ['get_chart_data', { request: { identifier: 1, format: 'csv', limit: 700 } }, 20_000],
        ['execute_sql', { request: { database_id: 1, sql: 'SELECT * FROM sales', limit: 180 } }, 40_000],
        ['get_chart_preview', { request: { identifier: 1, format: 'ascii' } }, 1000],
        ['search_tools', { query: 'chart' }, 1000],
        ['execute_sql', slowly(2), 100],
      ] as const) {
        const { answer, text } = await world.call(everything, name, args);
        assert.equal(answer.status, 200, answer.text);
        assert.doesNotMatch(text, /^Error|"success":false/);
        assert.ok(answer.text.length > least, `${name}: ${answer.text.length} characters`);
        assert.equal(answer.text, recorder.bodies.at(-1)?.toString(), name);
      }
    } finally {
      await world.gateway.reload(world.yaml);
      await recorder.close();
    }
  });

  test('a client that leaves in the middle of a call does not disturb the calls of others', async () => {
    const recorder = await startRecorder(ports.mcp);
    await world.gateway.reload(world.yaml.replace(`127.0.0.1:${ports.mcp}`, `127.0.0.1:${recorder.port}`));
    const logged = mcp.log().length;
    try {
      for (let round = 0; round < 2; round++) {
        const before = recorder.bodies.length;
        const leaving = holdStream({
          port: ports.gateway,
          ca: world.caPem,
          headers: { authorization: `Bearer ${everything}` },
          message: toolCall('execute_sql', slowly(1), 7),
        });
        const staying = world.call(viewing, 'get_chart_data', { request: { identifier: 1, format: 'json', limit: 5 } });
        const { response, leave } = await leaving;
        leave();
        const { text, answer } = await staying;
        assert.match(text, /kettle/, answer.text);
        await world.gateway.record(
          ({ id, outcome }) => id === response.headers['x-request-id'] && outcome === 'aborted',
        );
        await until(async () => recorder.bodies.length >= before + 2, 'both answers were read to their end');
        assert.match(recorder.bodies.slice(before).join(''), /"id":7,"result":.*\\"success\\":true/);
      }
      assert.equal(recorder.abandoned(), 0, 'the gateway has read every answer to its end');
      assert.doesNotMatch(mcp.log().slice(logged), /ClosedResourceError|BrokenResourceError|Traceback/);
    } finally {
      await world.gateway.reload(world.yaml);
      await recorder.close();
    }
  });
}
