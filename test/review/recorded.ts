// Recorded requests of tests: their lines as the gateway would write them, made from all facts.
import { createEventEncoder } from '../../src/audit/encode.ts';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';
import { type AuditRecord, parseRecord } from '../../src/audit/reading/record.ts';
import type { Caller } from '../../src/authn/caller/principal.ts';
import type { CredentialRecord } from '../../src/authn/credential.ts';
import type { GatewayError } from '../../src/errors.ts';
import { completedEvent, decidedEvent } from '../../src/gateway/request/audit-events.ts';
import type { RequestContext } from '../../src/gateway/request/context.ts';
import { type ArgumentsMode, auditArguments } from '../../src/mcp/audit-arguments.ts';
import type { McpMessage } from '../../src/mcp/message.ts';
import { type Decision, denial } from '../../src/policy/decision.ts';
import { someTime } from '../audit/support.ts';

/** The facts of a request that its records are made of. */
export interface Facts {
  readonly id?: string;
  readonly route?: string;
  readonly method?: string;
  readonly path?: string;
  readonly address?: string;
  readonly caller?: Caller | undefined;
  readonly credentials?: readonly Partial<CredentialRecord>[];
  readonly message?: McpMessage | undefined;
  readonly decision?: Decision | undefined;
  /** A refusal that is no denial of the decision. */
  readonly error?: GatewayError;
  readonly arguments?: ArgumentsMode;
}

const encode = createEventEncoder('gw');

/** The first record of a request, `decided` or the refusal, as a line. */
export function lineOf(facts: Facts): Buffer {
  const { arguments: mode = 'none', caller, decision, message, route = 'mcp' } = facts;
  const error = facts.error ?? (decision?.allow === false ? denial(decision) : undefined);
  const context = {
    id: facts.id ?? 'r1',
    method: facts.method ?? 'POST',
    path: facts.path ?? '/mcp',
    clientAddress: facts.address ?? '192.0.2.1',
    route: { name: route },
    snapshot: { hash: 'p1', lastEncodings: new WeakMap() },
    request: { headers: {} },
    credentials: facts.credentials ?? [],
    caller,
    message,
    decision,
    error,
    auditArguments: message && auditArguments(mode, message),
    startedMs: performance.now(),
    outcome: 'refused',
    bytes: 0,
  } as unknown as RequestContext;
  const event = error === undefined ? decidedEvent(context, someTime) : completedEvent(context, someTime, error.status);
  return chainLines(genesis, [encode(event)]).lines.subarray(0, -1);
}

/** The same, read back. */
export function recordOf(facts: Facts): { record: AuditRecord; line: Buffer } {
  const line = lineOf(facts);
  return { record: parseRecord(line)!, line };
}
