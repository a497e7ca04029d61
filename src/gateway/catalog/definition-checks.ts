// Questions of the gateway's own for the definitions that pinned routes show: at the start, after a change, and every 15 s.
import type { Caller } from '../../authn/caller/principal.ts';
import type { Log } from '../../log.ts';
import { cut } from '../../mcp/catalog/difference.ts';
import type { Route } from '../route.ts';
import type { Snapshot } from '../snapshot.ts';
import { connectMcp } from './mcp-connection.ts';
import { readLists } from './read-catalog.ts';
import type { RoutePins } from './route-pins.ts';
import { callerOf, gatewayItself } from './self.ts';

/** The questions of the snapshot in force. */
export interface DefinitionChecks {
  /** Asks the upstreams of the pinned routes of this snapshot. Unchanged routes go on as they are. */
  follow(snapshot: Snapshot): void;
  /** For `/status`. */
  states(): readonly DefinitionState[];
  close(): void;
}

/** The state of one pinned route. */
export interface DefinitionState {
  readonly route: string;
  readonly onChange: RoutePins['onChange'];
  /** Names with a change in the last answers. */
  readonly changed: readonly string[];
  /** The reason for which the gateway itself could not ask last; undefined when it could. */
  readonly problem: string | undefined;
}

/** Dependencies of the questions. */
export interface DefinitionChecksRuntime {
  readonly log: Log;
  readonly now: () => number;
  readonly version: string;
}

interface Check {
  route: Route;
  readonly pins: RoutePins;
  readonly stop: AbortController;
  timer: NodeJS.Timeout | undefined;
  isAsking: boolean;
  /** Questions in a row without an answer. */
  failures: number;
  /** The upstream has said since the last question began that a list has changed. */
  isStale: boolean;
}

const everyMs = 15_000;
/** After a first failure, and the least time between two questions. */
const soonMs = 1000;
const timeoutMs = 5000;
const maxText = 256;

/** Creates the questions. They start with `follow`. */
export function createDefinitionChecks({ log, now, version }: DefinitionChecksRuntime): DefinitionChecks {
  let checks = new Map<RoutePins, Check>();

  async function ask(check: Check): Promise<void> {
    const { pins, route, stop } = check;
    check.isAsking = true;
    check.isStale = false;
    const before = pins.problem;
    try {
      await lookAt(route, pins, stop.signal);
      pins.problem = undefined;
      check.failures = 0;
    } catch (error) {
      pins.problem = cut((error as Error).message, maxText);
      check.failures += 1;
    }
    check.isAsking = false;
    pins.firstAsked.resolve();
    if (stop.signal.aborted) return;
    const { problem } = pins;
    if (problem !== undefined && problem !== before)
      log.warn({ route: route.name, reason: problem }, 'the tool definitions of a pinned route could not be asked for');
    later(check, check.failures !== 1 && !check.isStale ? everyMs : soonMs);
  }

  function later(check: Check, waitMs: number): void {
    clearTimeout(check.timer);
    check.timer = setTimeout(() => void ask(check), waitMs).unref();
  }

  async function lookAt(route: Route, pins: RoutePins, stopped: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(timeoutMs)]);
    const self = callerOf(gatewayItself);
    const { authorize } = route.upstream!;
    const authorization = await authorize?.(self, now(), undefined);
    // Only an assertion names the gateway: in headers nobody is named.
    const caller: Caller | undefined = undefined;
    const connection = await connectMcp({ route, caller, authorization, version, timeoutMs, signal });
    try {
      const view = pins.view('');
      await readLists(connection, (listing, name, item) => void view.changeOf(listing, name, () => item, 'listed'));
    } finally {
      // Calls do not wait for the end of the session.
      pins.firstAsked.resolve();
      await connection.close();
    }
  }

  return {
    follow(snapshot) {
      const next = new Map<RoutePins, Check>();
      for (const route of snapshot.routes) {
        const { pins } = route;
        if (pins === undefined) continue;
        const known = checks.get(pins);
        if (known !== undefined) {
          known.route = route;
          next.set(pins, known);
          continue;
        }
        const check: Check = {
          route,
          pins,
          stop: new AbortController(),
          timer: undefined,
          isAsking: false,
          failures: 0,
          isStale: false,
        };
        pins.recheck = () => {
          // Once is enough: more of them must not put the question off.
          if (check.isStale || check.stop.signal.aborted) return;
          check.isStale = true;
          if (!check.isAsking) later(check, soonMs);
        };
        next.set(pins, check);
        void ask(check);
      }
      for (const [pins, check] of checks) if (!next.has(pins)) close(check);
      checks = next;
    },
    states: () =>
      [...checks.values()].map(({ pins, route }) => ({
        route: route.name,
        onChange: pins.onChange,
        changed: [...new Set(pins.changed().map(({ name }) => cut(name, maxText)))].sort(),
        problem: pins.problem,
      })),
    close() {
      for (const check of checks.values()) close(check);
      checks = new Map();
    },
  };
}

function close({ stop, timer }: Check): void {
  clearTimeout(timer);
  stop.abort();
}
