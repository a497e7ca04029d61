// nginx as a floor of proxies: TLS on both sides and a JSON log; its open source build verifies no JWT and reads no body.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianFolder } from '../../deploy/tools.ts';
import type { Surroundings } from '../scene.ts';
import type { Peer } from './peer.ts';

export const nginx: Peer = {
  name: 'nginx',
  does: 'a plain proxy with a JSON log; no token, no rule',
  refuses: [],
  find: (install) =>
    join(debianFolder(['nginx', 'libnginx-mod-stream', 'libnginx-mod-http-js'], install), 'usr/sbin/nginx'),
  configure(path, port, at) {
    const file = join(at.directory, 'nginx.conf');
    writeFileSync(file, configurationOf(port, at));
    const command = [path, '-e', 'stderr', '-p', at.directory, '-c', file];
    return { command, logFile: join(at.directory, 'nginx.jsonl') };
  },
};

/** One process: what is measured is all of it. */
function configurationOf(port: number, { directory, certFile, keyFile, caFile, upstreamPort }: Surroundings): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
events { worker_connections 1024; }
http {
  ${temporary.map((name) => `${name}_temp_path ${directory}/nginx-${name};`).join('\n  ')}
  log_format json escape=json '{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method","path":"$uri",'
    '"status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,"upstream":"$upstream_addr"}';
  access_log ${directory}/nginx.jsonl json;
  upstream superset { server 127.0.0.1:${upstreamPort}; keepalive 64; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certFile};
    ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests 1000000;
    client_max_body_size 4m;
    location / {
      proxy_pass https://superset;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${caFile};
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }
  }
}
`;
}
