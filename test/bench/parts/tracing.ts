// Part `tracing`: the call of `calls` through gateways that trace nothing, a share of the calls, and all of them, to a collector that takes everything.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Contest, same } from '../contest.ts';
import { freePorts } from '../ports.ts';
import { callOf } from '../requests.ts';
import { configurationOf, variantOf } from '../variant.ts';

const without = 'portcullis, without tracing';
const none = 'portcullis, tracing, no trace kept';
const tenth = 'portcullis, tracing, a tenth kept';
const all = 'portcullis, tracing, every trace kept';
const body = callOf();

export const tracing: Contest = {
  async entries(scene) {
    const endpoint = await startCollector();
    const ratios = [
      [without, undefined],
      [none, 0],
      [tenth, 0.1],
      [all, 1],
    ] as const;
    const ports = await freePorts(ratios.length * 2);
    const live = configurationOf(scene);
    return ratios.map(([name, sampleRatio], index) => {
      const traced = sampleRatio === undefined ? live : { ...live, tracing: { otlp: { endpoint }, sampleRatio } };
      const script = variantOf(scene, `tracing-${index}`, traced, ports.slice(index * 2, index * 2 + 2));
      return same(scene, { name, script, base: without }, { body });
    });
  },
  bounds: [
    { of: none, to: without, atMost: 1.2 },
    { of: tenth, to: without, atMost: 1.5 },
    { of: all, to: without, atMost: 2.5 },
  ],
};

/** Ends with the process of the run. */
async function startCollector(): Promise<string> {
  const server = createServer((request, response) => request.resume().on('end', () => response.end('{}'))).unref();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
