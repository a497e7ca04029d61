// Key of the bucket that a call counts in: the values of the call that its limit names.
import { createHash } from 'node:crypto';
import type { Caller } from '../authn/caller/principal.ts';
import { callerNetwork } from '../ip-ranges.ts';
import type { McpMessage } from '../mcp/message.ts';
import type { KeyOrigin } from '../state/shared-state.ts';

/** The facts of a call that limits look at. */
export interface LimitedCall {
  /** Name of the route. */
  readonly route: string;
  readonly clientAddress: string;
  readonly caller: Caller | undefined;
  readonly message: McpMessage | undefined;
}

/** The values that every call may have; any other name in `per` is that of a mapped claim. */
export const bucketValues = {
  address: ({ clientAddress }) => callerNetwork(clientAddress),
  credential: ({ caller }) => caller && credentialOf(caller.principal),
  client: ({ caller }) => (caller?.principal.clientId === undefined ? undefined : caller.clientKey),
  subject: ({ caller }) => caller?.subjectKey,
  tool: ({ message }) => (message?.target?.kind === 'tool' ? message.target.name : undefined),
  route: ({ route }) => route,
} as const satisfies Readonly<Record<string, ValueOf>>;

type ValueOf = (call: LimitedCall) => string | undefined;

/** The values of `per` that a call can have on a route where nobody is authenticated. */
export const valuesWithoutCaller: ReadonlySet<string> = new Set(['address', 'tool', 'route']);

/** A longer key is replaced by its digest, so that what callers choose takes no room. */
const maxKeyLength = 256;

/** Compiles `per`. Calls have the same key where they have the same values; an absent value is one of its own. */
export function compileBucketKey(per: readonly string[]): (call: LimitedCall) => string {
  const values = per.map(valueNamed);
  return (call) => {
    let key = '';
    for (const value of values) key += partOf(value(call));
    return key.length <= maxKeyLength ? key : createHash('sha256').update(key).digest('base64url');
  };
}

/** A caller has as many of these values as it likes; of an absent one there is one. */
const madeUpValues: readonly string[] = ['address', 'credential', 'client', 'tool'];

/** Compiles the origin of the keys of `per`. A person, and a credential that is there, are those of one caller. */
export function compileKeyOrigin(per: readonly string[]): (call: LimitedCall) => KeyOrigin {
  const madeUp = per.filter((name) => madeUpValues.includes(name)).map(valueNamed);
  const credential = valueNamed('credential');
  const isOfSubject = per.includes('subject');
  const isOfCredential = per.includes('credential');
  return (call) => {
    if (!madeUp.some((value) => value(call) !== undefined)) return 'given';
    return isOfSubject || (isOfCredential && credential(call) !== undefined) ? 'holder' : 'common';
  };
}

/** The values of a call by their names, for explanations. */
export function bucketOf(per: readonly string[], call: LimitedCall): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(per.map((name) => [name, valueNamed(name)(call)]));
}

function valueNamed(name: string): ValueOf {
  return Object.hasOwn(bucketValues, name) ? bucketValues[name as keyof typeof bucketValues] : claimOf(name);
}

/** With its length before it, as the value itself may hold any character. */
function partOf(value: string | undefined): string {
  return value === undefined ? '-' : `${value.length}:${value}`;
}

/** Ids are unique within their issuer only. */
function credentialOf({ credentialId, issuer, kind }: Caller['principal']): string | undefined {
  return credentialId === undefined ? undefined : `${kind}\n${issuer}\n${credentialId}`;
}

/** Equal for equal values only: the text "1" is not the number 1. */
function claimOf(name: string): ValueOf {
  return ({ caller }) => {
    const claims = caller?.principal.claims;
    if (claims === undefined || !Object.hasOwn(claims, name) || claims[name] === undefined) return undefined;
    return JSON.stringify(claims[name]);
  };
}
