// Plain names of targets: those that every reader takes for the same tool, prompt or resource.
import { foldLookAlikes } from '../http/look-alikes.ts';
import { ambiguousEncoding } from '../http/path.ts';
import type { McpTargetKind } from '../mcp/message.ts';
import { exampleOf, itemOf, templateItem } from './list-item.ts';

/** MCP 2025-11-25, tool names: letters, digits, `_`, `-` and `.`; the `/` of name spaces beside them. */
const plainName = /^[\w./-]+$/;

/** Reports whether the name, the URI of a resource, or the method can be taken for no other one. */
export function isPlain(kind: McpTargetKind | 'method', name: string): boolean {
  return kind === 'resource' ? isPlainUri(name) : plainName.test(name);
}

/** A dot segment, also before path parameters (`..;/`). */
const dotSegment = /(?:^|[/:])\.{1,2}(?:$|[/?#;])/;
/** Segments that some readers collapse, such as one of parameters alone; the slashes of a scheme apart. */
const emptySegment = /^[^?#]*?(?:[^:/?#]\/\/|:\/{4}|\/;)/;
/** White space that some readers trim. */
const paddedSegment = /(?:^|[/:])\s|\s(?:$|[/?#;])/;
/** RFC 3986 §3.1: schemes have no case, and their plain form is lower case. */
const upperCaseScheme = /^[^:/?#A-Z]*[A-Z][^:/?#]*:/;
/** WHATWG URL: in these schemes readers repair slashes, hosts and ports. */
const specialScheme = /^(?:https?|wss?|ftp|file):/;
const unseen = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

const otherThanAscii = /\P{ASCII}/gu;
const visibleAscii = /[!-~]/;

/** Encoded characters must need it and be UTF-8, and nothing may stand in another form than its own. */
function isPlainUri(uri: string): boolean {
  if (ambiguousEncoding.test(uri)) return false;
  const decoded = decode(uri);
  if (decoded === undefined || unseen.test(decoded) || decoded.includes('\\')) return false;
  // Each character once: some become a whole sentence.
  const others = new Set(decoded.match(otherThanAscii));
  for (const character of others) if (visibleAscii.test(foldLookAlikes(character))) return false;
  return (
    hasPlainAuthority(uri) &&
    ![dotSegment, emptySegment, paddedSegment, upperCaseScheme].some((form) => form.test(decoded))
  );
}

/** Scheme, host and port as a WHATWG reader writes them, alone or before a path. A final dot of the host means nothing (RFC 3986 §3.2.2).
 * A completion names templates. */
function hasPlainAuthority(uriOrTemplate: string): boolean {
  const uri = exampleOf(templateItem(uriOrTemplate) ?? itemOf('resource', uriOrTemplate));
  if (!specialScheme.test(uri)) return true;
  if (!URL.canParse(uri)) return false;
  const { protocol, host, hostname } = new URL(uri);
  const authority = `${protocol}//${host}`;
  return uri.startsWith(authority) && /^(?:\/|$)/.test(uri.slice(authority.length)) && !hostname.endsWith('.');
}

/** Encoded characters that URL writers encode by themselves; to a deny all but `*`, which stands for other characters in globs. */
const encoded = { allow: /(?:%(?:2[02]|3[CE]|5E|60|7[B-D]|[89A-F][\dA-F]))+/gi, deny: /(?:%(?!2A)[\dA-F]{2})+/gi };

/**
 * One text for the spellings of a URI that readers take for each other: as a WHATWG reader writes it, decoded, in NFC. To an `allow`, encoded
 * delimiters are others than plain ones (RFC 3986 §2.2). The same for a glob.
 */
export function canonicalUri(uri: string, effect: 'allow' | 'deny'): string {
  const written = URL.canParse(uri) ? new URL(uri).href : uri;
  return written
    .replace(encoded[effect], (run) => decode(run) ?? run)
    .replace(/%[\da-f]{2}/gi, (code) => code.toUpperCase())
    .normalize('NFC');
}

function decode(uri: string): string | undefined {
  try {
    return decodeURIComponent(uri);
  } catch {
    return undefined;
  }
}
