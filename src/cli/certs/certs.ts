// Command `portcullis certs`: a small private certificate authority in a directory, for those who have none.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { createAuthorityStore, type IssuedRecord, naming, openAuthorityStore } from '../../pki/store.ts';
import type { CommandOutput } from '../output.ts';
import { formatTable } from '../table.ts';
import { issueCommand, renewCommand } from './certs-issue.ts';
import {
  type AuthorityFolder,
  type CertsContext,
  caOption,
  dayMs,
  dayOf,
  daysOption,
  inDays,
  namesOf,
  print,
  revocationListDays,
  subjectOf,
} from './certs-shared.ts';

const authorityDays = 1825;
/** `list` marks what ends sooner. */
const soonMs = 30 * dayMs;

/** Exit code 0: done; 1: it cannot be done, such as for a serial number that nobody issued; 2: an option is invalid. */
export function certsCommand(output: CommandOutput = process, now: () => number = Date.now): Command {
  const context = { output, now };
  const command = new Command('certs');
  for (const each of [caCommand, issueCommand, renewCommand, revokeCommand, crlCommand, listCommand]) {
    command.addCommand(each(context));
  }
  return command;
}

function caCommand(context: CertsContext): Command {
  return new Command('ca')
    .description('create an authority in a directory: key, certificate and an empty CRL')
    .addOption(caOption())
    .option('--common-name <name>', 'name of the authority', 'Portcullis clients')
    .option('--organization <name>', 'organization in all names', 'Portcullis')
    .addOption(daysOption(authorityDays))
    .option('--json', 'print the result as JSON')
    .action(async (options: AuthorityFolder & { commonName: string; organization: string; days: number }) => {
      const { ca, commonName, days, json, organization } = options;
      const notAfter = inDays(days, context);
      const authority = { commonName, organization, notAfter };
      const { files } = await createAuthorityStore(ca, authority, inDays(revocationListDays, context));
      const { certificate: clientCaFile, revocationList: clientCrlFile } = files;
      const tls = { clientCertificates: 'optional', clientCaFile, clientCrlFile };
      const lines = [
        `${ca}: a new authority, good until ${dayOf(notAfter)}`,
        `Keep ${ca}/ca.key off the gateway: its holder can be any client. The gateway needs two other files:`,
        '',
        stringify({ server: { tls } }),
      ];
      print(context, json, { caFile: clientCaFile, crlFile: clientCrlFile, notAfter }, lines.join('\n'));
    });
}

function revokeCommand(context: CertsContext): Command {
  return new Command('revoke')
    .description('revoke a certificate that the authority issued, and write the CRL')
    .addOption(caOption())
    .argument('<certificate>', 'its file or its serial number')
    .option('--json', 'print the result as JSON')
    .action(async (named: string, { ca, json }: AuthorityFolder) => {
      const store = await openAuthorityStore(ca);
      const serialNumber = await serialNumberOf(named);
      const nextUpdate = inDays(revocationListDays, context);
      const isNew = await store.revoke(serialNumber, new Date(context.now()), nextUpdate);
      const crlFile = store.files.revocationList;
      const text = `${serialNumber} ${isNew ? 'is revoked' : 'was revoked before'}; ${crlFile} is new. Put it where server.tls.clientCrlFile is: the gateway takes it without a restart.`;
      print(context, json, { serialNumber, crlFile, alreadyRevoked: !isNew }, text);
    });
}

function crlCommand(context: CertsContext): Command {
  return new Command('crl')
    .description('write the CRL anew; the gateway refuses every client certificate once it is overdue')
    .addOption(caOption())
    .addOption(daysOption(revocationListDays))
    .option('--json', 'print the result as JSON')
    .action(async ({ ca, days, json }: AuthorityFolder & { days: number }) => {
      const store = await openAuthorityStore(ca);
      const nextUpdate = inDays(days, context);
      await store.writeRevocationList(nextUpdate);
      const crlFile = store.files.revocationList;
      print(context, json, { crlFile, nextUpdate }, `${crlFile}: good until ${dayOf(nextUpdate)}`);
    });
}

function listCommand(context: CertsContext): Command {
  return new Command('list')
    .description('the certificates that the authority issued, the first to end first')
    .addOption(caOption())
    .option('--json', 'print them as JSON')
    .action(async ({ ca, json }: AuthorityFolder) => {
      const store = await openAuthorityStore(ca);
      const rows = (await store.list()).map((record) => rowOf(record, context.now()));
      const { validToDate: notAfter } = new X509Certificate(store.authority.certificatePem);
      const table = {
        columns: ['serial', 'until', 'state', 'names'],
        rows: rows.map((row) => [row.serialNumber, dayOf(row.notAfter), row.state, row.names.join(', ')]),
      };
      const text = `authority until ${dayOf(notAfter)}\n\n${formatTable(table, 'table').trimEnd()}`;
      print(context, json, { notAfter, certificates: rows }, text);
    });
}

const serialNumberText = /^(?:0x)?([0-9A-Fa-f:]{2,60})$/;

async function serialNumberOf(named: string): Promise<string> {
  const [, digits] = serialNumberText.exec(named) ?? [];
  if (digits !== undefined) return digits.replaceAll(':', '').toUpperCase();
  return naming(named, async () => new X509Certificate(await readFile(named)).serialNumber);
}

function rowOf({ certificate, revokedAt, serialNumber }: IssuedRecord, now: number) {
  const { validFromDate: notBefore, validToDate: notAfter } = certificate;
  const left = notAfter.getTime() - now;
  const ending = left <= 0 ? 'expired' : left < soonMs ? 'ends soon' : 'good';
  const state = revokedAt === undefined ? ending : 'revoked';
  return { serialNumber, names: namesOf(subjectOf(certificate)), notBefore, notAfter, state, revokedAt };
}
