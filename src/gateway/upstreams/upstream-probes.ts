// Probes of upstreams that have to refuse requests without a credential. The gateway is not ready until they do.
import type { Log } from '../../log.ts';
import { askWithoutCredential, type ProbeAnswer } from '../../upstream/probe.ts';
import type { Upstream } from '../../upstream/upstream.ts';
import type { Snapshot } from '../snapshot.ts';

/** The probes of the snapshot in force. */
export interface UpstreamProbes {
  /** Runs the probes of this snapshot. An unchanged probe keeps its verdict. */
  follow(snapshot: Snapshot): void;
  /** Success of the last probe of each upstream. */
  states(): { readonly upstream: string; readonly success: boolean }[];
  /** The reasons for which the gateway is not ready, as sentences. */
  notReady(): string[];
  close(): void;
}

/** Dependencies of the probes. */
export interface ProbesRuntime {
  readonly log: Log;
  /** Takes the `config` record of a change. */
  readonly record: (detail: Readonly<Record<string, unknown>>) => void;
}

interface Probe {
  readonly key: string;
  upstream: Upstream;
  /** The last result other than `unclear`. */
  verdict: ProbeAnswer | undefined;
  /** The last result; undefined before the first. */
  last: ProbeAnswer['kind'] | undefined;
  /** The fault of the last probe, if its result was `unclear`. */
  unclear: string | undefined;
  timer: NodeJS.Timeout | undefined;
  closed: boolean;
}

/** Interval of probes until the first verdict. */
const retryMs = 1000;

/** Creates the probes. They start with `follow`. */
export function createUpstreamProbes(runtime: ProbesRuntime): UpstreamProbes {
  let probes = new Map<string, Probe>();

  async function ask(name: string, probe: Probe, snapshot: Snapshot): Promise<void> {
    const { path, timeout, every } = snapshot.config.upstreams[name]!.probe!;
    const answer = await askWithoutCredential(probe.upstream, {
      path,
      mcp: isMcpEndpoint(snapshot, name, path),
      timeoutMs: timeout,
    });
    if (probe.closed) return;
    take(name, probe, answer, runtime);
    const waitMs = probe.verdict === undefined ? Math.min(retryMs, every) : every;
    probe.timer = setTimeout(() => void ask(name, probe, snapshot), waitMs).unref();
  }

  return {
    follow(snapshot) {
      const next = new Map<string, Probe>();
      const added: string[] = [];
      for (const [name, { probe: config }] of Object.entries(snapshot.config.upstreams)) {
        if (config === undefined) continue;
        const { key: connections, target } = snapshot.upstreams.get(name)!;
        const key = JSON.stringify([connections, config, isMcpEndpoint(snapshot, name, config.path)]);
        const known = probes.get(name);
        if (known?.key === key) {
          known.upstream = target;
          next.set(name, known);
        } else {
          added.push(name);
          next.set(name, openProbe(key, target));
        }
      }
      for (const [name, probe] of probes) if (next.get(name) !== probe) close(probe);
      probes = next;
      for (const name of added) void ask(name, next.get(name)!, snapshot);
    },
    states: () => [...probes].map(([upstream, { last }]) => ({ upstream, success: last === 'refused' })),
    notReady: () => [...probes].flatMap(([name, probe]) => notReadyReason(name, probe) ?? []),
    close() {
      for (const probe of probes.values()) close(probe);
    },
  };
}

function openProbe(key: string, upstream: Upstream): Probe {
  return {
    key,
    upstream,
    verdict: undefined,
    last: undefined,
    unclear: undefined,
    timer: undefined,
    closed: false,
  };
}

function close(probe: Probe): void {
  probe.closed = true;
  clearTimeout(probe.timer);
}

function isMcpEndpoint({ config }: Snapshot, upstream: string, path: string): boolean {
  return config.routes.some(
    (route) => route.mcp !== undefined && route.upstream === upstream && (route.upstreamPath ?? route.path) === path,
  );
}

/** Takes a result. A fault does not change the verdict. */
function take(name: string, probe: Probe, answer: ProbeAnswer, { log, record }: ProbesRuntime): void {
  probe.last = answer.kind;
  if (answer.kind === 'unclear') {
    if (answer.reason !== probe.unclear) log.warn({ upstream: name, reason: answer.reason }, 'a probe had no answer');
    probe.unclear = answer.reason;
    return;
  }
  const before = probe.verdict?.kind;
  probe.verdict = answer;
  probe.unclear = undefined;
  if (before === answer.kind) return;
  record({ event: 'upstream probed', upstream: name, found: answer.kind, status: answer.status });
  if (answer.kind === 'answered') log.error({ upstream: name, status: answer.status }, sentence(name, answer.status));
  else log.info({ upstream: name, status: answer.status }, 'the upstream refuses callers without a credential');
}

function notReadyReason(name: string, { verdict, unclear }: Probe): string | undefined {
  if (verdict === undefined) {
    return `upstream ${name}: not known yet whether it refuses callers without a credential${unclear === undefined ? '' : ` (${unclear})`}`;
  }
  return verdict.kind === 'answered' ? sentence(name, verdict.status) : undefined;
}

function sentence(name: string, status: number): string {
  return `upstream ${name}: answers callers without a credential (status ${status} instead of 401 or 403); make it verify the assertion`;
}
