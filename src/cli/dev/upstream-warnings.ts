// Warnings of `portcullis dev --upstream`: an upstream that does not answer as an MCP server should, and what to do.
import { checkUpstream } from '../../review/online/upstreams.ts';
import { openPolicyFile } from '../../review/policy-file.ts';
import { packageVersion } from '../version.ts';

/** A sentence for each upstream of a configuration that a caller would not reach. */
export async function upstreamWarnings(configFile: string): Promise<string[]> {
  const policyFile = await openPolicyFile(configFile, { env: process.env, needsSecrets: true });
  try {
    const options = { now: Date.now(), version: packageVersion() };
    const upstreams = [...policyFile.snapshot.upstreams.values()];
    const results = await Promise.all(upstreams.flatMap(({ target }) => checkUpstream(target, policyFile, options)));
    return results.flatMap(({ level, message }) => {
      const advice = adviceOn(message);
      return level === 'ok' && advice !== advices.authentication ? [] : [`${message}; ${advice}`];
    });
  } finally {
    await policyFile.close();
  }
}

const advices = {
  refused: 'the connection was refused: start the server, the gateway goes on and will reach it',
  unknown: 'no host has this name: look at --upstream',
  tls: 'TLS failed: name its authority as upstreams.superset.tls.caFile in gateway.yaml, or use http: where the server has no TLS',
  authentication: 'it wants authentication: write upstreams.superset.authorization in gateway.yaml',
  silent: 'it is too slow or speaks something else: look at --upstream',
  other: 'it does not speak MCP there: look at the path of --upstream',
} as const;

/** By the words of Node, OpenSSL and the check. */
const words: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, advices.refused],
  [/ENOTFOUND|EAI_AGAIN/, advices.unknown],
  [/certificate|self-signed|\bSSL\b|\bTLS\b|EPROTO|altname/i, advices.tls],
  [/refuses who is nobody/, advices.authentication],
  [/no whole answer|ETIMEDOUT|timeout/i, advices.silent],
];

function adviceOn(message: string): string {
  return words.find(([word]) => word.test(message))?.[1] ?? advices.other;
}
