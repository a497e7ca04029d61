// TLS contexts from PEM files (RFC 7468): built the same way by `check`, at the start and for every reload.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { type PemBlock, parsePemBlocks } from '../pem.ts';

/** The content of every file that the configuration names, by absolute path. */
export type Files = ReadonlyMap<string, Buffer>;

/** A key of the configuration, such as `certFile`, and the path that stands there. */
export interface NamedFile {
  readonly key: string;
  readonly path: string;
}

export interface ContextFiles {
  readonly cert?: NamedFile | undefined;
  readonly key?: NamedFile | undefined;
  readonly ca?: NamedFile | undefined;
  readonly crl?: NamedFile | undefined;
}

export interface BuiltContext {
  /** What the context was built from; builds another one like it. */
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
}

/** A file that TLS cannot use. The message names the key, the file and where it can the PEM block. */
export class SecureContextError extends Error {
  /** The key below the section, such as `certFile`. */
  readonly key: string;
  /** What is wrong with the file, without its name. */
  readonly reason: string;

  constructor(section: string, { key, path }: NamedFile, reason: string, cause?: unknown) {
    super(`${section}.${key}: ${path}: ${reason}`, { cause });
    this.name = 'SecureContextError';
    this.key = key;
    this.reason = reason;
  }
}

type Use = keyof ContextFiles;

/**
 * Builds the context of the section, such as `server.tls`, from its files. Throws a SecureContextError for a file that is missing, damaged in any
 * of its blocks, or refused by the TLS library, and for a key that is not the certificate's.
 */
export function buildSecureContext(
  section: string,
  named: ContextFiles,
  files: Files,
  options: Pick<SecureContextOptions, 'minVersion' | 'secureOptions'>,
): BuiltContext {
  const read = (use: Use): string | undefined => {
    const file = named[use];
    if (file === undefined) return undefined;
    const pem = files.get(file.path)?.toString() ?? '';
    try {
      checkFile(use, pem);
    } catch (error) {
      throw new SecureContextError(section, file, (error as Error).message, (error as Error).cause);
    }
    return pem;
  };
  const [cert, key, ca, crl] = [read('cert'), read('key'), read('ca'), read('crl')];
  if (cert !== undefined && key !== undefined && !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new SecureContextError(section, named.key!, `is not the key of the first certificate in ${named.cert!.key}`);
  }
  const built: SecureContextOptions = {
    ...options,
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca }),
    // Node reads only the first list of a text.
    ...(crl !== undefined && { crl: parsePemBlocks(crl).map(({ text }) => text) }),
  };
  return { options: built, context: createSecureContext(built) };
}

function checkFile(use: Use, pem: string): void {
  if (pem === '') throw new Error('is missing or empty');
  checks[use](parsePemBlocks(pem), pem);
}

const checks: Readonly<Record<Use, (blocks: readonly PemBlock[], pem: string) => void>> = {
  cert: checkChain,
  key: (_, pem) => attempt(undefined, () => createSecureContext({ key: pem })),
  // The library takes what it can read of it, and drops the rest in silence.
  ca: (blocks) => checkEach(blocks, certificateBlock, ({ text }) => new X509Certificate(text)),
  crl: (blocks) => checkEach(blocks, revocationListBlock, ({ text }) => createSecureContext({ crl: text })),
};

/** The library reads certificates in their order and passes over other blocks: the first part of the file that fails alike ends with the bad block. */
function checkChain(blocks: readonly PemBlock[], pem: string): void {
  const failure = failureOf(pem);
  if (failure === undefined) return;
  const texts = blocks.map(({ text }) => text);
  const part = texts.findIndex((_, index) => failureOf(texts.slice(0, index + 1).join(''))?.code === failure.code);
  attempt(part < 1 ? undefined : part + 1, () => {
    throw failure;
  });
}

function failureOf(cert: string): NodeJS.ErrnoException | undefined {
  try {
    createSecureContext({ cert });
    return undefined;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const certificateBlock = { label: /^(?:X509 |TRUSTED )?CERTIFICATE$/, name: 'certificate' };
const revocationListBlock = { label: /^X509 CRL$/, name: 'revocation list' };

function checkEach(
  blocks: readonly PemBlock[],
  kind: { readonly label: RegExp; readonly name: string },
  parse: (block: PemBlock) => unknown,
): void {
  const ofKind = blocks.filter(({ label }) => kind.label.test(label));
  if (ofKind.length === 0) throw new Error(`holds no PEM ${kind.name}`);
  for (const block of ofKind) attempt(blocks.length === 1 ? undefined : block.number, () => parse(block));
}

function attempt(block: number | undefined, use: () => unknown): void {
  try {
    use();
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    const reason = reasons[code] ?? `cannot be used: ${message.replace(/^error:[0-9A-F]+:/, '')}`;
    throw new Error(block === undefined ? reason : `PEM block ${block}: ${reason}`, { cause });
  }
}

/** OpenSSL's words are for programmers. */
const reasons: Readonly<Record<string, string>> = {
  ERR_OSSL_PEM_NO_START_LINE: 'holds no PEM certificate',
  ERR_OSSL_ASN1_TOO_LONG: 'is cut off or damaged',
  ERR_OSSL_ASN1_HEADER_TOO_LONG: 'is cut off or damaged',
  ERR_OSSL_UNSUPPORTED: 'holds no PEM private key',
  ERR_OSSL_BAD_DECRYPT: 'holds an encrypted key',
  ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED: 'holds an encrypted key',
  ERR_SSL_EE_KEY_TOO_SMALL: 'has a key that is too small for the TLS library',
  ERR_SSL_CA_KEY_TOO_SMALL: 'has a key that is too small for the TLS library',
  ERR_SSL_CA_MD_TOO_WEAK: 'is signed with a digest that is too weak for the TLS library',
  ERR_CRYPTO_OPERATION_FAILED: 'is cut off or damaged',
};
