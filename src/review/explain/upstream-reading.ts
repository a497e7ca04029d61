// Reading of the request that an upstream would get: its URL, headers and assertion, without the secrets among them.

import type { Judgement } from '../judge.ts';
import type { PolicyFile } from '../policy-file.ts';

/** The request to an upstream. */
export interface UpstreamReading {
  readonly name: string;
  readonly method: string;
  /** Without the query. */
  readonly url: string;
  /** A header that holds a secret has a description in its place. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The claims of the gateway's assertion but those of time; undefined without one. */
  readonly assertion: Readonly<Record<string, unknown>> | undefined;
}

const secrets = {
  fixed: '(the fixed value of `authorization`, not shown)',
  assertion: '(Bearer, the assertion below, signed by the gateway)',
  exchange: '(Bearer, a token that the issuer gives in exchange; not asked for here)',
};

/** Undefined where the request is not forwarded. */
export function readUpstream(
  { assertion, call, caller, clientAddress, route }: Judgement,
  { loaded }: PolicyFile,
): UpstreamReading | undefined {
  if (route?.upstream === undefined) return undefined;
  const { paths, shapeRequest, target } = route.upstream;
  const { identity, authorization } = loaded.config.upstreams[target.name] ?? {};
  const [path = ''] = call.target.split('?');
  const isMcp = route.mcp !== undefined && call.body !== undefined;
  const made = caller !== undefined && (identity?.exchange === undefined ? assertion && 'assertion' : 'exchange');
  const pairs = shapeRequest({
    rawHeaders: isMcp ? ['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream'] : [],
    caller,
    session: undefined,
    authorization: made ? secrets[made] : undefined,
    requestId: 'request-id',
    clientAddress,
  });
  const headers: [string, string][] = [];
  for (let index = 0; index < pairs.length; index += 2) {
    const [name, value] = [pairs[index]!, pairs[index + 1]!];
    headers.push([name, authorization !== undefined && value === authorization ? secrets.fixed : value]);
  }
  const url = target.origin + target.basePath + paths.toUpstream(path);
  return { name: target.name, method: call.method, url, headers, assertion };
}
