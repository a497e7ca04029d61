// Process that takes audit records over HTTP in one format and acknowledges what it has written to a file; test/scale/sinks.ts kills it.
//   node http-receiver.ts FORMAT PORT FILE
import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { decodeLogs } from '../audit/sinks/otlp/decode.ts';

const parseLines = (body: string): unknown[] =>
  body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The lines of the records in a body, which each format holds whole. */
const readers = {
  'json-lines': (body: string) => body.trim().split('\n'),
  hec: (body: string) =>
    body
      .trim()
      .split('\n')
      .map((event) => /"event":(.*),"fields":\{[^}]*\}\}$/.exec(event)![1]!),
  ecs: (body: string) =>
    parseLines(body).map((document) => (document as { event: { original: string } }).event.original),
  ocsf: (body: string) => parseLines(body).map((event) => (event as { raw_data: string }).raw_data),
  otlp: (body: string) => decodeLogs(body).map((log) => log.body),
} satisfies Record<string, (body: string) => string[]>;

/** The formats of HTTP receivers. */
export type HttpFormat = keyof typeof readers;

const [format = '', port = '0', path = ''] = process.argv.slice(2);
const read = readers[format as HttpFormat];
const file = openSync(path, 'a');

createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (piece: string) => {
    body += piece;
  });
  request.on('end', () => {
    try {
      writeSync(
        file,
        read(body)
          .map((line) => `${line}\n`)
          .join(''),
      );
      response
        .setHeader('content-type', 'application/json')
        .end(format === 'hec' ? '{"text":"Success","code":0}' : '{}');
    } catch (error) {
      console.error(error);
      response.writeHead(400).end();
    }
  });
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
