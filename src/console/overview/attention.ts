// Matters that need attention, worst first, each with the thing to do.
import type { Expiry } from '../../config/expiries.ts';
import type { Tone } from '../html/parts.ts';
import type { ConsoleProcess } from '../source.ts';
import type { EndingKey, OverviewFacts } from './facts.ts';

/** A matter that needs attention. */
export interface Attention {
  readonly tone: Extract<Tone, 'bad' | 'warn'>;
  readonly title: string;
  /** Lines as the log and `check` have them. */
  readonly lines?: readonly string[];
  /** The thing to do, as a sentence. */
  readonly advice: string;
  /** The page, or the part of this one, that shows more. */
  readonly link?: readonly [path: string, text: string];
  readonly instant?: number;
}

const dayMs = 86_400_000;
/** An end is told of so long before. */
const noticeMs = 30 * dayMs;
const urgentMs = 7 * dayMs;
const lateSeconds = 60;

/** Finds them; none is the good answer. */
export function findAttention(facts: OverviewFacts, processes: readonly ConsoleProcess[], now: number): Attention[] {
  const found = [
    ...ofProcesses(facts, processes),
    ...ofConfiguration(facts),
    ...ofAudit(facts),
    ...ofDependencies(facts),
    ...ofEnds(facts, now),
  ];
  return [...found.filter(({ tone }) => tone === 'bad'), ...found.filter(({ tone }) => tone === 'warn')];
}

function* ofProcesses({ notReady }: OverviewFacts, processes: readonly ConsoleProcess[]): Generator<Attention> {
  for (const { problem = 'does not answer', source, worker } of processes) {
    if (source !== undefined) continue;
    yield {
      tone: 'bad',
      title: `Worker ${worker} is not up: ${problem}`,
      advice: 'The supervisor starts another in its place. The log of the gateway says why it ended.',
    };
  }
  for (const reason of notReady) {
    yield {
      tone: 'bad',
      title: `Not ready: ${reason}`,
      advice: 'Load balancers that ask /readyz send no requests here until this is over.',
      link: ['#health', 'Health'],
    };
  }
}

function* ofConfiguration({ refusedReload, revocation, shadow, warnings }: OverviewFacts): Generator<Attention> {
  if (refusedReload !== undefined) {
    yield {
      tone: 'bad',
      title: 'The last reload was refused. The configuration before it stays in force',
      instant: refusedReload.time,
      lines: refusedReload.problem.split('\n'),
      advice: 'Mend these places and save the file, or send SIGHUP. `portcullis check` shows the same before a reload.',
    };
  }
  if (revocation?.problem !== undefined) {
    yield {
      tone: 'bad',
      title: 'The revocation file cannot be used. The list before it stays in force',
      lines: [revocation.problem],
      advice: 'Mend the file. It is looked at every second.',
      link: ['/credentials', 'Credentials'],
    };
  }
  if (shadow?.problem !== undefined) {
    yield {
      tone: 'warn',
      title: 'The shadow was not reloaded. The one before it is compared',
      lines: shadow.problem.split('\n'),
      advice: 'Mend its file.',
    };
  }
  if (shadow !== undefined && shadow.differences > 0) {
    yield {
      tone: 'warn',
      title: `The shadow decides otherwise on ${counted(shadow.differences, 'request')} since the start`,
      advice: 'Look at them before you roll the shadow out.',
      link: ['/decisions', 'Decisions'],
    };
  }
  if (warnings.length > 0) {
    yield {
      tone: 'warn',
      title: `\`check\` warns of ${counted(warnings.length, 'place')} in the configuration`,
      lines: warnings,
      advice: 'Change them, or know why not.',
    };
  }
}

function* ofAudit({ audit }: OverviewFacts): Generator<Attention> {
  const { deliveries, healthy, lost, truncation } = audit;
  if (truncation !== undefined) {
    yield {
      tone: 'bad',
      title: `Audit: ${truncation}`,
      advice: 'Somebody or something has shortened the file. Run `portcullis audit verify`, and keep a copy of it.',
    };
  }
  if (!healthy) {
    yield {
      tone: 'bad',
      title: 'A required audit sink does not take records, so that requests are refused',
      advice: 'Make room on its disk, or mend its receiver. It is tried again by itself.',
      link: ['#health', 'Health'],
    };
  }
  for (const { bytes, lagSeconds, problem, required, sink } of deliveries) {
    if (problem === undefined && lagSeconds < lateSeconds) continue;
    yield {
      tone: required ? 'bad' : 'warn',
      title: `Audit sink ${sink} is ${Math.round(lagSeconds)} s behind, ${counted(bytes, 'byte')} wait`,
      ...(problem !== undefined && { lines: [problem] }),
      advice: 'Mend its receiver. What waits is delivered afterwards, as long as the spool has room.',
    };
  }
  if (lost > 0) {
    yield {
      tone: 'bad',
      title: `${counted(lost, 'audit record')} will not be delivered`,
      advice: 'The log of the gateway names them. The file sink, where there is one, has them.',
    };
  }
}

function* ofDependencies({ definitions, issuers, state, upstreams }: OverviewFacts): Generator<Attention> {
  for (const { failures, issuer, isReady } of issuers) {
    if (isReady) continue;
    yield {
      tone: 'bad',
      title: `The issuer ${issuer} has given no keys that are recent enough`,
      advice: `Its tokens are refused. ${counted(failures, 'fetch', 'fetches')} failed since the start: see whether its address answers from here.`,
      link: ['/credentials', 'Credentials'],
    };
  }
  for (const { name, probe } of upstreams) {
    if (probe !== false) continue;
    yield {
      tone: 'bad',
      title: `The upstream ${name} does not refuse requests without a credential, or its probe had no answer`,
      advice: 'Switch its authentication on, so that nobody passes by the gateway.',
    };
  }
  if (state !== undefined && !state.available) {
    yield {
      tone: 'bad',
      title: `The shared state is unavailable${state.problem === undefined ? '' : `: ${state.problem}`}`,
      advice: state.onFailure === 'refuse' ? 'What needs it is refused.' : 'Each process counts for itself meanwhile.',
    };
  }
  for (const { changed, onChange, problem, route } of definitions) {
    if (changed.length > 0) {
      yield {
        tone: 'bad',
        title: `Definitions of ${route} are not as they were recorded (${onChange}): ${listed(changed)}`,
        advice:
          'Read the difference with `portcullis catalog --check`. Where it is meant, record them anew with `portcullis catalog --out`.',
        link: ['/policy', 'Policy'],
      };
    }
    if (problem === undefined) continue;
    yield {
      tone: 'warn',
      title: `The definitions of ${route} could not be asked for`,
      lines: [problem],
      advice: 'They are asked for again every 15 seconds.',
    };
  }
}

function* ofEnds({ apiKeys, expiries }: OverviewFacts, now: number): Generator<Attention> {
  const link = ['/credentials', 'Credentials'] as const;
  const near = (ends: readonly Expiry[]) =>
    ends
      .map(({ expiresAtSeconds, name }) => ({ name, instant: expiresAtSeconds * 1000 }))
      .filter(({ instant }) => instant - now < noticeMs);
  for (const { instant, name } of near(expiries.certificates)) {
    const title = instant <= now ? `The certificate ${name} has expired` : `The certificate ${name} expires`;
    yield {
      tone: toneOf(instant, now),
      title,
      instant,
      link,
      advice: 'Renew it. A new file is taken without a restart.',
    };
  }
  for (const { instant, name } of near(expiries.revocationLists)) {
    if (instant - now > dayMs) continue;
    const title = instant <= now ? `The revocation list ${name} is overdue` : `The revocation list ${name} is due`;
    yield { tone: toneOf(instant, now), title, instant, link, advice: 'Fetch a new one from its authority.' };
  }
  yield* apiKeys.filter(({ end }) => end > now && end - now < noticeMs).map((key) => ofKey(key, now));
}

function ofKey({ clientId, end, endsWithSunset, id, requests }: EndingKey, now: number): Attention {
  const use = requests > 0 ? `used for ${counted(requests, 'request')} since the start` : 'not used since the start';
  return {
    tone: requests > 0 ? toneOf(end, now) : 'warn',
    title: `The API key ${id} of ${clientId} ends${endsWithSunset ? ' with the sunset of its kind' : ''}, and was ${use}`,
    instant: end,
    advice: endsWithSunset ? 'Move the client to OAuth before then.' : 'Rotate it with `portcullis keys rotate`.',
    link: ['/credentials', 'Credentials'],
  };
}

function toneOf(instant: number, now: number): 'bad' | 'warn' {
  return instant - now < urgentMs ? 'bad' : 'warn';
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-GB')} ${count === 1 ? one : many}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
