// The floor: node:https and undici move the same bytes with nothing in between.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Pool } from 'undici';

const { CERT_FILE, KEY_FILE, CA_FILE, PORT, UPSTREAM } = process.env;
const pool = new Pool(UPSTREAM!, { connect: { ca: readFileSync(CA_FILE!) } });

createServer({ cert: readFileSync(CERT_FILE!), key: readFileSync(KEY_FILE!) }, async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { host: _host, connection: _connection, ...headers } = request.headers;
  const answer = await pool.request({ method: 'POST', path: request.url!, headers, body: Buffer.concat(chunks) });
  response.writeHead(answer.statusCode, answer.headers as Record<string, string>);
  answer.body.pipe(response);
}).listen(Number(PORT), '127.0.0.1');
