// Writer process for tests that kill or starve it: audits as fast as it can. On stdout: `+id` recorded, `-id` refused.
import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { configOf, eventOf, fileSink, openLog } from './support.ts';

const [path = '', round = '', rotateAt = '1000000000'] = process.argv.slice(2);
const log = await openLog(configOf([fileSink(path, { rotateAt: Number(rotateAt) })]), { tickMs: 50 });
let next = 0;

async function work(): Promise<never> {
  while (true) {
    next += 1;
    const id = `${round}-${next}`;
    const recorded = await log.write(eventOf(id, { stage: 'decided' })).then(
      () => true,
      () => false,
    );
    writeSync(1, `${recorded ? '+' : '-'}${id}\n`);
    if (recorded) void log.write(eventOf(id, { stage: 'completed' }), 'completion');
    else await delay(5);
  }
}

await Promise.all(Array.from({ length: 16 }, work));
