// A real nginx of Debian as a TCP load balancer, unpacked, not installed: each connection goes to the next replica, TLS ends there.
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, launch, type Running, untilRuns } from '../deploy/scene.ts';
import { debianFolder } from '../deploy/tools.ts';
import { packages } from './lacks.ts';

/** Starts one in front of these ports, with its files in `directory`. Throws `Lacking` where Debian's packages cannot be had. */
export async function startBalancer(
  ports: readonly number[],
  directory: string,
): Promise<{ readonly port: number; readonly running: Running }> {
  const programs = debianFolder(packages.nginx);
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  writeFileSync(
    file,
    `load_module ${programs}/usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid ${directory}/nginx.pid;
worker_processes 1;
events { worker_connections 8192; }
stream {
  upstream replicas {
${ports.map((each) => `    server 127.0.0.1:${each} fail_timeout=1s;`).join('\n')}
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_pass replicas;
    proxy_connect_timeout 2s;
  }
}
`,
  );
  const running = launch([join(programs, 'usr/sbin/nginx'), '-e', 'stderr', '-p', directory, '-c', file]);
  await untilRuns(() => isListening(port), 'nginx listens', running);
  return { port, running };
}

/** Reports whether a local port takes connections. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
