// TLS secure contexts from PEM files, built the same way by `check`, at the start and for every reload.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { curves } from '../../key-strength.ts';
import type { NamedFiles } from '../../named-files.ts';
import { PemError, parseCertificates, parsePem, parsePemBlocks, parsePrivateKey } from '../../pem.ts';

/** A key of the configuration, such as `certFile`, and the path that stands there. */
export interface NamedFile {
  readonly key: string;
  /** Undefined where the context needs a file, and none is given. */
  readonly path: string | undefined;
}

/** The files of a TLS context. */
export interface ContextFiles {
  readonly cert?: NamedFile | undefined;
  readonly key?: NamedFile | undefined;
  readonly ca?: NamedFile | undefined;
  readonly crl?: NamedFile | undefined;
}

/** A TLS context and its options. */
export interface BuiltContext {
  /** Options of the context, to build another one like it. */
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
}

/** A file that TLS cannot use; the message of `cause` is public. */
export interface UnusableFile extends NamedFile {
  readonly cause: Error;
}

/** Files that TLS cannot use. The message names key, file and, where it can, the PEM block. */
export class SecureContextError extends Error {
  readonly files: readonly UnusableFile[];

  constructor(section: string, files: readonly UnusableFile[]) {
    super(
      files
        .map(({ key, path, cause }) => `${section}.${key}: ${path === undefined ? '' : `${path}: `}${cause.message}`)
        .join('\n'),
    );
    this.name = 'SecureContextError';
    this.files = files;
  }
}

/**
 * Builds the context of the section, such as `server.tls`, from its files. Throws a SecureContextError for every file that was not read, is damaged
 * in any of its blocks, or is refused by the TLS library, and for a key that is not the certificate's.
 */
export function buildSecureContext(
  section: string,
  named: ContextFiles,
  files: NamedFiles,
  options: Pick<SecureContextOptions, 'ciphers' | 'minVersion' | 'secureOptions'>,
): BuiltContext {
  const unusable: UnusableFile[] = [];
  const read = <T>(file: NamedFile | undefined, parser: (content: Buffer) => T): T | undefined => {
    if (file === undefined) return undefined;
    try {
      if (file.path === undefined) throw new Error('is needed beside the others');
      return files.parse(file.path, parser);
    } catch (error) {
      unusable.push({ ...file, cause: error as Error });
      return undefined;
    }
  };
  const cert = read(named.cert, parseCertificateChain);
  const key = read(named.key, parsePrivateKey);
  // The library would silently drop the blocks of these that it cannot read.
  const ca = read(named.ca, parseCertificates);
  const crl = read(named.crl, parseRevocationLists);
  if (cert !== undefined && key !== undefined && !cert[0]!.checkPrivateKey(key)) {
    const cause = new Error(`is not the key of the first certificate in ${named.cert!.key}`);
    unusable.push({ ...named.key!, cause });
  }
  if (unusable.length > 0) throw new SecureContextError(section, unusable);
  const built: SecureContextOptions = {
    ...options,
    ...(cert !== undefined && { cert: cert.join('') }),
    ...(key !== undefined && { key: key.export({ type: 'pkcs8', format: 'pem' }) }),
    ...(ca !== undefined && { ca: ca.map(String) }),
    ...(crl !== undefined && { crl }),
  };
  try {
    return { options: built, context: createSecureContext(built) };
  } catch (error) {
    const cause = new Error(`cannot be used: the TLS library refuses it (${codeOf(error)})`, { cause: error });
    throw new SecureContextError(section, [{ key: '', path: undefined, ...(named.cert ?? named.ca), cause }]);
  }
}

/** The certificate chain of a handshake. Throws an Error with a public message for one that the TLS library does not take. */
export function parseCertificateChain(pem: Buffer): X509Certificate[] {
  const chain = parseCertificates(pem);
  for (const [index, certificate] of chain.entries()) {
    const weakness = tlsWeakness(certificate, index === 0);
    if (weakness === undefined) continue;
    const block = parsePemBlocks(pem.toString()).filter(({ label }) => label === 'CERTIFICATE')[index]!;
    throw new PemError(block.number, `${weakness}; issue it anew with a key on P-256 or an RSA key of 2048 bits`);
  }
  return chain;
}

/** Key types and curves that can sign a handshake; the last three curves in TLS 1.3 only (RFC 8734). */
const signingKeys = new Set([
  ...['rsa', 'rsa-pss', 'ed25519', 'ed448'],
  ...[...Object.keys(curves), 'brainpoolP256r1', 'brainpoolP384r1', 'brainpoolP512r1'],
]);

/** The reason for which the TLS library refuses this certificate in a chain, if any. Its limits depend on its build and configuration. */
export function tlsWeakness(certificate: X509Certificate, isLeaf: boolean): string | undefined {
  const publicKey = publicKeyOf(certificate);
  if (publicKey === undefined) return 'has a key of a kind that the TLS library does not know';
  const kind = publicKey.asymmetricKeyDetails?.namedCurve ?? publicKey.asymmetricKeyType ?? '';
  if (isLeaf && !signingKeys.has(kind)) return `has ${describe(publicKey)}, with which no TLS handshake can be signed`;
  try {
    createSecureContext({ cert: certificate.toString(), ca: [] });
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    return reasons[code]?.(publicKey) ?? `is refused by the TLS library (${code})`;
  }
}

function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey;
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'no code';
}

/** OpenSSL's words are for programmers. */
const reasons: Readonly<Record<string, (key: KeyObject) => string>> = {
  ERR_SSL_EE_KEY_TOO_SMALL: (key) => `has ${describe(key)}, which is too small for the TLS library`,
  ERR_SSL_CA_MD_TOO_WEAK: () => 'is signed with a digest that is too weak for the TLS library',
};

function describe({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): string {
  if (details?.modulusLength !== undefined) return `an RSA key of ${details.modulusLength} bits`;
  return details?.namedCurve === undefined
    ? `a key of type ${asymmetricKeyType}`
    : `a key on the curve ${details.namedCurve}`;
}

/** One text for each list: Node reads only the first list of a text. */
function parseRevocationLists(pem: Buffer): string[] {
  parsePem(pem, 'X509 CRL');
  return parsePemBlocks(pem.toString()).map(({ text, number }) => {
    try {
      createSecureContext({ crl: text, ca: [] });
      return text;
    } catch {
      throw new PemError(number, 'holds no revocation list that can be read');
    }
  });
}
