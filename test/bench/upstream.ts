// The upstream of the benchmarks: reads a body, answers with a fixed number of bytes of JSON.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const { CERT_FILE, KEY_FILE, PORT, ANSWER_BYTES } = process.env;
const frame = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: '' }] } });
const answer = frame.replace('""', `"${'x'.repeat(Number(ANSWER_BYTES) - frame.length)}"`);

createServer({ cert: readFileSync(CERT_FILE!), key: readFileSync(KEY_FILE!) }, (request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(answer.length) });
    response.end(answer);
  });
}).listen(Number(PORT), '127.0.0.1');
