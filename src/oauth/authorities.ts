// Authorities that the certificate of a server is verified by.
import type { NamedFiles } from '../named-files.ts';
import { parseCertificates } from '../pem.ts';

/** The content of `caFile`, each certificate in PEM; undefined for the public authorities. */
export function authoritiesOf(
  { caFile }: { readonly caFile?: string | undefined },
  { files }: { readonly files: NamedFiles },
): readonly string[] | undefined {
  return caFile === undefined ? undefined : files.parse(caFile, parseCertificates).map(String);
}
