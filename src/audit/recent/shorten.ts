// Long audit records for keeping in memory: the arguments are left out, then everything but the identity of the record.
import type { AuditEvent } from '../event.ts';

/** The record with `cut`: `arguments` where they were left out, `all` where only its id, time and policy are there. */
export function shortened(event: AuditEvent, body: string, maxLength: number): string {
  const { encodedParts: parts = '', policy, stage } = event;
  // Quotes within texts are escaped.
  const mark = `"stage":"${stage}"`;
  const identity = body.slice(0, body.indexOf(mark) + mark.length);
  const rest = body.slice(identity.length + parts.length);
  const short = withoutArguments(parts);
  if (short !== undefined && identity.length + short.length + rest.length <= maxLength)
    return `${identity}${short}${rest},"cut":"arguments"`;
  return `${identity},"policy":${JSON.stringify(policy)},"cut":"all"`;
}

/**
 * The members from `route` to `trace` without `mcp.arguments`, which is the first member of that name. Behind it the last marks are those of the
 * record's own members, as the ones that follow have none like them.
 */
function withoutArguments(parts: string): string | undefined {
  const from = parts.indexOf(',"arguments":');
  const decision = parts.lastIndexOf('},"decision":"');
  if (from === -1 || decision < from) return undefined;
  const scopes = parts.lastIndexOf('},"scopes":{"granted":[', decision);
  const to = scopes > from && isMember(parts.slice(scopes + 2, decision + 1)) ? scopes : decision;
  return parts.slice(0, from) + parts.slice(to);
}

/** Members of the arguments may look like the scopes, and then more brackets are closed than opened. */
function isMember(text: string): boolean {
  try {
    JSON.parse(`{${text}}`);
    return true;
  } catch {
    return false;
  }
}
