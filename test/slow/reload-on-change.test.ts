// The files that a configuration names are watched from before they are read, also those of a configuration that is refused.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { type RunningGateway, runGateway } from '../../src/cli/serve.ts';
import { createLog } from '../../src/log.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { keyEntry } from '../support/configuration.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { readJsonLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';

const certificates = await createTestCertificates();
const fileSink = (path: string) => `{type: file, path: ${path}, fsync: never}`;

function yamlOf({ server = '', sinks = fileSink('audit.jsonl'), more = '' } = {}): string {
  return `version: 1
server: {listen: "127.0.0.1:0", publicUrl: "https://mcp.example.com"${server}}
admin: {listen: "127.0.0.1:0"}
routes: [{path: /health, authenticate: none, respond: {text: ok}}]
audit: {sinks: [${sinks}]}
${more}
`;
}

interface Folder {
  path(name: string): string;
  write(name: string, content: string): Promise<void>;
  /** Starts the gateway of `gateway.yaml` and stops it with the test. */
  run(): Promise<RunningGateway>;
  /** The events of the `config` records so far. */
  events(): Promise<unknown[]>;
  /** Waits until there have been so many reloads. */
  reloads(count: number): Promise<void>;
}

async function folderFor(t: Test, files: Readonly<Record<string, string>>): Promise<Folder> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = (name: string) => join(directory, name);
  const write = async (name: string, content: string) => {
    await mkdir(dirname(path(name)), { recursive: true });
    await writeFile(path(name), content);
  };
  for (const [name, content] of Object.entries(files)) await write(name, content);
  const events = async () => {
    const records = await readJsonLines<AuditRecord>(path('audit.jsonl'));
    return records.filter(({ stage }) => stage === 'config').map(({ detail }) => detail?.event);
  };
  return {
    path,
    write,
    async run() {
      const running = await runGateway({
        configFile: path('gateway.yaml'),
        log: createLog({ level: 'silent' }),
        env: {},
      });
      t.teardown(() => running.close());
      return running;
    },
    events,
    reloads: (count) =>
      until(async () => (await events()).filter((event) => event === 'reloaded').length === count, `${count} reloads`),
  };
}

/** A sink whose opening waits three seconds, for the lock of a process in another container. */
const waits = { sink: fileSink('waits/audit.jsonl'), files: { 'waits/audit.jsonl.lock': 'left behind' } };
const keys = (id: string) => stringify([keyEntry(id, `sk_${id.padEnd(43, 'x')}`)]);
const withKeys = 'authenticators: {keys: {type: apiKey, keysFile: keys.yaml}}';

t.test('a named file that changes while the start waits for a lock is read again', async (t) => {
  const folder = await folderFor(t, {
    ...waits.files,
    'gateway.yaml': yamlOf({ sinks: `${fileSink('audit.jsonl')}, ${waits.sink}`, more: withKeys }),
    'keys.yaml': keys('first'),
  });
  const starting = folder.run();
  await until(() => existsSync(folder.path('audit.jsonl.lock')), 'the files are read');
  await folder.write('keys.yaml', keys('another'));
  await starting;
  await folder.reloads(1);
  t.same(await folder.events(), ['started', 'reloaded']);
});

t.test('a file that is named first by a reload, and changes while that waits for a lock, is read again', async (t) => {
  const folder = await folderFor(t, { ...waits.files, 'gateway.yaml': yamlOf(), 'keys.yaml': keys('first') });
  await folder.run();
  await folder.write(
    'gateway.yaml',
    yamlOf({ sinks: [fileSink('audit.jsonl'), fileSink('fresh/audit.jsonl'), waits.sink].join(), more: withKeys }),
  );
  await until(() => existsSync(folder.path('fresh/audit.jsonl.lock')), 'the files are read');
  await folder.write('keys.yaml', keys('another'));
  await folder.reloads(2);
  t.same(await folder.events(), ['started', 'reloaded', 'reloaded']);
});

const refusedAtFirst: Readonly<Record<string, { yaml: string; before?: string; file: string; content: string }>> = {
  'a certificate that is not there yet': {
    yaml: yamlOf({ server: ', tls: {certFile: next.crt, keyFile: tls.key}' }),
    file: 'next.crt',
    content: certificates.files['tls.crt'],
  },
  'a certificate that does not fit its key yet': {
    yaml: yamlOf({ server: ', tls: {certFile: next.crt, keyFile: tls.key}' }),
    before: certificates.files['clients-ca.crt'],
    file: 'next.crt',
    content: certificates.files['tls.crt'],
  },
  'a revocation list that is not there yet': {
    yaml: yamlOf({ server: ', tls: {certFile: tls.crt, keyFile: tls.key}', more: 'revocation: {file: revoked.yaml}' }),
    file: 'revoked.yaml',
    content: 'clientIds: [reporting_tool]\n',
  },
};

for (const [input, { yaml, before, file, content }] of Object.entries(refusedAtFirst)) {
  t.test(
    `a configuration that is refused for ${input} is taken when that comes, though its own file is as it was`,
    async (t) => {
      const folder = await folderFor(t, {
        'tls.crt': certificates.files['tls.crt'],
        'tls.key': certificates.files['tls.key'],
        ...(before !== undefined && { [file]: before }),
        'gateway.yaml': yamlOf({ server: ', tls: {certFile: tls.crt, keyFile: tls.key}' }),
      });
      await folder.run();
      await folder.write('gateway.yaml', yaml);
      await until(async () => (await folder.events()).includes('reload refused'), 'it is refused');
      await folder.write(file, content);
      await folder.reloads(1);
      t.same(await folder.events(), ['started', 'reload refused', 'reloaded']);
    },
  );
}
