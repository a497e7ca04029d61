// Readiness of a target: the gateway says it; of plain Node and the bare proxy, that they accept connections.
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Scene, Script } from './scene.ts';

/** Asks every 5 ms, for 15 s at most. */
export async function untilReady(scene: Pick<Scene, 'adminUrl' | 'portOf'>, script: Script): Promise<void> {
  const isReady = () => (script === 'dist/main.js' ? saysReady(scene.adminUrl) : accepts(scene.portOf(script)));
  for (const started = performance.now(); performance.now() - started < 15_000; ) {
    if (await isReady()) return;
    await pause(5);
  }
  throw new Error(`${script} did not become ready`);
}

function saysReady(adminUrl: string): Promise<boolean> {
  return fetch(`${adminUrl}/readyz`).then(
    (answer) => answer.ok,
    () => false,
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
