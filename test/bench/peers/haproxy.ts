// HAProxy: TLS on both sides, RS256 verified on each request, issuer, audience, expiry and scope, a JSON log; it reads no MCP message.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianFolder } from '../../deploy/tools.ts';
import type { Surroundings } from '../scene.ts';
import { type Peer, scope } from './peer.ts';

/** With the libraries that it is linked to. */
const packages = ['haproxy', 'liblua5.3-0', 'libopentracing-c-wrapper0', 'libopentracing1'];

export const haproxy: Peer = {
  name: 'HAProxy',
  does: 'RS256 each time, scope, JSON log; no tool rule',
  refuses: ['a forged token', 'a token without the scope'],
  find: (install) => join(debianFolder(packages, install), 'usr/sbin/haproxy'),
  configure(path, port, at) {
    const [file, keyFile, chainFile] = ['haproxy.cfg', 'issuer.pem', 'haproxy.pem'].map((name) =>
      join(at.directory, name),
    );
    writeFileSync(keyFile!, at.publicKeyPem);
    writeFileSync(chainFile!, readFileSync(at.certFile, 'utf8') + readFileSync(at.keyFile, 'utf8'), { mode: 0o600 });
    writeFileSync(file!, configurationOf({ port, keyFile: keyFile!, chainFile: chainFile! }, at));
    const logFile = join(at.directory, 'haproxy.jsonl');
    // It logs to standard output. The shell makes way for it, so that the process that is measured is HAProxy.
    const command = ['sh', '-c', 'exec "$0" -f "$1" >"$2"', path, file!, logFile];
    return { command, logFile, env: { LD_LIBRARY_PATH: join(path, '../../lib/x86_64-linux-gnu') } };
  },
};

function configurationOf(
  own: { readonly port: number; readonly keyFile: string; readonly chainFile: string },
  { issuer, audience, upstreamPort, caFile }: Surroundings,
): string {
  const refuse = (status: number, unless: string) => `http-request deny deny_status ${status} unless { ${unless} }`;
  return `
global
  nbthread 1
  maxconn 1024
  log stdout format raw local0 info
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  http-reuse always
frontend mcp
  bind 127.0.0.1:${own.port} ssl crt ${own.chainFile} alpn http/1.1
  http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
  http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
  http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud[0]')
  http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
  http-request set-var(txn.sub) http_auth_bearer,jwt_payload_query('$.sub')
  http-request set-var(txn.scope) http_auth_bearer,jwt_payload_query('$.scope')
  http-request set-var(txn.now) date()
  ${refuse(401, 'var(txn.alg) -m str RS256')}
  ${refuse(401, `var(txn.iss) -m str ${issuer}`)}
  ${refuse(401, `var(txn.aud) -m str ${audience}`)}
  ${refuse(401, 'var(txn.exp),sub(txn.now) -m int gt 0')}
  ${refuse(401, `http_auth_bearer,jwt_verify(txn.alg,"${own.keyFile}") -m int 1`)}
  ${refuse(403, `var(txn.scope) -m sub ${scope}`)}
  log-format '{"time":"%tr","client":"%ci","method":"%HM","path":"%HU","status":%ST,"bytes":%B,"ms":%Ta,"subject":"%[var(txn.sub)]","upstream":"%s"}'
  default_backend superset
backend superset
  server superset 127.0.0.1:${upstreamPort} ssl verify required ca-file ${caFile} verifyhost localhost sni str(localhost)
`;
}
