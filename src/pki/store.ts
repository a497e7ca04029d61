// Directory of a private certificate authority: its certificate and key, the certificates that it issued, and its CRL (RFC 5280).
import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../errors.ts';
import { replaceFile } from '../replace-file.ts';
import {
  type AuthorityOptions,
  type CertificateAuthority,
  createCertificateAuthority,
  openCertificateAuthority,
} from './authority.ts';

/** The directory of an authority. One file a certificate, so that two commands at a time do not lose what the other wrote. */
export interface AuthorityStore {
  readonly authority: CertificateAuthority;
  /** Files for `clientCaFile` and `clientCrlFile`. */
  readonly files: { readonly certificate: string; readonly revocationList: string };
  /** Keeps a certificate that was issued. */
  add(certificatePem: string): Promise<void>;
  /** All certificates that were issued, the first to end first. */
  list(): Promise<readonly IssuedRecord[]>;
  /** Marks a certificate as revoked, and writes the CRL. False where it was revoked before. Throws an Error for a serial number that is not one of its own. */
  revoke(serialNumber: string, at: Date, nextUpdate: Date): Promise<boolean>;
  /** Writes the CRL of all revoked certificates. */
  writeRevocationList(nextUpdate: Date): Promise<void>;
}

/** An issued certificate. */
export interface IssuedRecord {
  readonly certificate: X509Certificate;
  /** Upper-case hex. */
  readonly serialNumber: string;
  readonly revokedAt: Date | undefined;
}

const privateMode = 0o600;
const privateFolderMode = 0o700;

/** Creates an authority in the directory, with an empty CRL. Throws an Error with a public message where one is there already, or it cannot be written. */
export async function createAuthorityStore(
  folder: string,
  options: AuthorityOptions,
  nextUpdate: Date,
): Promise<AuthorityStore> {
  const authority = await createCertificateAuthority(options);
  await naming(folder, async () => {
    await mkdir(folder, { recursive: true, mode: privateFolderMode });
    for (const each of ['issued', 'revoked']) await mkdir(join(folder, each), { recursive: true });
    // The key first: without its certificate nothing can be issued, and it is never written over.
    await writeFile(join(folder, 'ca.key'), authority.keyPem, { flag: 'wx', mode: privateMode });
    await writeFile(join(folder, 'ca.crt'), authority.certificatePem, { flag: 'wx' });
  });
  const store = storeOf(folder, authority);
  await store.writeRevocationList(nextUpdate);
  return store;
}

/** Opens the authority in the directory. Throws an Error with a public message where there is none. */
export async function openAuthorityStore(folder: string): Promise<AuthorityStore> {
  const read = (name: string) => naming(join(folder, name), () => readFile(join(folder, name), 'utf8'));
  const [certificate, key] = [await read('ca.crt'), await read('ca.key')];
  return storeOf(folder, await naming(folder, () => openCertificateAuthority(certificate, key)));
}

function storeOf(folder: string, authority: CertificateAuthority): AuthorityStore {
  const files = { certificate: join(folder, 'ca.crt'), revocationList: join(folder, 'ca.crl') };
  const issuedPath = (serialNumber: string) => join(folder, 'issued', `${serialNumber}.crt`);
  const revokedPath = (serialNumber: string) => join(folder, 'revoked', serialNumber);

  async function revoked(): Promise<Map<string, Date>> {
    const names = await naming(join(folder, 'revoked'), () => readdir(join(folder, 'revoked')));
    const entries = names.map(async (name) => {
      const text = await naming(revokedPath(name), () => readFile(revokedPath(name), 'utf8'));
      return [name, new Date(text.trim())] as const;
    });
    return new Map(await Promise.all(entries));
  }

  async function list(): Promise<IssuedRecord[]> {
    const names = await naming(join(folder, 'issued'), () => readdir(join(folder, 'issued')));
    const ends = await revoked();
    const records = names.map(async (name) => {
      const path = join(folder, 'issued', name);
      const certificate = await naming(path, async () => new X509Certificate(await readFile(path)));
      const { serialNumber } = certificate;
      return { certificate, serialNumber, revokedAt: ends.get(serialNumber) };
    });
    const all = await Promise.all(records);
    return all.sort((one, other) => one.certificate.validToDate.getTime() - other.certificate.validToDate.getTime());
  }

  async function writeRevocationList(nextUpdate: Date): Promise<void> {
    const revokedAt = await revoked();
    const crl = await authority.revoke([...revokedAt.keys()], { nextUpdate, revokedAt });
    await naming(files.revocationList, () => replaceFile(files.revocationList, crl));
  }

  return {
    authority,
    files,
    list,
    writeRevocationList,
    async add(certificatePem) {
      const path = issuedPath(new X509Certificate(certificatePem).serialNumber);
      await naming(path, () => writeFile(path, certificatePem, { flag: 'wx' }));
    },
    async revoke(serialNumber, at, nextUpdate) {
      const known = (await list()).find((record) => record.serialNumber === serialNumber);
      if (known === undefined)
        throw new Error(`${folder} has issued no certificate with the serial number ${serialNumber}`);
      if (known.revokedAt === undefined) {
        await naming(revokedPath(serialNumber), () => replaceFile(revokedPath(serialNumber), `${at.toISOString()}\n`));
      }
      await writeRevocationList(nextUpdate);
      return known.revokedAt === undefined;
    },
  };
}

/** Names the file in errors of the file system. */
export async function naming<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) {
      throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
    }
    const { code, path: at = path } = error as NodeJS.ErrnoException;
    const problem = code === 'EEXIST' ? 'it exists already and is not written over' : fileProblem(error);
    throw new Error(`${at}: ${problem}`, { cause: error });
  }
}
