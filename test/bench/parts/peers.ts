// Part `peers`: the call of `calls` with an RS256 token, through Envoy, HAProxy and nginx beside the gateway, the bare proxy and plain Node.
import { type Contest, type Entry, same } from '../contest.ts';
import { envoy } from '../peers/envoy.ts';
import { haproxy } from '../peers/haproxy.ts';
import { nginx } from '../peers/nginx.ts';
import type { Peer, Refusal } from '../peers/peer.ts';
import { freePorts } from '../ports.ts';
import { callOf, type Request, requestOf } from '../requests.ts';
import type { Scene } from '../scene.ts';
import { bare, call, yardsticks } from './calls.ts';

const body = callOf();
const all: readonly Peer[] = [envoy, haproxy, nginx];

/** With the peers that this machine has. The report says what is missing, and how to get it. */
export function peers(install: boolean): Contest {
  const found = all.map((peer) => ({ peer, ...findProgram(peer, install) }));
  const told = found.map(({ peer: { name, does }, lack }) =>
    lack === undefined
      ? `. ${name}: ${does}`
      : `. ${name} is not here and is left out: \`npm run bench -- peers --install\` downloads ${lack}`,
  );
  return {
    scene: { alg: 'RS256' },
    memory: true,
    told: told.join(''),
    async entries(scene) {
      const refused = await refusedRequests(scene);
      const only = (names: readonly Refusal[]) => Object.fromEntries(names.map((name) => [name, refused[name]]));
      const entries: Entry[] = yardsticks(scene);
      entries.push({ ...same(scene, call, { body }), refuses: refused });
      for (const { peer, path } of found) {
        if (path === undefined) continue;
        const [port] = await freePorts(1);
        const { env = {}, ...start } = peer.configure(path, port!, scene.surroundings);
        const script = { ...start, env, port: port! };
        entries.push({
          ...same(scene, { name: peer.name, script, base: bare }, { body }),
          refuses: only(peer.refuses),
        });
      }
      return entries;
    },
    bounds: [{ of: call.name, to: envoy.name, atMost: 0.9 }],
  };
}

function findProgram(peer: Peer, install: boolean): { path?: string; lack?: string } {
  try {
    return { path: peer.find(install) };
  } catch (error) {
    return { lack: (error as Error).message.split('\n')[0]! };
  }
}

async function refusedRequests(scene: Scene): Promise<Record<Refusal, Request>> {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const [head, , signature] = scene.token.split('.');
  const [, richer] = (await scene.signToken({ sub: 'somebody_else' })).split('.');
  const forged = [head, richer, signature].join('.');
  const poorer = await scene.signToken({ scope: 'dashboards:read' });
  const otherTool = body.replace('"execute_sql"', '"delete_chart"');
  return {
    'a forged token': requestOf(body, bearer(forged)),
    'a token without the scope': requestOf(body, bearer(poorer)),
    'a tool that no rule allows': requestOf(otherTool, bearer(scene.token)),
  };
}
