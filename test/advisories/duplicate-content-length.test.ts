// CVE-2026-1525 (undici): headers given as a list with `Content-Length` in two spellings were both written, and the upstream could take
// the body's end for the start of a second request, which nobody judged.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { configOf, startForwarder } from '../support/forwarder.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('the upstream is told one length, the body’s own, whatever the client announced', async (t) => {
  const upstream = await startUpstream();
  const forwarder = await startForwarder(configOf(upstream.url));
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  const send = async (head: string, body: string): Promise<string> => {
    const socket = connect(forwarder.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(`POST /mcp HTTP/1.1\r\nhost: mcp.example.com\r\nconnection: close\r\n${head}\r\n\r\n${body}`);
    await once(socket, 'close');
    return answer;
  };
  const smuggled = '{}GET /admin HTTP/1.1\r\n\r\n';
  t.match(await send(`content-length: 2\r\nContent-Length: ${smuggled.length}`, smuggled), /^HTTP\/1\.1 400/);
  t.equal(upstream.requests.length, 0);

  await send('content-length: 2\r\ncontent_length: 40\r\ncontent.length: 1', '{}');
  await send('transfer-encoding: chunked', '1\r\n{\r\n1\r\n}\r\n0\r\n\r\n');
  t.equal(upstream.requests.length, 2);
  for (const request of upstream.requests) {
    t.same(
      request.rawHeaders.filter((name) => /^content.length$/i.test(name)),
      ['content-length'],
    );
    t.same(request.header('content-length'), ['2']);
    t.same(request.header('transfer-encoding'), []);
    t.equal(String(request.body), '{}');
  }
});
