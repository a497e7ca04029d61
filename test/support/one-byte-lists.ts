// A list of the upstream that is filtered, in chunks of one byte, and what the process holds of it.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import t from 'tap';
import { heldBytes } from './memory.ts';
import { constantBytes, heldSince, sendChunks, startAtRest } from './one-byte-chunks.ts';
import { until } from './until.ts';

/** Tests the list in this media type; a short one before it loads and compiles what it needs. */
export function testList(type: 'application/json' | 'text/event-stream'): void {
  for (const lines of [1024, 84 * 1024]) {
    const isMeasured = lines > 1024;
    t.test(
      `a list of ${lines} lines that is filtered costs at most twice its bytes and 64 KiB (${type})`,
      async (t) => {
        const isJson = type === 'application/json';
        const line = isJson ? ' '.repeat(6) : 'data:\n';
        const bytes = lines * line.length;
        const sockets: Socket[] = [];
        const connected = ({ socket }: { readonly socket: Socket }): void => void sockets.push(socket);
        subscribe('undici:client:connected', connected as never);
        t.teardown(() => unsubscribe('undici:client:connected', connected as never));
        const answering = Promise.withResolvers<ServerResponse>();
        const { agent, hold } = await startAtRest(
          t,
          {},
          {
            reply(request, response) {
              if (!String(request.body).includes('tools/list')) return void response.end('{}');
              response.writeHead(200, { 'content-type': type }).flushHeaders();
              answering.resolve(response);
            },
          },
        );
        const asking = hold({ headers: agent.headers, message: { jsonrpc: '2.0', id: 1, method: 'tools/list' } });
        const { socket: upstreamSocket } = await answering.promise;
        const socket = upstreamSocket!;
        const taken = () =>
          sockets.find(({ localPort }) => localPort === socket.remotePort)?.bytesRead === socket.bytesWritten;
        await until(taken);
        const before = await heldBytes();
        await sendChunks(socket, bytes, line);
        await until(taken);
        const most = 2 * bytes + constantBytes;
        const held = await heldSince(before, most);
        if (isMeasured) t.ok(held <= most && held >= bytes / 2, `${held} bytes`);
        const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'list_dashboards' }] } });
        const last = isJson ? list : `data: ${list}\n\n`;
        socket.write(`${last.length.toString(16)}\r\n${last}\r\n0\r\n\r\n`);
        const answer = await asking;
        t.equal(await answer.ended(), 'clean');
        t.equal(answer.text().replaceAll(': keep-alive\n\n', ''), line.repeat(lines) + last);
      },
    );
  }
}
