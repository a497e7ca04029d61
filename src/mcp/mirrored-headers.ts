// Headers of MCP 2026-07-28 that repeat members of the body: whoever routes by them behind the gateway must read what was judged.
import { GatewayError } from '../errors.ts';
import type { McpMessage } from './message.ts';
import { methodOf } from './methods.ts';

/** By lower-case name, each at most once. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Throws `header_mismatch` where a header contradicts the body, whatever the revision, and where a message that states its revision lacks one it
 * needs (Streamable HTTP, "Standard Request Headers"): MCP-Protocol-Version always, Mcp-Method on requests, Mcp-Name on those that call a tool,
 * get a prompt or read a resource. A message of an older revision is the upstream's to judge by its MCP-Protocol-Version. `Mcp-Param-*` repeat
 * what only the upstream's schemas know: they are not looked at.
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
  }
  if (method !== undefined && literal(method) !== message.method) throw mismatch('Mcp-Method', 'different');
  if (name !== undefined && isForeignName(name, message)) throw mismatch('Mcp-Name', 'different');
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

function mismatch(header: string, how: 'missing' | 'different'): GatewayError {
  const wrong =
    how === 'missing' ? `The header ${header} is missing` : `The header ${header} does not say what the body says`;
  return new GatewayError('header_mismatch', `${wrong}: from revision 2026-07-28 on it repeats the body.`, {
    reason: `${header.toLowerCase()}_${how}`,
  });
}
