// Part `bodies`: requests and answers of 1 KiB, 64 KiB and 1 MiB through an MCP route, beside the bare proxy and plain Node.
import { type Bound, type Contest, same } from '../contest.ts';
import { callOf } from '../requests.ts';
import { defaultAnswerBytes, type Scene } from '../scene.ts';

const KiB = 1024;
const sizes = [
  { name: '1 KiB each way', requestBytes: KiB, answerBytes: defaultAnswerBytes, weight: 1 },
  { name: 'a request of 64 KiB', requestBytes: 64 * KiB, answerBytes: defaultAnswerBytes, weight: 5, atMost: 1.5 },
  { name: 'a request of 1 MiB', requestBytes: KiB * KiB, answerBytes: defaultAnswerBytes, weight: 60, atMost: 1.5 },
  { name: 'an answer of 64 KiB', requestBytes: KiB, answerBytes: 64 * KiB, weight: 5, atMost: 1.2 },
  { name: 'an answer of 1 MiB', requestBytes: KiB, answerBytes: KiB * KiB, weight: 60, atMost: 1.2 },
];
/** Bodies that one caller may have in memory are bounded, so that few of the large ones are sent at once. */
const connections = 4;

const scripts = [
  ['plain', 'test/bench/plain.ts'],
  ['bare', 'test/bench/bare.ts'],
  ['portcullis', 'dist/main.js'],
] as const;

export const bodies: Contest = {
  entries: (scene: Scene) =>
    sizes.flatMap(({ name, requestBytes, answerBytes, weight }) =>
      scripts.map(([target, script]) => {
        const entry = { name: `${target}, ${name}`, script, base: `bare, ${name}`, answerBytes, weight, connections };
        return same(scene, entry, { body: callOf(requestBytes), path: `/mcp?answer=${answerBytes}` });
      }),
    ),
  bounds: sizes.flatMap(({ name, atMost }): Bound[] =>
    atMost === undefined ? [] : [{ of: `portcullis, ${name}`, to: `bare, ${name}`, atMost }],
  ),
};
