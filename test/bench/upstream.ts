// The upstream of the benchmarks: reads a body, answers with a number of bytes of JSON, which `?answer=` may set.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const { CERT_FILE, KEY_FILE, PORT, ANSWER_BYTES } = process.env;
const frame = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: '' }] } });
const answers = new Map<string, Buffer>();

createServer({ cert: readFileSync(CERT_FILE!), key: readFileSync(KEY_FILE!) }, (request, response) => {
  request.resume().on('end', () => {
    const answer = answerOf(/\?answer=(\d+)$/.exec(request.url!)?.[1] ?? ANSWER_BYTES!);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
    response.end(answer);
  });
}).listen(Number(PORT), '127.0.0.1');

function answerOf(bytes: string): Buffer {
  const known = answers.get(bytes);
  if (known !== undefined) return known;
  const answer = Buffer.from(frame.replace('""', `"${'x'.repeat(Number(bytes) - frame.length)}"`));
  answers.set(bytes, answer);
  return answer;
}
