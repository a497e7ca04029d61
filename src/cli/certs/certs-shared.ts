// Options and output that the commands of `portcullis certs` share.
import type { X509Certificate } from 'node:crypto';
import { InvalidArgumentError, Option } from 'commander';
import { parseCertificate } from '../../authn/certificate/x509.ts';
import type { IssueOptions } from '../../pki/authority.ts';
import { printableLines } from '../../printable.ts';
import type { CommandOutput } from '../output.ts';
import { formatJson } from '../table.ts';

/** Options of each of the commands. */
export interface AuthorityFolder {
  readonly ca: string;
  readonly json?: boolean;
}

/** Surroundings of each of the commands. */
export interface CertsContext {
  readonly output: CommandOutput;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export const dayMs = 86_400_000;
export const revocationListDays = 30;

/** `--ca` */
export function caOption(): Option {
  return new Option('--ca <folder>', 'the directory of the authority').makeOptionMandatory();
}

/** `--days` */
export function daysOption(days: number): Option {
  return new Option('--days <n>', 'days until its end').default(days).argParser((text) => {
    if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('Expected a number of days, at least 1.');
    return Number(text);
  });
}

/** The instant so many days from now. */
export function inDays(days: number, { now }: CertsContext): Date {
  return new Date(now() + days * dayMs);
}

/** Prints the result as JSON, or as text. */
export function print({ output }: CertsContext, json: boolean | undefined, result: object, text: string): void {
  output.stdout.write(json === true ? formatJson(result) : `${printableLines(text)}\n`);
}

/** A day in UTC, such as `2027-02-26`. */
export function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** The names and usage of a certificate, for another one of the same. Throws an Error where it cannot be read. */
export function subjectOf(
  certificate: X509Certificate,
): Required<Pick<IssueOptions, 'commonName' | 'dnsNames' | 'uris' | 'ips'>> {
  const parsed = parseCertificate(certificate);
  if (parsed === undefined) throw new Error('the certificate cannot be read');
  const ips = [...(certificate.subjectAltName ?? '').matchAll(/(?:^|, )IP Address:([^,]+)/g)];
  const { commonNames: commonName, dnsNames, uris, extendedKeyUsage = [] } = parsed;
  const subject = { commonName, dnsNames, uris, ips: ips.map(([, address]) => address!), extendedKeyUsage };
  return subject;
}

/** All names, for a person. */
export function namesOf({ commonName = [], dnsNames = [], uris = [], ips = [] }: IssueOptions): string[] {
  return [...(typeof commonName === 'string' ? [commonName] : commonName), ...dnsNames, ...uris, ...ips];
}
