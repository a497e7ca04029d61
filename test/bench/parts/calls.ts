// Parts `calls` and `paths`: a request of 1 KiB each way through an MCP route and through a path route, beside the bare proxy and plain Node.
import { type Contest, type Entry, same } from '../contest.ts';
import { callOf } from '../requests.ts';
import type { Scene } from '../scene.ts';

const body = callOf();

/** Moves the same bytes with nothing in between. */
export const plain = 'plain node:https + undici';
export const bare = 'bare @fastify/http-proxy';

/** The two that every request is compared with. */
export function yardsticks(scene: Scene): Entry[] {
  return [
    same(scene, { name: plain, script: 'test/bench/plain.ts', base: bare }, { body }),
    same(scene, { name: bare, script: 'test/bench/bare.ts', base: bare }, { body }),
  ];
}

export const call = { name: 'portcullis, MCP route', script: 'dist/main.js', base: bare } as const;
const path = { name: 'portcullis, path route', script: 'dist/main.js', base: bare } as const;

export const calls: Contest = {
  entries: (scene) => [...yardsticks(scene), same(scene, call, { body })],
  bounds: [
    { of: call.name, to: bare, atMost: 0.75 },
    { of: call.name, to: plain, atMost: 1.4 },
  ],
};

export const paths: Contest = {
  entries: (scene) => [...yardsticks(scene), same(scene, path, { body, path: '/exports/weekly' })],
  bounds: [{ of: path.name, to: bare, atMost: 1.25 }],
};
