// Headers of MCP 2026-07-28 that repeat members of the body: whoever routes by them behind the gateway must read what was judged.
import { GatewayError } from '../errors.ts';
import type { McpMessage } from './message.ts';
import { methodOf } from './methods.ts';

/** By lower-case name, each at most once. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Throws `header_mismatch` where a header contradicts the body, whatever the revision, and where a message that states its revision lacks one it
 * needs (Streamable HTTP, "Standard Request Headers"): MCP-Protocol-Version always, Mcp-Method on requests, Mcp-Name on those that call a tool,
 * get a prompt or read a resource. `Mcp-Param-*` repeat what only the upstream's schemas know: they are not looked at.
 */
export function checkMirroredHeaders(headers: Headers, message: McpMessage): void {
  const version = headers['mcp-protocol-version'];
  const method = headers['mcp-method'];
  const name = headers['mcp-name'];
  const { kind, protocolVersion, mirroredName, target } = message;
  if (protocolVersion !== undefined) {
    if (version === undefined) throw mismatch('MCP-Protocol-Version', 'missing');
    if (literal(version) !== protocolVersion) throw mismatch('MCP-Protocol-Version', 'different');
    if (kind === 'request' && method === undefined) throw mismatch('Mcp-Method', 'missing');
    if (kind === 'request' && name === undefined && target !== undefined && mirroredName !== undefined) {
      throw mismatch('Mcp-Name', 'missing');
    }
  } else if (version !== undefined) checkOlderVersion(literal(version), kind);
  if (method !== undefined && literal(method) !== message.method) throw mismatch('Mcp-Method', 'different');
  if (name !== undefined && isForeignName(name, message)) throw mismatch('Mcp-Name', 'different');
}

/** Reason of the refusal of a message that lacks the revision which its header names. */
export const revisionUnstated = 'mcp-protocol-version_unstated';
const revisionForm = /^\d{4}-\d{2}-\d{2}$/;
/** The first revision in which every request states its revision in the body. */
const firstStated = '2026-07-28';

/**
 * For a message that states no revision: which of the older ones it is, the upstream judges. A notification of a newer one need not state it: `_meta`
 * is defined for requests, and SDKs send such notifications.
 */
function checkOlderVersion(version: string | undefined, kind: McpMessage['kind']): void {
  if (version === undefined || !revisionForm.test(version)) throw mismatch('MCP-Protocol-Version', 'malformed');
  if (version >= firstStated && kind !== 'notification') throw mismatch('MCP-Protocol-Version', 'unstated');
}

/** A method of no revision has no name that the gateway knows; the upstream decides about it. */
function isForeignName(value: string | readonly string[], { method, mirroredName, target }: McpMessage): boolean {
  if (method !== undefined && methodOf(method) === undefined) return false;
  const name = decoded(value);
  return name === undefined || name !== (mirroredName ?? target?.name);
}

const printable = /^[\t -~]*$/;

/** The value without the white space around it; undefined where it has characters that two readers could decode differently. */
function literal(value: string | readonly string[]): string | undefined {
  return typeof value === 'string' && printable.test(value) ? value.trim() : undefined;
}

const prefix = '=?base64?';
const suffix = '?=';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undoes the base64 form, in which names stand that a header cannot hold; undefined where it is not exactly that. */
function decoded(value: string | readonly string[]): string | undefined {
  const text = literal(value);
  if (text === undefined || text.length < prefix.length + suffix.length) return text;
  if (!text.startsWith(prefix) || !text.endsWith(suffix)) return text;
  const base64 = text.slice(prefix.length, -suffix.length);
  const bytes = Buffer.from(base64, 'base64');
  // Node skips what is no base64: only what is written back alike was exactly that.
  if (bytes.toString('base64') !== base64) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

const faults = {
  missing: 'is missing: from revision 2026-07-28 on it repeats the body',
  different: 'does not say what the body says: from revision 2026-07-28 on it repeats the body',
  unstated: 'names a revision whose messages state it in `_meta`, and this one does not',
  malformed: 'must be one revision of MCP, written as YYYY-MM-DD',
} as const;

function mismatch(header: string, fault: keyof typeof faults): GatewayError {
  return new GatewayError('header_mismatch', `The header ${header} ${faults[fault]}.`, {
    reason: `${header.toLowerCase()}_${fault}`,
  });
}
