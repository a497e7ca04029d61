// Real syslog receivers of Debian as processes of their own, unpacked, not installed: rsyslog and syslog-ng, over TLS and TCP.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCertificateAuthority } from '../../src/pki/authority.ts';
import { freePort, launch, type Running, untilRuns } from '../deploy/scene.ts';
import { debianFolder } from '../deploy/tools.ts';
import { packages } from './lacks.ts';
import { isListening } from './nginx.ts';

/** A receiver that writes each message, as a line, to a file. */
export interface SyslogServer {
  /** `tls://127.0.0.1:PORT` or `tcp://…`. */
  readonly address: string;
  /** Keys of the sink that reach it. */
  readonly keys: Readonly<Record<string, string>>;
  /** The file of its messages. */
  readonly path: string;
  start(): Promise<void>;
  /** SIGKILL or SIGTERM, and waits for its end. */
  stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

/** Makes the command and the configuration file of one program. */
type Program = (scene: { readonly directory: string; readonly port: number; readonly isSecure: boolean }) => {
  readonly command: readonly string[];
  readonly configuration: string;
};

const libraries = 'usr/lib/x86_64-linux-gnu';

const rsyslog: Program = ({ directory, port, isSecure }) => {
  const folder = debianFolder(packages.rsyslog);
  const lib = join(folder, libraries);
  const file = join(directory, 'receiver.conf');
  return {
    command: [
      'env',
      `LD_LIBRARY_PATH=${lib}`,
      join(folder, 'usr/sbin/rsyslogd'),
      '-n',
      '-f',
      file,
      '-M',
      join(lib, 'rsyslog'),
      '-i',
      join(directory, 'receiver.pid'),
    ],
    configuration: rsyslogConfiguration(directory, port, isSecure),
  };
};

function rsyslogConfiguration(directory: string, port: number, isSecure: boolean): string {
  const tls = isSecure ? ` streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"` : '';
  return `global(
  workDirectory="${directory}"
  maxMessageSize="256k"
  defaultNetstreamDriverCAFile="${directory}/ca.pem"
  defaultNetstreamDriverCertFile="${directory}/server.pem"
  defaultNetstreamDriverKeyFile="${directory}/server.key"
)
main_queue(queue.type="Direct")
module(load="imtcp")
template(name="record" type="string" string="%msg%\\n")
ruleset(name="portcullis") {
  action(type="omfile" file="${directory}/received.jsonl" template="record")
}
input(type="imtcp" address="127.0.0.1" port="${port}" ruleset="portcullis"${tls})
`;
}

const syslogNg: Program = ({ directory, port, isSecure }) => {
  const folder = debianFolder(packages.syslogNg);
  const lib = join(folder, libraries);
  const modules = join(folder, 'usr/lib/syslog-ng/3.38');
  const file = join(directory, 'receiver.conf');
  const tls = isSecure
    ? `transport("tls") tls(key-file("${directory}/server.key") cert-file("${directory}/server.pem") ca-file("${directory}/ca.pem") peer-verify(required-trusted))`
    : 'transport("tcp")';
  const path = (name: string) => join(directory, name);
  return {
    command: [
      ...[
        'env',
        `LD_LIBRARY_PATH=${lib}:${join(folder, 'lib/x86_64-linux-gnu')}:${join(folder, 'usr/lib/syslog-ng')}`,
        join(folder, 'usr/sbin/syslog-ng'),
        '-F',
        '--no-caps',
      ],
      ...[
        '-f',
        file,
        '--module-path',
        modules,
        '-R',
        path('receiver.persist'),
        '-p',
        path('receiver.pid'),
        '-c',
        path('receiver.ctl'),
      ],
    ],
    configuration: `@version: 3.38
options { log-msg-size(262144); keep-hostname(yes); use-dns(no); stats-freq(0); };
source portcullis { syslog(ip("127.0.0.1") port(${port}) ${tls} log-iw-size(1000)); };
destination audit { file("${directory}/received.jsonl" template("$MSG\\n")); };
log { source(portcullis); destination(audit); flags(flow-control); };
`,
  };
};

/** The programs. */
export const syslogPrograms = { rsyslog, syslogNg } as const;

/** Starts one, with its files in `directory`. Throws `Lacking` where Debian's packages cannot be had. */
export async function startSyslogServer(
  name: keyof typeof syslogPrograms,
  isSecure: boolean,
  directory: string,
): Promise<SyslogServer> {
  const port = await freePort();
  const { command, configuration } = syslogPrograms[name]({ directory, port, isSecure });
  const authority = await createCertificateAuthority();
  const [server, client] = await Promise.all([
    authority.issue({ commonName: 'siem', ips: ['127.0.0.1'], server: true }),
    authority.issue({ commonName: 'gateway' }),
  ]);
  const write = (file: string, text: string) => {
    writeFileSync(join(directory, file), text);
    return join(directory, file);
  };
  write('receiver.conf', configuration);
  write('server.pem', server.certificatePem);
  write('server.key', server.keyPem);
  const caFile = write('ca.pem', authority.certificatePem);
  const keys = {
    caFile,
    certFile: write('client.pem', client.certificatePem),
    keyFile: write('client.key', client.keyPem),
  };
  let running: Running;
  const result: SyslogServer = {
    address: `${isSecure ? 'tls' : 'tcp'}://127.0.0.1:${port}`,
    keys: isSecure ? keys : {},
    path: join(directory, 'received.jsonl'),
    async start() {
      running = launch(command);
      await untilRuns(() => isListening(port), `${name} listens`, running);
    },
    stop: async (signal) => void (await running.stop(signal)),
  };
  await result.start();
  return result;
}

/** The lines that it has written; none before the first. */
export function receivedLines({ path }: SyslogServer): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
}
