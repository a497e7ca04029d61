// Files that the configuration names and that are none, or have no end: refused at once, whatever they stand for.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { linesOf } from './support.ts';

const yaml = `version: 1
server: {listen: "127.0.0.1:8443", publicUrl: https://mcp.example.com}
authenticators: {corp: {type: jwt, issuer: https://idp.example.com/}}
revocation: {file: revoked.yaml}
upstreams:
  superset: {url: "http://127.0.0.1:5008", identity: {assertion: {audience: superset, username: {default: "\${subject}"}, keyFiles: [assertion.pem]}}}
routes: [{path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset, sessionKeyFiles: [sessions.key]}}]
audit: {sinks: [{type: stdout}]}
`;
const places = {
  'revoked.yaml': 'gateway.yaml:4:20 revocation.file',
  'assertion.pem': 'gateway.yaml:6:133 upstreams.superset.identity.assertion.keyFiles[0]',
  'sessions.key': 'gateway.yaml:7:105 routes[0].mcp.sessionKeyFiles[0]',
};
const ways: Record<string, [make: (path: string) => void, reason: string]> = {
  nothing: [() => {}, 'there is no such file'],
  'a folder': [(path) => mkdirSync(path), 'it is not a regular file'],
  'a pipe that nobody writes to': [(path) => void execFileSync('mkfifo', [path]), 'it is not a regular file'],
  'a device without end': [(path) => symlinkSync('/dev/zero', path), 'it is not a regular file'],
  'a link to itself': [(path) => symlinkSync(path, path), 'too many symbolic links'],
  'more than may be read': [
    (path) => {
      writeFileSync(path, '');
      truncateSync(path, 16 * 1024 * 1024 + 1);
    },
    'it is larger than',
  ],
};

for (const [name, place] of Object.entries(places)) {
  t.test(`${name} may be anything but what it should be`, async (t) => {
    for (const [way, [make, reason]] of Object.entries(ways)) {
      const folder = t.testdir({});
      rmSync(join(folder, name), { force: true });
      make(join(folder, name));
      const lines = await linesOf(folder, yaml);
      const told = lines.filter((line) => line.startsWith(`${place}: cannot read the file: ${reason}`));
      t.equal(told.length, 1, `${way}: ${lines.join(' | ')}`);
    }
  });
}
