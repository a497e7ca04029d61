// Events of `portcullis dev`, as JSON lines for programs and as text for people. Pure.
import { styleText } from 'node:util';
import type { DevelopmentEnvironment, StartedPart } from '../../dev/environment.ts';
import { sampleCalls } from '../../dev/files/sample-calls.ts';
import type { Check } from '../../dev/self-test.ts';
import { printable } from '../../printable.ts';
import { quote } from '../../shell.ts';
import { formatJson } from '../table.ts';

/** An event. Its members are those of its line of JSON. */
export type DevelopmentEvent =
  | { readonly event: 'starting' }
  | ({ readonly event: 'part' } & StartedPart)
  | ({ readonly event: 'ready'; readonly ms: number } & Places)
  | ({ readonly event: 'try' } & Places)
  | { readonly event: 'warning'; readonly message: string }
  | { readonly event: 'self-test'; readonly passed: boolean; readonly checks: readonly Check[] }
  | ({ readonly event: 'request' } & RequestLine)
  | { readonly event: 'reload'; readonly time: string; readonly policy: string }
  | { readonly event: 'reload refused'; readonly time: string; readonly problem: string }
  | { readonly event: 'stopping' }
  | { readonly event: 'stopped'; readonly removed?: string };

/** A request that has ended, as its record tells. */
export interface RequestLine {
  /** RFC 3339. */
  readonly time: string;
  readonly id: string;
  /** The client, or the address of a caller that nobody has verified. */
  readonly who: string;
  /** The tool, the MCP method with its target, or the HTTP method and path. */
  readonly call: string;
  readonly decision?: string;
  readonly rule?: string;
  readonly reason?: string;
  readonly status?: number;
  readonly ms?: number;
  /** Absent for what ended as it should. */
  readonly outcome?: string;
  /** A record of refused strangers sums up several. */
  readonly requests: number;
}

/** Addresses, files, and commands to paste. No secret. */
export interface Places {
  readonly mcp: string;
  readonly upstream: string;
  readonly isDemo: boolean;
  readonly issuer: string;
  readonly admin: string;
  readonly console: string;
  readonly directory: string;
  readonly config: string;
  readonly audit: string;
  readonly ca: string;
  readonly tour: string;
  readonly clients: string;
  readonly allowed: string;
  readonly refused: string;
}

/** The places of an environment. */
export function placesOf(environment: DevelopmentEnvironment): Places {
  const { adminUrl, directory, isDemo, tryFile } = environment;
  const calls = sampleCalls(environment);
  return {
    mcp: environment.mcpUrl,
    upstream: environment.upstreamUrl,
    isDemo,
    issuer: environment.issuer,
    admin: adminUrl,
    console: `${adminUrl}/`,
    directory,
    config: environment.configFile,
    audit: environment.auditFile,
    ca: environment.caFile,
    tour: environment.tourFile,
    clients: environment.clientsDirectory,
    allowed: `bash ${quote(tryFile)} agent ${calls.allowed}`,
    refused: `bash ${quote(tryFile)} frontend ${calls.refused}`,
  };
}

/** The event as a line of JSON. The first is `ready`, with all places. */
export function jsonOf(event: DevelopmentEvent, isQuiet: boolean): string {
  return forPeople.has(event.event) || (isQuiet && event.event === 'request') ? '' : formatJson(event);
}

const forPeople: ReadonlySet<string> = new Set(['starting', 'part', 'try']);

/** The event as text for people; `isQuiet` leaves out progress, requests and reloads taken. */
export function textOf(event: DevelopmentEvent, hasColour: boolean, isQuiet: boolean): string {
  const paint = painter(hasColour);
  const lines = isQuiet && quietEvents.has(event.event) ? [] : linesOf(event, paint);
  return lines.map((line) => `${line}\n`).join('');
}

const quietEvents: ReadonlySet<string> = new Set(['starting', 'part', 'request', 'reload', 'stopping', 'stopped']);

type Paint = (style: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string) => string;

/** The terminal was looked at before. */
function painter(hasColour: boolean): Paint {
  return (style, text) => (hasColour ? styleText(style, text, { validateStream: false }) : text);
}

function linesOf(event: DevelopmentEvent, paint: Paint): string[] {
  switch (event.event) {
    case 'starting':
      return [paint('bold', 'Starting Portcullis on loopback. Ctrl-C stops it.')];
    case 'part':
      return [paint('dim', `  ${event.name.padEnd(23)} ${seconds(event.ms)}`)];
    case 'ready':
      return readyLines(event, paint);
    case 'warning':
      return [`${paint('yellow', 'warning:')} ${printable(event.message)}`];
    case 'try':
      return tryLines(event, paint);
    case 'self-test':
      return event.checks.map(({ says, problem }) =>
        problem === undefined
          ? `  ${paint('green', '✓')} ${printable(says)}`
          : `  ${paint('red', '✗')} ${printable(`${says}: ${problem}`)}`,
      );
    case 'request':
      return [requestLine(event, paint)];
    case 'reload':
      return [`${clock(event.time)}  ${paint('green', 'reloaded')}  policy ${event.policy.slice(0, 12)} is in force`];
    case 'reload refused': {
      const [first, ...more] = event.problem.split('\n').map(printable);
      const head = `${clock(event.time)}  ${paint('red', 'not reloaded')}  the old configuration stays in force: ${first}`;
      return [head, ...more];
    }
    case 'stopping':
      return ['Stopping.'];
    case 'stopped':
      return [event.removed === undefined ? 'Stopped.' : `Stopped, and ${event.removed} is removed.`];
  }
}

function readyLines(places: Places & { readonly ms: number }, paint: Paint): string[] {
  const row = (name: string, value: string, note: string) =>
    `  ${name.padEnd(12)}  ${value.padEnd(27)}  ${paint('dim', note)}`;
  return [
    paint('bold', `Portcullis runs, after ${seconds(places.ms)}.`),
    row('MCP endpoint', places.mcp, `before ${places.isDemo ? 'the demo Superset, ' : ''}${places.upstream}`),
    row('log-in', places.issuer, 'authorization server'),
    row('console', places.console, 'and /metrics, /readyz, /status'),
    row('files', places.directory, 'edit gateway.yaml: it is reloaded'),
  ];
}

function tryLines(places: Places, paint: Paint): string[] {
  return [
    paint('bold', 'Paste into a second terminal, one that is allowed and one that is refused:'),
    `  ${places.allowed}`,
    `  ${places.refused}`,
    `The whole tour: bash ${quote(places.tour)}`,
    `Your MCP client: ${places.clients}/README.md`,
    '',
  ];
}

/** Time, caller, call, decision, rule or reason, status, duration. */
function requestLine(line: RequestLine, paint: Paint): string {
  const { call, decision, ms, reason, requests, rule, status } = line;
  const isRefused = decision === 'deny' || (status !== undefined && status >= 400);
  const facts = [
    rule && `rule ${rule}`,
    reason,
    status === undefined ? undefined : String(status),
    ms === undefined ? undefined : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`,
    requests > 1 ? `${requests} requests` : undefined,
    line.outcome,
  ].filter((fact) => fact !== undefined && fact !== '');
  const verdict = paint(isRefused ? 'red' : 'green', (decision ?? '-').padEnd(5));
  const [who, what] = [printable(line.who).padEnd(18), printable(call).padEnd(26)];
  return `${clock(line.time)}  ${who}  ${what}  ${verdict}  ${printable(facts.join('  '))}`.trimEnd();
}

/** The time of day where the terminal is. */
function clock(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '--:--:--' : date.toTimeString().slice(0, 8);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
