// Age of upstream connections: an upstream whose name moves to another address is followed, and what is open there goes on.
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

const name = 'upstream.test';
let address = '127.0.0.1';
let lookups = 0;
const streams: ServerResponse[] = [];

/** Answers with its own address; a path that ends in `stream` with an event stream that stays open. */
async function serve(host: string, port = 0): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    response.setHeader('x-address', host);
    if (!request.url!.endsWith('stream')) return void response.end('{}');
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${host}\n\n`);
    streams.push(response);
  });
  server.listen(port, host);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

/** The system's resolver, which the gateway's connections ask, as if its hosts file changed. */
function resolveHere(): void {
  const { lookup } = dns;
  const resolve = (host: string, options: dns.LookupOptions, done: (...answer: unknown[]) => void): void => {
    if (host !== name) return void lookup(host, options, done as never);
    lookups += 1;
    if (options.all) done(null, [{ address, family: 4 }]);
    else done(null, address, 4);
  };
  dns.lookup = resolve as typeof lookup;
  t.teardown(() => {
    dns.lookup = lookup;
  });
}

t.test(
  'an upstream whose name moves to other addresses under steady traffic is followed, and live streams are not cut',
  async (t) => {
    const { port } = (await serve('127.0.0.1')).address() as AddressInfo;
    await serve('127.0.0.2', port);
    resolveHere();
    let clock = Date.now();
    const url = `http://${name}:${port}`;
    const { anybody, hold, recordOf } = await startScenario(
      t,
      { upstreams: { superset: { insecure: true } } },
      { now: () => clock, upstream: { url } },
    );
    const answeredBy = async () => (await anybody.send({ path: '/open/x' })).headers['x-address'];

    const stream = await hold({ path: '/open/stream' });
    await stream.saw('data: 127.0.0.1');
    for (let asked = 0; asked < 3; asked += 1) t.equal(await answeredBy(), '127.0.0.1');
    t.equal(lookups, 2, 'one for the stream, one for the requests, whose connection is kept');
    address = '127.0.0.2';
    clock += 299_999;
    t.equal(await answeredBy(), '127.0.0.1', 'younger than 5m');
    clock += 1;
    for (let asked = 0; asked < 3; asked += 1) t.equal(await answeredBy(), '127.0.0.2');
    t.equal(lookups, 3, 'one more for the new connection');

    clock += 3_600_000;
    streams[0]!.end('data: last\n\n');
    await stream.saw('data: last');
    t.equal(await stream.ended(), 'clean');
    t.match(await recordOf(stream), { outcome: 'completed', status: 200 });
    address = '127.0.0.1';
    t.equal(await answeredBy(), '127.0.0.1', 'and back again');
  },
);
