// Checks of the certificates, keys and revocation lists that the file names.
import type { X509Certificate } from 'node:crypto';
import { parseCertificates, parsePrivateKey, parseRevocationLists, subjectOf } from './pem.ts';
import type { Path } from './problem.ts';
import type { Review } from './review.ts';

/** The certificates behind a key of the file; undefined, and reported, when they cannot be used. */
export function certificatesAt(review: Review, path: Path, file: string | undefined): X509Certificate[] | undefined {
  return readAt(review, path, file, parseCertificates);
}

/** Certificate and key must be readable and belong together. */
export function checkKeyPair(review: Review, base: Path, certFile?: string, keyFile?: string): void {
  const certificates = certificatesAt(review, [...base, 'certFile'], certFile);
  const key = readAt(review, [...base, 'keyFile'], keyFile, parsePrivateKey);
  const leaf = certificates?.[0];
  if (leaf === undefined) return;
  if (key !== undefined && !leaf.checkPrivateKey(key)) {
    review.error([...base, 'keyFile'], 'is not the key of the first certificate in certFile');
  }
  if (leaf.validToDate.getTime() <= review.now) {
    review.warn([...base, 'certFile'], `the certificate expired on ${day(leaf.validToDate.getTime())}`);
  }
}

/** Authorities only: a listed leaf would be trusted for itself, and a file without any for nobody or, worse, everybody. */
export function authoritiesAt(review: Review, path: Path, file: string | undefined): X509Certificate[] | undefined {
  const certificates = certificatesAt(review, path, file);
  if (certificates === undefined) return undefined;
  if (!certificates.some((certificate) => certificate.ca)) {
    review.error(path, 'the file holds no CA certificate');
    return undefined;
  }
  if (certificates.some((certificate) => !certificate.ca)) {
    review.error(path, 'the file holds a certificate that is no CA');
    return undefined;
  }
  for (const certificate of certificates) {
    const ends = certificate.validToDate.getTime();
    if (ends <= review.now)
      review.warn(path, `the CA certificate ${review.show(subjectOf(certificate))} expired on ${day(ends)}`);
  }
  return certificates;
}

/** An expired list would refuse every client of its authority, and so would an authority without a list. */
export function checkRevocationLists(
  review: Review,
  path: Path,
  file: string | undefined,
  authorities: readonly X509Certificate[] | undefined,
): void {
  const lists = readAt(review, path, file, parseRevocationLists);
  if (lists === undefined) return;
  for (const { nextUpdate } of lists) {
    if (nextUpdate !== undefined && nextUpdate <= review.now) {
      review.error(path, `the revocation list expired on ${day(nextUpdate)}`);
    }
  }
  const issuers = new Set(lists.map((list) => list.issuer));
  for (const authority of authorities ?? []) {
    const subject = subjectOf(authority);
    if (!issuers.has(subject)) {
      review.error(
        path,
        `the file holds no revocation list of the authority ${review.show(subject)}; its clients would all be refused`,
      );
    }
  }
}

/** A file that could not be read at all has been reported already. */
function readAt<T>(review: Review, path: Path, file: string | undefined, parse: (content: Buffer) => T): T | undefined {
  const content = file === undefined ? undefined : review.files.get(file);
  if (content === undefined) return undefined;
  try {
    return parse(content);
  } catch (error) {
    review.error(path, (error as Error).message);
    return undefined;
  }
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
