// Part `console`: CPU time of a call at 1,000 a second with five open consoles and without any, in turns of one process.
import { get, type IncomingMessage } from 'node:http';
import { type Load, openLoad } from '../load.ts';
import { cpuMicros } from '../proc.ts';
import { untilReady } from '../ready.ts';
import { median, type Report, spread } from '../report.ts';
import { callOf } from '../requests.ts';
import { collectOnSignal, prepareScene, type Scene } from '../scene.ts';
import type { Settings } from '../settings.ts';

const perSecond = 1000;
const consoles = 5;
/** As the overview of each console does while it is seen. */
const refreshMs = 10_000;
const script = 'dist/main.js';

interface Turn {
  readonly without: number;
  readonly withConsoles: number;
  readonly bytes: number;
}

export async function measureConsole(settings: Settings): Promise<Report> {
  const turns: Turn[] = [];
  for (let run = 0; run < settings.runs; run++) {
    settings.progress(`console: run ${run + 1} of ${settings.runs}`);
    turns.push(...(await measureFreshProcess(settings)));
  }
  const ratios = turns.map(({ without, withConsoles }) => withConsoles / without);
  return {
    part: 'console',
    told: `Node ${process.versions.node}, ${settings.runs} runs with a fresh process, ${turns.length} turns of ${settings.seconds} s without and with consoles, ${perSecond} calls a second at intended times, TLS on both sides, ${settings.pinning.described}; medians and quartiles. Each console has the live page of decisions open and reads the overview every ${refreshMs / 1000} s`,
    header: ['calls', 'CPU µs/request', 'ratio, turn by turn'],
    rows: [
      [
        'no console',
        spread(
          turns.map(({ without }) => without),
          0,
        ),
        '1.00',
      ],
      [
        `${consoles} consoles`,
        spread(
          turns.map(({ withConsoles }) => withConsoles),
          0,
        ),
        spread(ratios, 3),
      ],
    ],
    checks: [{ of: `a call with ${consoles} open consoles to one without`, measured: median(ratios), atMost: 1.03 }],
    samples: turns,
  };
}

async function measureFreshProcess(settings: Settings): Promise<Turn[]> {
  const scene = await prepareScene(settings.pinning);
  try {
    const child = scene.start(script, { nodeOptions: collectOnSignal });
    await untilReady(scene, script);
    const load = await openLoad({
      port: scene.portOf(script),
      ca: scene.caPem,
      token: scene.token,
      body: callOf(),
      connections: 16,
    });
    await load.closedLoop((sent) => sent >= settings.warmup);
    // The modules of the console are loaded and compiled, too.
    await (await openConsoles(scene)).close(2000);
    const turns: Turn[] = [];
    for (let round = 0; round < settings.rounds; round++) {
      const without = await costOf(child.pid!, load, settings.seconds);
      const open = await openConsoles(scene);
      const withConsoles = await costOf(child.pid!, load, settings.seconds);
      turns.push({ without, withConsoles, bytes: await open.close(0) });
    }
    load.close();
    return turns;
  } finally {
    await scene.close();
  }
}

/** Microseconds of CPU for each request, at the fixed rate for so long. */
async function costOf(pid: number, load: Load, seconds: number): Promise<number> {
  const [before, started] = [cpuMicros(pid), performance.now()];
  const latencies = await load.openLoop(perSecond, () => performance.now() - started >= seconds * 1000);
  return (cpuMicros(pid) - before) / latencies.length;
}

/** Opens them; `close` waits, then yields the bytes that they have read. Throws where one of them was not told of any request. */
async function openConsoles({ adminUrl }: Scene) {
  let bytes = 0;
  const streams = await Promise.all(
    Array.from(
      { length: consoles },
      () =>
        new Promise<IncomingMessage>((resolve, reject) => {
          get(`${adminUrl}/decisions/events`, { agent: false }, (response) => {
            response.on('data', (piece: Buffer) => {
              bytes += piece.length;
            });
            if (response.statusCode === 200) resolve(response);
            else reject(new Error(`the console answers ${response.statusCode}`));
          }).on('error', reject);
        }),
    ),
  );
  // One after the other: they were not opened at the same instant.
  const read = async () => void (await (await fetch(adminUrl)).text());
  const refreshing = setInterval(read, refreshMs / consoles);
  return {
    async close(afterMs: number): Promise<number> {
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      clearInterval(refreshing);
      for (const stream of streams) stream.destroy();
      if (bytes === 0) throw new Error('no console was told of a request');
      return bytes;
    },
  };
}
