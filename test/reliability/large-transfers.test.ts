// 1 GiB through a path route, each way: resident memory stays where it was, at the pace of the receiver, and a client that leaves ends it.
import { strict as assert } from 'node:assert';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readJsonLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';
import { createRig, type Rig } from './rig.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const maxGrowthBytes = 32 * MiB;
const block = Buffer.alloc(64 * 1024, 'x');

interface Transfer {
  readonly bytes: number;
  readonly chunked: boolean;
  /** Of the receiver, after each MiB. */
  readonly pauseMs?: number;
}

/** Upstream of the transfers: takes what is posted, and gives what is asked for. */
function startFiles() {
  const begun: { readonly request: IncomingMessage; readonly response: ServerResponse; received: number }[] = [];
  return {
    begun,
    answer(request: IncomingMessage, response: ServerResponse): void {
      const one = { request, response, received: 0 };
      begun.push(one);
      const asked = new URL(request.url!, 'http://files').searchParams;
      const bytes = Number(asked.get('bytes'));
      const carried =
        request.method === 'GET'
          ? give(bytes, asked.get('chunked') === 'true', response)
          : take(request, Number(asked.get('pauseMs')), (length) => {
              one.received += length;
            }).then((received) => response.end(String(received)));
      // A client that leaves breaks it off.
      carried.catch(() => {});
    },
  };
}

function give(bytes: number, chunked: boolean, response: ServerResponse | ClientRequest): Promise<void> {
  if (!chunked) response.setHeader('content-length', bytes);
  return pipeline(contentOf(bytes), response);
}

/** Made while it is read. */
function contentOf(bytes: number): Readable {
  function* blocks() {
    for (let left = bytes; left > 0; left -= block.length) yield block;
  }
  return Readable.from(blocks(), { objectMode: false });
}

async function take(source: AsyncIterable<Buffer>, pauseMs = 0, onBytes = (_length: number): void => {}) {
  let received = 0;
  let next = MiB;
  for await (const { length } of source) {
    received += length;
    onBytes(length);
    if (pauseMs === 0 || received < next) continue;
    next += MiB;
    await delay(pauseMs);
  }
  return received;
}

function send({ publicUrl, authorization, caPem }: Rig, method: string, query: object): ClientRequest {
  const url = new URL(`/files/one?${new URLSearchParams({ ...query })}`, publicUrl);
  const options = { method, agent: false, headers: { authorization }, ...(caPem !== undefined && { ca: caPem }) };
  const request = caPem === undefined ? requestHttp(url, options) : requestHttps(url, options);
  return request.on('error', () => {});
}

async function upload(rig: Rig, { bytes, chunked, pauseMs = 0 }: Transfer): Promise<number> {
  const request = send(rig, 'POST', { pauseMs });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  await give(bytes, chunked, request);
  const [response] = await answered;
  assert.equal(response.statusCode, 200);
  return Number((await response.setEncoding('utf8').toArray()).join(''));
}

async function download(rig: Rig, { bytes, chunked, pauseMs = 0 }: Transfer): Promise<number> {
  const request = send(rig, 'GET', { bytes, chunked }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  return take(response, pauseMs);
}

/** VmRSS. */
function residentBytes({ pid }: ChildProcess): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

async function peakWhile(gateway: ChildProcess, transfer: () => Promise<number>, bytes: number): Promise<number> {
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentBytes(gateway));
  }, 50);
  try {
    assert.equal(await transfer(), bytes);
  } finally {
    clearInterval(sampling);
  }
  return Math.max(peak, residentBytes(gateway));
}

async function withFiles(tls: boolean, run: (rig: Rig, files: ReturnType<typeof startFiles>) => Promise<void>) {
  const files = startFiles();
  const rig = await createRig({
    answer: files.answer,
    tls,
    changes: {
      upstreams: { superset: { limits: { responseBytes: '2GiB' } } },
      routes: { '/files/*': { authenticate: 'keys', bodyBytes: '1GiB' } },
    },
  });
  try {
    await run(rig, files);
  } finally {
    await rig.close();
  }
}

for (const tls of [false, true]) {
  test(
    `1 GiB passes each way over ${tls ? 'TLS' : 'plain HTTP'} without staying in memory`,
    { timeout: 600_000 },
    (t) =>
      withFiles(tls, async (rig) => {
        const gateway = await rig.start();
        for (const chunked of [false, true]) {
          await upload(rig, { bytes: 64 * MiB, chunked });
          await download(rig, { bytes: 64 * MiB, chunked });
        }
        const before = residentBytes(gateway);
        for (const [name, carry] of Object.entries({ upload, download })) {
          for (const transfer of [
            { bytes: GiB, chunked: false },
            { bytes: GiB, chunked: true },
            { bytes: 128 * MiB, chunked: false, pauseMs: 20 },
          ]) {
            const grown = (await peakWhile(gateway, () => carry(rig, transfer), transfer.bytes)) - before;
            const told = `${name} ${JSON.stringify(transfer)}: ${(grown / MiB).toFixed(1)} MiB more`;
            t.diagnostic(told);
            assert.ok(grown < maxGrowthBytes, told);
          }
        }
      }),
  );
}

const rounds = 3;

test('a client that leaves in the middle ends the request of the upstream within a second', { timeout: 180_000 }, () =>
  withFiles(false, async (rig, files) => {
    await rig.start();
    const tookMs: { upload: number[]; download: number[] } = { upload: [], download: [] };
    for (let round = 0; round < rounds; round += 1) {
      const uploading = send(rig, 'POST', {});
      give(GiB, true, uploading).catch(() => {});
      await until(() => (files.begun[2 * round]?.received ?? 0) > 16 * MiB);
      tookMs.upload.push(await leave(uploading, files.begun[2 * round]!.request));

      const downloading = send(rig, 'GET', { bytes: GiB, chunked: false }).end();
      const [response] = (await once(downloading, 'response')) as [IncomingMessage];
      let received = 0;
      response.on('data', ({ length }: Buffer) => {
        received += length;
      });
      response.on('error', () => {});
      await until(() => received > 16 * MiB);
      tookMs.download.push(await leave(downloading, files.begun[2 * round + 1]!.response));
    }
    // The fastest of each: others may have met a moment in which the machine was busy.
    for (const times of Object.values(tookMs)) {
      assert.ok(Math.min(...times) < 1000, JSON.stringify(tookMs));
      assert.ok(Math.max(...times) < 10_000, JSON.stringify(tookMs));
    }

    const [file] = await rig.auditFiles();
    const records = async () =>
      (await readJsonLines<{ id: string; stage: string; outcome?: string; bytes?: number }>(file!)).filter(({ id }) =>
        rig.seen.includes(id),
      );
    await until(async () => (await records()).length === 4 * rounds, 'each request has both records');
    const completed = (await records()).filter(({ stage }) => stage === 'completed');
    assert.deepEqual(
      completed.map(({ id, outcome }) => [id, outcome]),
      rig.seen.map((id) => [id, 'aborted']),
    );
    for (const { bytes = 0 } of completed.filter((_, index) => index % 2 === 1))
      assert.ok(bytes > 16 * MiB && bytes < GiB, `${bytes}`);
    const metrics = await (await fetch(`${rig.adminUrl}/metrics`)).text();
    const counted = [
      ...metrics.matchAll(/^portcullis_requests_total\{route="\/files\/\*",outcome="aborted".*\} (\d+)$/gm),
    ];
    assert.equal(
      counted.reduce((sum, [, count]) => sum + Number(count), 0),
      2 * rounds,
    );
  }),
);

/** Resolves with the time after which the request of the upstream has ended. */
async function leave(client: ClientRequest, atUpstream: IncomingMessage | ServerResponse): Promise<number> {
  const ended = new Promise((resolve) => atUpstream.on('error', () => {}).once('close', resolve));
  const left = performance.now();
  client.destroy();
  await ended;
  return performance.now() - left;
}
