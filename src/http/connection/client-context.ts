// TLS context of the gateway as a client: a private authority instead of the public ones, and a certificate of its own.
import type { SecureContext } from 'node:tls';
import type { NamedFiles } from '../../named-files.ts';
import { buildSecureContext } from './secure-context.ts';

/** Paths of PEM files. */
export interface ClientTlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** Builds the context of a section, as `check` does. Throws a SecureContextError that names key and file. */
export function buildClientContext(
  section: string,
  { caFile, certFile, keyFile }: ClientTlsFiles,
  files: NamedFiles,
): SecureContext {
  const named = {
    ...(caFile !== undefined && { ca: { key: 'caFile', path: caFile } }),
    ...((certFile ?? keyFile) !== undefined && {
      cert: { key: 'certFile', path: certFile },
      key: { key: 'keyFile', path: keyFile },
    }),
  };
  return buildSecureContext(section, named, files, { minVersion: 'TLSv1.2' }).context;
}
