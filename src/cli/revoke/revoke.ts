// Command `portcullis revoke`: entries of the revocation file, written while the gateway runs.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { acquireLock } from '../../audit/sinks/file/lock.ts';
import { parseCertificate } from '../../authn/certificate/x509.ts';
import { editYaml, type YamlEdit } from '../../config/edit-yaml.ts';
import { parseRevocationFile } from '../../config/files/revocation-file.ts';
import { type LoadedConfig, loadConfig } from '../../config/load.ts';
import { date } from '../../config/schema/values.ts';
import { fileProblem } from '../../errors.ts';
import { printable, printableLines } from '../../printable.ts';
import { replaceFile } from '../../replace-file.ts';
import { type CommandOutput, collectNames, misuse, noteTo } from '../output.ts';
import { formatJson } from '../table.ts';
import { type OpenStreams, openStreamsOf } from './open-streams.ts';
import { describeRevocation, knownCredentials, type Revocation, unknownNames } from './revocation-names.ts';

interface RevokeOptions extends Revocation {
  readonly config?: string;
  readonly file?: string;
  readonly reason?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Exit code 0: the file says so; 1: it could not be written; 2: nothing of that name is known, or the options make no sense. */
export function revokeCommand(
  output: CommandOutput = process,
  now: () => number = Date.now,
  env: NodeJS.ProcessEnv = process.env,
): Command {
  const many = (text: string) => [`${text}; may be repeated`, collectNames, [] as string[]] as const;
  return new Command('revoke')
    .option('-c, --config <file>', 'the configuration file, which names the revocation file')
    .option('--file <file>', 'the revocation file, where the configuration cannot be read; names are not checked')
    .option('--key <id>', ...many('id of an API key'))
    .option('--client <id>', ...many('client, with all its keys, tokens and certificates'))
    .option('--subject <subject>', ...many('subject of tokens, or identity of certificates'))
    .option('--jti <id>', ...many('id of a token'))
    .option('--certificate <name>', ...many('PEM file, serial number, or sha256: fingerprint'))
    .option('--issued-before <instant>', 'all tokens issued before this instant', parseInstant)
    .option('--reason <text>', 'stands as a comment beside the entries')
    .option('--force', 'also names that the configuration does not have, and an instant in the future')
    .option('--dry-run', 'say what would be revoked, and write nothing')
    .option('--json', 'print the result as JSON')
    .action(async (options: RevokeOptions) => {
      const { key, client, subject, jti, certificate, issuedBefore } = options;
      if ([key, client, subject, jti, certificate].every((names) => names.length === 0) && issuedBefore === undefined) {
        return misuse(
          output,
          'nothing to revoke: give --key, --client, --subject, --jti, --certificate or --issued-before',
        );
      }
      if ((options.config === undefined) === (options.file === undefined))
        return misuse(output, 'give either -c or --file');
      const revocation = { ...options, certificate: await Promise.all(certificate.map(certificateName)) };
      const loaded =
        options.config === undefined
          ? undefined
          : await loadConfig(options.config, { env, now, revocationsMayBeMissing: true });
      const path = options.file ?? loaded?.config.revocation?.file;
      if (path === undefined) {
        const remedy = `add \`revocation: {file: revoked.yaml}\` to ${options.config} and reload`;
        return misuse(output, `${options.config} names no revocation file: ${remedy}; this command makes the file`);
      }
      const known = loaded && knownCredentials(loaded.config);
      const unknown = known === undefined || options.force === true ? [] : unknownNames(revocation, known);
      const isLater = issuedBefore !== undefined && options.force !== true && Date.parse(issuedBefore) > now();
      if (isLater)
        unknown.push(`--issued-before ${issuedBefore} lies in the future: until then every token is refused`);
      if (unknown.length > 0) return misuse(output, `${unknown.join('; ')}. --force revokes it all the same`);
      // Before they end.
      const streams = loaded === undefined ? undefined : await streamsOf(loaded, revocation);
      const isNew =
        options.dryRun !== true &&
        (await write(path, revocation, printable(`${new Date(now()).toISOString()} ${options.reason ?? ''}`.trim())));
      if (isNew) noteTo(output)(`${path} is new. What a former file of this name revoked has to be added again`);
      const effects = describeRevocation(revocation, known);
      output.stdout.write(
        options.json === true
          ? formatJson({ file: path, written: options.dryRun !== true, effects, streams })
          : `${printableLines(describe(path, options.dryRun === true, effects, streams))}\n`,
      );
    });
}

/** Adds what the file does not say yet. Two commands at a time do not lose what the other wrote. True where there was no file. */
async function write(path: string, revocation: Revocation, comment: string): Promise<boolean> {
  const lock = await acquireLock(path);
  try {
    const found = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new Error(`${path}: ${fileProblem(error)}`, { cause: error });
    });
    const text = found ?? '';
    const isEmpty = text.replaceAll(/^\s*(#.*)?$/gm, '') === '';
    const { entries } = isEmpty ? { entries: undefined } : parseRevocationFile(path, Buffer.from(text)).list;
    const lists = {
      keyIds: revocation.key,
      clientIds: revocation.client,
      subjects: revocation.subject,
      jti: revocation.jti,
      certificates: revocation.certificate,
    };
    const edits = Object.entries(lists).flatMap(([list, names]): YamlEdit[] => {
      const before: readonly string[] = entries?.[list as keyof typeof lists] ?? [];
      const added = [...new Set(names)].filter((name) => !before.includes(name));
      return added.map((add) => ({ add, path: [list], comment }));
    });
    const { issuedBefore } = revocation;
    if (issuedBefore !== undefined && Date.parse(issuedBefore) > (entries?.issuedBefore ?? 0)) {
      edits.push({ set: 'issuedBefore', value: issuedBefore, path: [] });
    }
    const edited = editYaml(text, edits);
    // A list that the gateway would refuse must not replace the one in force.
    parseRevocationFile(path, Buffer.from(edited));
    if (edits.length > 0) await replaceFile(path, edited);
    return found === undefined;
  } finally {
    await lock.release();
  }
}

function streamsOf({ config }: LoadedConfig, revocation: Revocation): Promise<OpenStreams> {
  return openStreamsOf(config.admin.listen, ({ clientId, credentialIds }) => {
    if (clientId !== undefined && revocation.client.some((name) => name === clientId || name.endsWith(`/${clientId}`)))
      return true;
    const ids = [...revocation.key, ...revocation.jti, ...revocation.certificate];
    return credentialIds.some((id) => ids.some((name) => name === id || name.endsWith(`/${id}`)));
  });
}

function describe(path: string, isDry: boolean, effects: readonly string[], streams: OpenStreams | undefined): string {
  return [
    isDry ? `${path} would say:` : `${path} says:`,
    ...effects.map((effect) => `- ${effect}`),
    isDry
      ? 'Nothing was written.'
      : 'A running gateway refuses them within a second, and ends their streams within five.',
    ...(streams === undefined ? [] : [streams.sentence]),
  ].join('\n');
}

/** A serial number or fingerprint as it is, or the fingerprint of the certificate in a file. */
async function certificateName(name: string): Promise<string> {
  if (/^(sha256:)?[0-9A-Fa-f:]+$/.test(name)) return name.toLowerCase();
  try {
    const parsed = parseCertificate(new X509Certificate(await readFile(name)));
    if (parsed !== undefined) return parsed.fingerprint;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== undefined)
      throw new Error(`${name}: ${fileProblem(error)}`, { cause: error });
  }
  throw new Error(`${name}: it holds no certificate that can be read`);
}

function parseInstant(text: string): string {
  const parsed = date.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('Expected an instant such as 2026-12-31T12:00:00Z.');
  return text;
}
