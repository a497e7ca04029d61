// Revocation file (`revocation.file`): read as strictly as the configuration, with problems placed in it.
import { hash } from 'node:crypto';
import { join, relative } from 'node:path';
import * as z from 'zod';
import { countEntries, noEntries, type RevocationEntries } from '../../authn/caller/revocations.ts';
import { canonicalSerialNumber } from '../../authn/certificate/x509.ts';
import type { Draft, Findings } from '../checks/context.ts';
import { ConfigError, type Problem } from '../problem.ts';
import { nearest } from '../schema/suggestion.ts';
import { date } from '../schema/values.ts';
import { shapeProblems } from '../schema-errors.ts';
import { type LocatedYaml, parseLocatedYaml } from '../yaml.ts';
import { readRegularFile, stampOf } from './files.ts';

/** A list is read while requests wait; what has expired by itself need not stand in it. */
export const maxRevocationBytes = 1024 * 1024;
const maxRevocationEntries = 10_000;

const id = z
  .string('expected a string; put quotes around digits')
  .min(1)
  .max(577)
  .refine((text) => text.trim() === text, 'must not begin or end with a space');
const ids = z.array(id).default([]);
const certificateExpected =
  'expected a serial number in hexadecimal or a SHA-256 fingerprint, such as "0a:1b:2c" or "sha256:…", in quotes';
const certificate = z
  .string(certificateExpected)
  .transform((text) => parseCertificateName(text) ?? '')
  .refine((name) => name !== '', certificateExpected);

const revocationSchema = z.strictObject({
  jti: ids.describe('Ids of tokens.'),
  subjects: ids.describe('Subjects of tokens, and identities of certificates.'),
  clientIds: ids.describe('Clients whose tokens, keys and certificates are revoked.'),
  keyIds: ids.describe('Ids of API keys.'),
  certificates: z.array(certificate).default([]).describe('Serial numbers or SHA-256 fingerprints.'),
  issuedBefore: date.optional().describe('Tokens that were issued before this instant are revoked.'),
});

/** A list as it was read. */
export interface RevokedEntries {
  readonly entries: RevocationEntries;
  /** SHA-256 of the file in hex. */
  readonly digest: string;
}

/** The list of a configuration. */
export interface LoadedRevocations {
  /** Absolute. */
  readonly path: string;
  /** Undefined where `revocationsInForce` excused it: the last good one goes on. */
  readonly list: RevokedEntries | undefined;
  /** From before the file was read. */
  readonly stamp: string;
}

/** Options of `loadRevocations`. */
export interface RevocationOptions {
  /** The folder of the configuration, absolute, and as the operator named it. */
  readonly folder: string;
  readonly named: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The absolute path of the list that is in force; while that file is bad, the last good list goes on. */
  readonly revocationsInForce?: string | undefined;
  /** For who writes the list: a file that is not there is an empty one. */
  readonly revocationsMayBeMissing?: boolean;
  /** Takes the stamp of a list that is refused. */
  readonly stamps: Map<string, string>;
}

/** Reads the list that the configuration names, and adds its problems to `findings`. */
export async function loadRevocations(
  draft: Draft,
  options: RevocationOptions,
  findings: Findings,
  unreadable: (reason: string) => void,
): Promise<LoadedRevocations | undefined> {
  const path = draft.revocation?.file;
  if (path === undefined) return undefined;
  const stamp = await stampOf(path);
  try {
    const content = await readRevocationFile(path).catch((error: Error) => {
      const isMissing = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
      if (isMissing && options.revocationsMayBeMissing === true) return Buffer.from('{}');
      throw error;
    });
    const file = parseRevocationFile(join(options.named, relative(options.folder, path)), content);
    const context = { authenticators: Object.keys(draft.authenticators ?? {}), now: options.now };
    findings.warnings.push(...warningsOf(file, context));
    return { path, list: file.list, stamp };
  } catch (error) {
    if (path !== options.revocationsInForce) {
      options.stamps.set(path, stamp);
      if (error instanceof ConfigError) findings.problems.push(...error.problems);
      else unreadable((error as Error).message);
    }
    return { path, list: undefined, stamp };
  }
}

/** Reads the bytes of a revocation file. Throws an Error with a public message. */
export function readRevocationFile(path: string): Promise<Buffer> {
  return readRegularFile(path, maxRevocationBytes);
}

interface ParsedFile {
  readonly document: LocatedYaml;
  readonly list: RevokedEntries;
}

/** Parses and checks a whole list; `file` is how problems name it. Throws a ConfigError with every problem. */
export function parseRevocationFile(file: string, content: Buffer): ParsedFile {
  const document = parseLocatedYaml(file, content);
  const result = revocationSchema.safeParse(document.value);
  const problems = [
    ...document.problems,
    ...(result.success ? [] : shapeProblems(result.error, document.value, revocationSchema)).map(
      ({ path, message, at }) => document.problem(path, message, at),
    ),
  ];
  if (problems.length > 0 || !result.success) throw new ConfigError(problems);
  const entries: RevocationEntries = { ...noEntries, ...result.data };
  if (countEntries(entries) > maxRevocationEntries) {
    const message = `has more than ${maxRevocationEntries} entries; take out what has expired by itself`;
    throw new ConfigError([document.problem([], message)]);
  }
  return { document, list: { entries, digest: digestOf(content) } };
}

/** The SHA-256 digest of a file, in hexadecimal. */
export function digestOf(content: Buffer): string {
  return hash('sha256', content);
}

const certificateName = /^\s*(?:(sha-?256)(?:\s+fingerprint)?[:=]|serial(?:\s*number)?[:=])?\s*(?:0x)?(.+)$/i;

/** `0A:1B`, `0a1b`, `0x0A1B` and `serial=0A1B` are the serial number `a1b`; 64 digits are a fingerprint (serial numbers have at most 40). */
function parseCertificateName(text: string): string | undefined {
  if (text.length > 200) return undefined;
  const [, isFingerprint, spelled = ''] = certificateName.exec(text) ?? [];
  const digits = spelled.replace(/[:\s-]/g, '').toLowerCase();
  if (!/^[0-9a-f]+$/.test(digits)) return undefined;
  if (digits.length === 64) return `sha256:${digits}`;
  return isFingerprint === undefined && digits.length <= 42 ? canonicalSerialNumber(digits) : undefined;
}

/** An id that is qualified by a misspelt authenticator would revoke nothing. */
function warningsOf(
  { document, list: { entries } }: ParsedFile,
  context: { readonly authenticators: readonly string[]; readonly now: number },
): Problem[] {
  const warnings: Problem[] = [];
  if (entries.issuedBefore !== undefined && entries.issuedBefore > context.now) {
    warnings.push(document.problem(['issuedBefore'], 'lies in the future: until then every token is refused'));
  }
  for (const key of ['clientIds', 'keyIds'] as const) {
    for (const [index, entry] of entries[key].entries()) {
      const name = entry.slice(0, entry.indexOf('/'));
      const near = entry.includes('/') ? nearest(name, context.authenticators) : undefined;
      if (near === undefined || context.authenticators.includes(name)) continue;
      warnings.push(document.problem([key, index], `there is no authenticator "${name}" (did you mean "${near}"?)`));
    }
  }
  return warnings;
}
