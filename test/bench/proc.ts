// Readings of a process from Linux's /proc: CPU time, resident memory.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** CPU time of all threads that live, in microseconds, by the scheduler's own account in nanoseconds. */
export function cpuMicros(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1000;
}

/** CPU time since the start, of threads that have ended too, in ticks of 10 ms. */
export function cpuMsSinceStart(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}

/** Resident set. */
export function residentKilobytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** The resident set behind so many seconds, once it has stayed within one per cent for three seconds, or after half a minute more. */
export async function settledKilobytes(pid: number, seconds = 0): Promise<number> {
  await pause(seconds * 1000);
  let last = residentKilobytes(pid);
  for (let quiet = 0, waited = 0; quiet < 3 && waited < 30; waited++) {
    await pause(1000);
    const current = residentKilobytes(pid);
    quiet = Math.abs(current - last) < last / 100 ? quiet + 1 : 0;
    last = current;
  }
  return last;
}
