// A gateway that is killed while its SIEM is away: what it recorded in its spool arrives after the next start, in order.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { createClient } from '../support/client.ts';
import { wholeLines } from '../support/json-lines.ts';
import { spawnServe } from '../support/serve.ts';
import { until } from '../support/until.ts';

interface Line {
  readonly seq: number;
  readonly id: string;
  readonly stage: string;
  readonly hash: string;
  readonly prev: string;
}

t.test('kill -9 under load: every record that was in the spool arrives, in one chain', async (t) => {
  const taken = new Map<string, Line>();
  const inOrder: Line[] = [];
  let isAway = true;
  const siem = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (isAway) return void request.socket.destroy();
    for (const line of Buffer.concat(chunks)
      .toString()
      .trimEnd()
      .split('\n')
      .map((text): Line => JSON.parse(text))) {
      if (!taken.has(line.hash)) inOrder.push(line);
      taken.set(line.hash, line);
    }
    response.end();
  });
  await new Promise<void>((resolve) => siem.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    siem.closeAllConnections();
    siem.close();
  });
  const spool = `${t.testdir({})}/spool`;
  const yaml = `version: 1
server: {listen: 127.0.0.1:0, publicUrl: "http://localhost:8443"}
admin: {listen: 127.0.0.1:0}
authenticators: {}
upstreams: {}
routes: [{path: /health, authenticate: none, respond: {status: 200, json: {status: healthy}}}]
audit:
  sinks: [{type: http, url: "http://127.0.0.1:${(siem.address() as AddressInfo).port}/", required: false, spool: {path: ${spool}, bytes: 64MiB}}]
`;
  const written = new Set<string>();
  for (const requests of [20, 30, 40]) {
    const serve = await spawnServe(t, { yaml });
    const { port } = await serve.listening();
    const client = createClient({ port });
    for (let count = 0; count < requests; count += 1) await client.send({ path: '/health' });
    serve.child.kill('SIGKILL');
    await client.close();
    await serve.ended;
    for (const name of readdirSync(spool).filter((each) => /^\d+\.jsonl$/.test(each))) {
      for (const { hash } of wholeLines(readFileSync(join(spool, name), 'utf8')).map(
        (text): Line => JSON.parse(text),
      )) {
        written.add(hash);
      }
    }
    // The next one is killed while it delivers.
    isAway = false;
  }
  const last = await spawnServe(t, { yaml });
  await last.listening();
  await until(() => [...written].every((hash) => taken.has(hash)), 'all have arrived');
  t.ok(written.size > 50, `${written.size} records`);
  t.same(
    inOrder.map(({ seq }) => seq),
    inOrder.map((_, index) => index + 1),
  );
  t.ok(inOrder.every(({ prev }, index) => index === 0 || prev === inOrder[index - 1]!.hash));
});
