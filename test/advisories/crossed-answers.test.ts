// CVE-2026-25536 (MCP TypeScript SDK): clients that shared a transport got each other's answers, because JSON-RPC ids of different clients are
// often the same. A gateway reuses connections to its upstream and could do that too, above all after a client has left.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import t from 'tap';
import { host, post, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { rawConnection } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import type { Reply } from '../support/upstream.ts';

for (const left of ['abort', 'drain'] as const) {
  t.test(
    `an answer goes to the request that it answers, whatever the ids are and whoever has left (${left})`,
    async (t) => {
      const waiting: { response: ServerResponse; marker: string }[] = [];
      const reply: Reply = (request, response) => {
        waiting.push({ response, marker: JSON.parse(String(request.body)).params.arguments.marker });
      };
      const superset = { onClientDisconnect: left, limits: { concurrencyPerClient: 16 } };
      const { port, upstream } = await startScenario(t, { upstreams: { superset } }, { reply });
      const clients = await Promise.all(
        Array.from({ length: 8 }, async (_, index) => {
          const connection = await rawConnection(port);
          connection.write(post(toolCall('list_dashboards', { marker: `m${index}` }), [host, withKey]));
          return { connection, marker: `m${index}` };
        }),
      );
      await upstream.received(8);
      const leaving = clients.filter((_, index) => index % 2 === 0);
      const staying = clients.filter((_, index) => index % 2 === 1);
      const gone = leaving.map(({ connection, marker }) =>
        left === 'drain'
          ? connection.closed()
          : once(waiting.find((each) => each.marker === marker)!.response, 'close'),
      );
      for (const { connection } of leaving) connection.end();
      await Promise.all(gone);
      // Connections that are given up, or have an answer to come that nobody waits for, must not carry what comes next.
      const late = await rawConnection(port);
      late.write(post(toolCall('list_dashboards', { marker: 'late' }), [host, withKey]));
      await upstream.received(9);
      for (const { response, marker } of waiting.toReversed())
        response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: marker }));
      for (const { connection, marker } of [...staying, { connection: late, marker: 'late' }]) {
        const { answers } = await connection.answers();
        t.match(answers, [{ status: 200, json: { id: 1, result: marker } }]);
        connection.end();
      }
    },
  );
}
