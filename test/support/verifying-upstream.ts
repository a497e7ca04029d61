// Upstream that believes nothing but the gateway's assertions: it verifies them with a library of its own and the published keys.
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { createVerifier, type VerifierOptions } from 'fast-jwt';
import { type RecordedRequest, replyOk, startUpstream, type TestUpstream } from './upstream.ts';

export interface VerifyingUpstream extends TestUpstream {
  /** Where the keys are; set once the gateway listens. */
  keysUrl: string;
  /** What was verified, oldest first. */
  readonly verified: Record<string, unknown>[];
  /** Why requests were answered 401. */
  readonly refused: string[];
  /** How often the key set was fetched. */
  readonly fetches: () => number;
  /** Verifies as it does its own requests. */
  verify(authorization: string): Promise<Record<string, unknown>>;
}

export interface Expected {
  readonly audience: string;
  readonly issuer: string;
  readonly algorithms?: VerifierOptions['algorithms'];
}

/** Keys are kept as FastMCP keeps them: until a `kid` comes that is not among them. */
export async function startVerifyingUpstream(expected: Expected): Promise<VerifyingUpstream> {
  let keys = new Map<string, string>();
  let fetches = 0;
  const fetchKeys = async (): Promise<void> => {
    fetches++;
    const answer = await fetch(self.keysUrl);
    const set = (await answer.json()) as { keys: (JsonWebKey & { kid: string })[] };
    keys = new Map(set.keys.map((jwk) => [jwk.kid, pemOf(jwk)]));
  };
  const keyOf = async (kid: string): Promise<string> => {
    if (!keys.has(kid)) await fetchKeys();
    const key = keys.get(kid);
    if (key === undefined) throw new Error(`no key ${kid}`);
    return key;
  };
  const verifier = createVerifier({
    key: async ({ header }: { header: Record<string, unknown> }) => keyOf(String(header.kid)),
    algorithms: expected.algorithms ?? ['ES256'],
    allowedAud: expected.audience,
    allowedIss: expected.issuer,
    requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'jti'],
    cache: false,
  });
  const verify = async (authorization: string): Promise<Record<string, unknown>> => {
    const [, token = ''] = /^Bearer (\S+)$/.exec(authorization) ?? [];
    return verifier(token) as Promise<Record<string, unknown>>;
  };
  const upstream = await startUpstream({
    async reply(request, response) {
      try {
        self.verified.push(await verify(only(request)));
      } catch (error) {
        self.refused.push(String(error));
        return void response.writeHead(401).end();
      }
      return replyOk(request, response);
    },
  });
  const self: VerifyingUpstream = {
    ...upstream,
    keysUrl: '',
    verified: [],
    refused: [],
    fetches: () => fetches,
    verify,
  };
  return self;
}

function only(request: RecordedRequest): string {
  const values = request.header('authorization');
  if (values.length !== 1) throw new Error(`${values.length} Authorization headers`);
  return values[0]!;
}

function pemOf(jwk: JsonWebKey): string {
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString();
}
