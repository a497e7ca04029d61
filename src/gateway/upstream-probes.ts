// Upstreams that have to refuse callers without a credential, asked at the start and ever again: until they are known to, the gateway is not ready.
import type { Log } from '../log.ts';
import { askWithoutCredential, type ProbeAnswer } from '../upstream/probe.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Snapshot } from './snapshot.ts';

export interface UpstreamProbes {
  /** Probes from now on what this snapshot says; one that it has unchanged keeps what it knows. */
  follow(snapshot: Snapshot): void;
  /** Whether the last probe of each found what it has to find. */
  states(): { readonly upstream: string; readonly success: boolean }[];
  /** Why the gateway is not ready, in sentences. */
  notReady(): string[];
  close(): void;
}

export interface ProbesRuntime {
  readonly log: Log;
  /** Takes the `config` record of a change. */
  readonly record: (detail: Readonly<Record<string, unknown>>) => void;
}

interface Probe {
  readonly key: string;
  upstream: Upstream;
  /** The last answer that was clear. */
  verdict: ProbeAnswer | undefined;
  /** What the last probe found; undefined before there was one. */
  last: ProbeAnswer['kind'] | undefined;
  /** Why the last one found nothing. */
  trouble: string | undefined;
  timer: NodeJS.Timeout | undefined;
  closed: boolean;
}

/** While there is no verdict yet. */
const retryMs = 1000;

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
      const begun: string[] = [];
      for (const [name, { probe: config }] of Object.entries(snapshot.config.upstreams)) {
        if (config === undefined) continue;
        const { key: connections, target } = snapshot.upstreams.get(name)!;
        const key = JSON.stringify([connections, config, isMcpEndpoint(snapshot, name, config.path)]);
        const known = probes.get(name);
        if (known?.key === key) {
          known.upstream = target;
          next.set(name, known);
        } else {
          begun.push(name);
          next.set(name, openProbe(key, target));
        }
      }
      for (const [name, probe] of probes) if (next.get(name) !== probe) close(probe);
      probes = next;
      for (const name of begun) void ask(name, next.get(name)!, snapshot);
    },
    states: () => [...probes].map(([upstream, { last }]) => ({ upstream, success: last === 'refused' })),
    notReady: () => [...probes].flatMap(([name, probe]) => whyNotReady(name, probe) ?? []),
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
    trouble: undefined,
    timer: undefined,
    closed: false,
  };
}

function close(probe: Probe): void {
  probe.closed = true;
  clearTimeout(probe.timer);
}

function isMcpEndpoint({ config }: Snapshot, upstream: string, path: string): boolean {
  return config.routes.some((route) => route.mcp !== undefined && route.upstream === upstream && route.path === path);
}

/** A fault after a clear answer says nothing about who is let in: the upstream is known to refuse until it answers otherwise. */
function take(name: string, probe: Probe, answer: ProbeAnswer, { log, record }: ProbesRuntime): void {
  probe.last = answer.kind;
  if (answer.kind === 'unclear') {
    if (answer.reason !== probe.trouble) log.warn({ upstream: name, reason: answer.reason }, 'a probe had no answer');
    probe.trouble = answer.reason;
    return;
  }
  const before = probe.verdict?.kind;
  probe.verdict = answer;
  probe.trouble = undefined;
  if (before === answer.kind) return;
  record({ event: 'upstream probed', upstream: name, found: answer.kind, status: answer.status });
  if (answer.kind === 'answered') log.error({ upstream: name, status: answer.status }, sentence(name, answer.status));
  else log.info({ upstream: name, status: answer.status }, 'the upstream refuses callers without a credential');
}

function whyNotReady(name: string, { verdict, trouble }: Probe): string | undefined {
  if (verdict === undefined) {
    return `upstream ${name}: not known yet whether it refuses callers without a credential${trouble === undefined ? '' : ` (${trouble})`}`;
  }
  return verdict.kind === 'answered' ? sentence(name, verdict.status) : undefined;
}

function sentence(name: string, status: number): string {
  return `upstream ${name}: answers callers without a credential (status ${status} instead of 401 or 403); make it verify the assertion`;
}
