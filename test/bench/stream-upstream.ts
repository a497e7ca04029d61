// The upstream of the stream benchmark: a GET is a stream that says hello and no more, or with `?flood` writes as fast as it is read; a POST is answered.
import { readFileSync } from 'node:fs';
import { createServer as createPlainServer, type RequestListener } from 'node:http';
import { createServer } from 'node:https';

const { CERT_FILE, KEY_FILE, PORT, TLS } = process.env;
const answer = '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}';
const block = Buffer.from(`data: ${'x'.repeat(65_528)}\n\n`);

const serve: RequestListener = (request, response) => {
  request.resume();
  if (request.method === 'POST') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
    response.end(answer);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: hello\n\n');
  if (!request.url?.endsWith('?flood')) return;
  const flood = (): void => {
    while (!response.destroyed && response.write(block));
  };
  response.on('drain', flood);
  flood();
};

const server =
  TLS === 'yes'
    ? createServer({ cert: readFileSync(CERT_FILE!), key: readFileSync(KEY_FILE!) }, serve)
    : createPlainServer(serve);
server.listen(Number(PORT), '127.0.0.1');
