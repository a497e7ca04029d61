// WebSockets between a client and a server in Python (websockets): the server behind the gateway, and a run of websocket_client.py in front.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { runChild } from './child.ts';
import type { Scene } from './scene.ts';

export interface PythonEcho {
  readonly url: string;
  close(): void;
}

/** Starts websocket_echo.py, which tells its port on the first line. */
export async function startPythonEcho(python: string): Promise<PythonEcho> {
  const child = spawn(python, [join(import.meta.dirname, 'python/websocket_echo.py')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const port of createInterface(child.stdout)) {
    return { url: `http://127.0.0.1:${port}`, close: () => void child.kill() };
  }
  throw new Error('the echo server in Python did not start');
}

/** Throws an Error with what was not as it should be. */
export async function driveWebSockets(python: string, scene: Scene, caFile: string): Promise<void> {
  const { origin, revocationFile } = scene;
  const tokens = {
    read: await scene.token('/ws', 'dashboards:read'),
    execute: await scene.token('/ws', 'queries:execute'),
    revoked: await scene.token('/ws', 'dashboards:read'),
    brief: await scene.token('/ws', 'dashboards:read', 'brief'),
  };
  const input = JSON.stringify({ url: `${origin.replace('https', 'wss')}/ws/echo`, caFile, revocationFile, tokens });
  const { code, output } = await runChild(python, [join(import.meta.dirname, 'python/websocket_client.py')], { input });
  console.log(output.trimEnd());
  if (code !== 0) throw new Error('the WebSockets in Python did not get through');
}
