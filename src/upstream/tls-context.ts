// TLS context of the connections to an upstream.
import type { SecureContext } from 'node:tls';
import type { UpstreamConfig } from '../config/schema/config.ts';
import { buildSecureContext } from '../http/connection/secure-context.ts';
import type { NamedFiles } from '../named-files.ts';

/** The context that the upstream is reached with. Throws a SecureContextError that names key and file; `check` builds the same one. */
export function buildUpstreamContext(name: string, tls: UpstreamConfig['tls'], files: NamedFiles): SecureContext {
  const { caFile, certFile, keyFile } = tls ?? {};
  const named = {
    ...(caFile !== undefined && { ca: { key: 'caFile', path: caFile } }),
    ...((certFile ?? keyFile) !== undefined && {
      cert: { key: 'certFile', path: certFile },
      key: { key: 'keyFile', path: keyFile },
    }),
  };
  return buildSecureContext(`upstreams.${name}.tls`, named, files, { minVersion: 'TLSv1.2' }).context;
}
