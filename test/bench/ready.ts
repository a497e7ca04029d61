// Readiness of a target: the gateway says it; of others, that they accept connections.
import { accepts, until } from './ports.ts';
import type { Scene, Script } from './scene.ts';

export function untilReady(scene: Pick<Scene, 'adminUrl' | 'portOf'>, script: Script): Promise<void> {
  return until(() => (script === 'dist/main.js' ? saysReady(scene.adminUrl) : accepts(scene.portOf(script))), script);
}

function saysReady(adminUrl: string): Promise<boolean> {
  return fetch(`${adminUrl}/readyz`).then(
    (answer) => answer.ok,
    () => false,
  );
}
