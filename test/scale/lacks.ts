// The programs of Debian that these tests need, unpacked once.
import { debianFolder, Lacking } from '../deploy/tools.ts';

/** Debian packages by the program that they bring. */
export const packages = {
  redis: ['redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'],
  nginx: ['nginx', 'libnginx-mod-stream'],
  rsyslog: ['rsyslog', 'rsyslog-openssl', 'libestr0', 'libfastjson4', 'liblognorm5'],
  syslogNg: ['syslog-ng-core', 'libivykis0', 'libnet1', 'libpcre3', 'libwrap0'],
} as const;

/** Fetches all of them; yields what cannot be had. */
export function lackOf(): string | undefined {
  try {
    for (const names of Object.values(packages)) debianFolder(names);
    return undefined;
  } catch (error) {
    if (error instanceof Lacking) return error.message;
    throw error;
  }
}
