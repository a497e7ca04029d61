// Commands `portcullis certs issue` and `renew`: new certificates of the private authority.
import { X509Certificate } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { stringify } from 'yaml';
import type { IssuedCertificate, IssueOptions } from '../../pki/authority.ts';
import { type AuthorityStore, naming, openAuthorityStore } from '../../pki/store.ts';
import { replaceFile } from '../../replace-file.ts';
import { collectNames, misuse, parseName } from '../output.ts';
import {
  type AuthorityFolder,
  type CertsContext,
  caOption,
  dayOf,
  daysOption,
  inDays,
  namesOf,
  print,
  revocationListDays,
  subjectOf,
} from './certs-shared.ts';

const certificateDays = 90;
const privateMode = 0o600;

interface IssueCommandOptions extends AuthorityFolder {
  readonly commonName?: string;
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly ip: readonly string[];
  readonly server?: boolean;
  readonly days: number;
  readonly out: string;
  readonly csr?: string;
  readonly clientId?: string;
}

/** Never overwrites a file. */
export function issueCommand(context: CertsContext): Command {
  return new Command('issue')
    .description('issue a certificate with a new key, or for the key of a request')
    .addOption(caOption())
    .option('--common-name <name>', 'common name', parseName)
    .option('--dns <name>', 'DNS name; may be repeated', collectNames, [])
    .option('--uri <uri>', 'URI, such as spiffe://corp/agent; may be repeated', collectNames, [])
    .option('--ip <address>', 'IP address; may be repeated', collectNames, [])
    .option('--server', 'for a server; default for a client')
    .option('--csr <file>', 'PKCS #10 request in PEM: its key is taken, its names are not')
    .option('--client-id <id>', 'print the entry of an mtls allowlist for this client', parseName)
    .requiredOption('--out <path>', 'path without ending: .crt and .key are added')
    .addOption(daysOption(certificateDays))
    .option('--json', 'print the result as JSON')
    .action(async (options: IssueCommandOptions) => {
      const subject = wantedSubject(options);
      const names = namesOf(subject);
      if (names.length === 0) return misuse(context.output, 'give a name: --common-name, --dns, --uri or --ip');
      const store = await openAuthorityStore(options.ca);
      const wanted = { ...subject, notAfter: endWithin(store, inDays(options.days, context)) };
      const issued = await issue(store, wanted, options.csr);
      const files = await createFiles(options.out, issued);
      await store.add(issued.certificatePem);
      const { serialNumber } = issued;
      const { notAfter } = wanted;
      const text = [
        `${Object.values(files).join(' and ')}: ${names.join(', ')}, serial ${serialNumber}, until ${dayOf(notAfter)}`,
        ...(options.clientId === undefined ? [] : ['', allowEntry(subject, options.clientId)]),
      ];
      print(context, options.json, { serialNumber, ...files, names, notAfter }, text.join('\n'));
    });
}

/** The new key and certificate replace the old files, one after the other; the gateway reads them when both are still. */
export function renewCommand(context: CertsContext): Command {
  return new Command('renew')
    .description(
      'replace a certificate and its key by new ones of the same names; the old one stays good until its end',
    )
    .addOption(caOption())
    .argument('<certificate>', 'its file, whose key stands beside it as .key')
    .option('--key <file>', 'file of the key')
    .option('--revoke', 'revoke the old one at once')
    .addOption(daysOption(certificateDays))
    .option('--json', 'print the result as JSON')
    .action(async (certFile: string, options: AuthorityFolder & { key?: string; days: number; revoke?: boolean }) => {
      const store = await openAuthorityStore(options.ca);
      const old = await naming(certFile, async () => new X509Certificate(await readFile(certFile)));
      const replaced = old.serialNumber;
      const isOwn = (await store.list()).some(({ serialNumber }) => serialNumber === replaced);
      if (!isOwn) throw new Error(`${certFile}: ${options.ca} did not issue it`);
      const keyFile = options.key ?? certFile.replace(/(\.crt|\.pem)?$/, '.key');
      const notAfter = endWithin(store, inDays(options.days, context));
      const issued = await store.authority.issue({ ...subjectOf(old), notAfter });
      await store.add(issued.certificatePem);
      await naming(keyFile, () => replaceFile(keyFile, issued.keyPem, privateMode));
      await naming(certFile, () => replaceFile(certFile, issued.certificatePem));
      if (options.revoke === true) {
        await store.revoke(replaced, new Date(context.now()), inDays(revocationListDays, context));
      }
      const { serialNumber } = issued;
      const fate = options.revoke === true ? 'is revoked' : `stays good until ${dayOf(old.validToDate)}`;
      const text = `${certFile} and ${keyFile}: serial ${serialNumber}, until ${dayOf(notAfter)}; ${replaced} ${fate}`;
      print(context, options.json, { serialNumber, replaced, certFile, keyFile, notAfter }, text);
    });
}

type Issued = Omit<IssuedCertificate, 'keyPem'> & Partial<IssuedCertificate>;

async function issue({ authority }: AuthorityStore, wanted: IssueOptions, csr: string | undefined): Promise<Issued> {
  if (csr === undefined) return authority.issue(wanted);
  return naming(csr, async () => authority.sign(await readFile(csr, 'utf8'), wanted));
}

function wantedSubject({ commonName, dns, uri, ip, server }: IssueCommandOptions): IssueOptions {
  const names = { dnsNames: dns, uris: uri, ips: ip, server: server === true };
  return commonName === undefined ? names : { ...names, commonName };
}

/** A certificate that outlives its authority is of no use. */
function endWithin({ authority }: AuthorityStore, wanted: Date): Date {
  const { validToDate } = new X509Certificate(authority.certificatePem);
  return wanted < validToDate ? wanted : validToDate;
}

/** Both or none. */
async function createFiles(out: string, { certificatePem, keyPem }: Issued): Promise<Readonly<Record<string, string>>> {
  const certFile = `${out}.crt`;
  await naming(certFile, () => writeFile(certFile, certificatePem, { flag: 'wx' }));
  if (keyPem === undefined) return { certFile };
  const keyFile = `${out}.key`;
  try {
    await naming(keyFile, () => writeFile(keyFile, keyPem, { flag: 'wx', mode: privateMode }));
  } catch (error) {
    await rm(certFile, { force: true });
    throw error;
  }
  return { certFile, keyFile };
}

function allowEntry(
  { commonName, dnsNames: [dnsName] = [], uris: [uri] = [] }: IssueOptions,
  clientId: string,
): string {
  const name = commonName === undefined ? (uri === undefined ? { dnsName } : { uri }) : { commonName };
  return `Its entry, below allow: of an mtls authenticator; it grants no scopes before it names them:\n\n${stringify([{ ...name, clientId }])}`;
}
