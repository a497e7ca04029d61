// TLS context of the connections to an upstream.
import type { SecureContext } from 'node:tls';
import type { UpstreamConfig } from '../config/schema/config.ts';
import { buildClientContext } from '../http/connection/client-context.ts';
import type { NamedFiles } from '../named-files.ts';

/** The context that the upstream is reached with. Throws a SecureContextError that names key and file; `check` builds the same one. */
export function buildUpstreamContext(name: string, tls: UpstreamConfig['tls'], files: NamedFiles): SecureContext {
  return buildClientContext(`upstreams.${name}.tls`, tls ?? {}, files);
}
