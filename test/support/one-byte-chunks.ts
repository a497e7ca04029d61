// Requests in chunks of one byte, and what the process holds of them. Each measure has a process of its own: a scenario before it would leave more than is measured.
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import type { Test } from 'tap';
import { host, request } from './attack.ts';
import { toolCall } from './client.ts';
import type { Changes } from './configuration.ts';
import { heldBytes } from './memory.ts';
import { type RawConnection, rawConnection } from './raw-http.ts';
import { type Surroundings, startScenario } from './scenario.ts';
import { until } from './until.ts';

/** Bytes that a request may cost beside twice those of its body. */
export const constantBytes = 64 * 1024;
export const chunkBytes = '1\r\n \r\n'.length;
export const message = JSON.stringify(toolCall('list_dashboards'));
export const inChunks = (text: string): string => text.replace(/./gs, '1\r\n$&\r\n');

/** A scenario whose process is at rest, and connections to it by hand. */
export async function startAtRest(t: Test, changes: Changes = {}, surroundings: Surroundings = {}) {
  await untilMemoryRests();
  const scenario = await startScenario(t, changes, surroundings);
  const accepted: Socket[] = [];
  (scenario.gateway.app.server as Server).on('connection', (socket) => accepted.push(socket));
  const connections: RawConnection[] = [];
  t.teardown(() => {
    for (const each of connections) each.end();
  });
  /** Sends the head, and resolves when the gateway has read it. `socket` is the gateway's end. */
  async function open(head: string) {
    const client = await rawConnection(scenario.port);
    connections.push(client);
    const ofClient = ({ remotePort }: Socket) => remotePort === client.socket.localPort;
    await until(() => accepted.some(ofClient));
    const socket = accepted.find(ofClient)!;
    client.write(head);
    await until(() => socket.bytesRead === head.length);
    return { client, socket };
  }
  return { ...scenario, open };
}

/** Timers hold parts of the scenario before for up to a second. */
async function untilMemoryRests(): Promise<void> {
  let last = 0;
  let looks = 0;
  await until(
    async () => {
      const held = await heldBytes();
      looks = Math.abs(held - last) < 16_384 ? looks + 1 : 0;
      last = held;
      return looks === 6;
    },
    'the memory of the process comes to rest',
    60_000,
  );
}

/** Bytes that are held beside those of `before`: what is only about to be let go is waited for while they are more than `most`. */
export async function heldSince(before: number, most: number): Promise<number> {
  let held = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 20 && held > most; look += 1) held = (await heldBytes()) - before;
  return held;
}

export const headOf = (credential: string, framing = 'Transfer-Encoding: chunked', path = '/mcp') =>
  request(`POST ${path}`, [host, credential, 'Content-Type: application/json', framing]);

/** Sends a text again and again in chunks of one byte, all of one Buffer, until `bytes` are sent. */
export async function sendChunks(socket: Socket, bytes: number, text = ' '): Promise<void> {
  const times = 1024;
  const some = Buffer.from(inChunks(text).repeat(times));
  for (let sent = 0; sent < bytes; sent += text.length * times) if (!socket.write(some)) await once(socket, 'drain');
}
