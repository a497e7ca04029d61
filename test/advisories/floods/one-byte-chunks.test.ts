// A body within `bodyBytes` in chunks of one byte: each chunk became a Buffer of its own, 300 to 500 bytes for one, and a few such requests took all
// memory of the process, before a limit of concurrency could count them and also without a valid credential.
import t from 'tap';
import { withKey } from '../../support/attack.ts';
import { heldBytes } from '../../support/memory.ts';
import {
  chunkBytes,
  constantBytes,
  headOf,
  heldSince,
  inChunks,
  message,
  sendChunks,
  startAtRest,
} from '../../support/one-byte-chunks.ts';
import { talk } from '../../support/raw-http.ts';
import { startScenario } from '../../support/scenario.ts';
import { until } from '../../support/until.ts';

t.test('what the first requests of a process load and compile stays', async (t) => {
  const body = ' '.repeat(15_000) + message;
  const { port } = await startScenario(t);
  t.match((await talk(port, `${headOf(withKey)}${inChunks(body)}0\r\n\r\n`)).text, /^HTTP\/1.1 200 /);
});

t.test('a body that is read whole costs at most twice its bytes and 64 KiB', async (t) => {
  const bytes = 512 * 1024;
  const { open, upstream } = await startAtRest(t);
  const { client, socket } = await open(headOf(withKey));
  const start = socket.bytesRead;
  const before = await heldBytes();
  await sendChunks(client.socket, bytes);
  await until(() => socket.bytesRead === start + bytes * chunkBytes && socket.readableLength === 0);
  const most = 2 * bytes + constantBytes;
  const held = await heldSince(before, most);
  t.ok(held <= most && held >= bytes / 2, `${held} bytes`);
  client.write(`${inChunks(message)}0\r\n\r\n`);
  t.match((await client.answers()).answers, [{ status: 200 }], 'and it is a message as any other');
  t.equal(String(upstream.requests.at(-1)!.body), ' '.repeat(bytes) + message);
});
