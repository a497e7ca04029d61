// Source of an issuer's keys: discovery (RFC 8414 §3, OpenID Connect Discovery §4) and fetch, bounded in time and size, no redirects.
import { isPlainHttp } from '../../http/host.ts';
import {
  type BoundedAgent,
  type ConnectionOptions,
  createBoundedAgent,
  requestBounded,
} from '../../oauth/http-client.ts';

/** Fetches the key set of an issuer. */
export interface KeySource {
  /** Fetches the key set document. `rediscover` asks the metadata anew even where the address of the keys is known. */
  fetch(rediscover: boolean): Promise<unknown>;
  close(): void;
}

/** Options of `createKeySource`. */
export interface KeySourceOptions extends Pick<ConnectionOptions, 'authorities' | 'egress'> {
  readonly issuer: string;
  /** Undefined: discovered from the issuer. */
  readonly jwksUri: string | undefined;
  /** Plain HTTP is accepted beyond loopback, for the issuer and for what its metadata names. */
  readonly insecure: boolean;
  /** Takes the issuer's metadata whenever it was found, or why it was not. */
  readonly observe: IssuerMetadataObserver;
  /** Asks for the metadata although `jwksUri` says where the keys are. */
  readonly metadataWanted: boolean;
}

/** Told of fetched issuer metadata. */
export interface IssuerMetadataObserver {
  metadataFound(metadata: unknown): void;
  metadataFailed(error: unknown): void;
}

/** The metadata at the issuer's place is that of another one. */
export class IssuerMismatch extends Error {
  /** The issuer that the metadata names. */
  readonly found: string;

  constructor(found: unknown) {
    const text = String(found).slice(0, 256);
    super(`the metadata is that of another issuer, ${JSON.stringify(text)}`);
    this.name = 'IssuerMismatch';
    this.found = text;
  }
}

const maxBodyBytes = 512 * 1024;
const totalTimeoutMs = 5000;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Creates the source; nothing is fetched yet. */
export function createKeySource(options: KeySourceOptions): KeySource {
  const { authorities, egress } = options;
  const agent = createBoundedAgent({ timeoutMs: totalTimeoutMs, authorities, egress });
  let discovered: string | undefined;

  async function locate(signal: AbortSignal, rediscover: boolean): Promise<string> {
    if (options.jwksUri !== undefined) return options.jwksUri;
    if (rediscover || discovered === undefined) {
      discovered = await discover(agent, options, signal, (metadata) => keysAddress(metadata, options));
    }
    return discovered;
  }

  /** Beside the keys, which do not wait for it. */
  function lookForMetadata(signal: AbortSignal): void {
    discover(agent, options, signal, () => {}).catch((error: unknown) => options.observe.metadataFailed(error));
  }

  return {
    async fetch(rediscover) {
      const signal = AbortSignal.timeout(totalTimeoutMs);
      if (rediscover && options.metadataWanted && options.jwksUri !== undefined) lookForMetadata(signal);
      const location = await locate(signal, rediscover);
      try {
        return await fetchJson(agent, location, signal);
      } catch (error) {
        discovered = undefined;
        throw error;
      }
    },
    close: agent.destroy,
  };
}

/** The addresses where an issuer's metadata may be, in the order they are tried. */
export function metadataAddresses(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

/** The result of `read` for the first metadata that are the issuer's and that it can read. */
export async function discover<T>(
  agent: BoundedAgent,
  {
    issuer,
    observe,
  }: Pick<KeySourceOptions, 'issuer'> & { readonly observe: Pick<IssuerMetadataObserver, 'metadataFound'> },
  signal: AbortSignal,
  read: (metadata: Record<string, unknown>) => T,
): Promise<T> {
  const failures: unknown[] = [];
  for (const address of metadataAddresses(issuer)) {
    try {
      const metadata = ((await fetchJson(agent, address, signal)) ?? {}) as Record<string, unknown>;
      if (metadata.issuer !== issuer) throw new IssuerMismatch(metadata.issuer);
      const found = read(metadata);
      observe.metadataFound(metadata);
      return found;
    } catch (error) {
      failures.push(error);
      if (signal.aborted) break;
    }
  }
  throw new AggregateError(
    failures,
    `no usable metadata: ${failures.map((each) => (each as Error).message).join('; ')}`,
  );
}

function keysAddress(metadata: Record<string, unknown>, options: KeySourceOptions): string {
  return addressIn(metadata, 'jwks_uri', options);
}

/** An address that metadata name. Throws an Error for none, and for one without TLS that is not accepted. */
export function addressIn(
  metadata: Record<string, unknown>,
  name: string,
  { insecure, issuer }: Pick<KeySourceOptions, 'insecure' | 'issuer'>,
): string {
  const address = metadata[name];
  if (typeof address !== 'string' || !URL.canParse(address)) throw new Error(`the metadata has no ${name}`);
  const { protocol } = new URL(address);
  // An issuer on HTTPS may not send the gateway to a plain, internal address.
  const plain = insecure || (new URL(issuer).protocol === 'http:' && !isPlainHttp(address));
  if (protocol !== 'https:' && !(protocol === 'http:' && plain)) {
    throw new Error(`the metadata names a ${name} without TLS`);
  }
  return address;
}

async function fetchJson(agent: BoundedAgent, address: string, signal: AbortSignal): Promise<unknown> {
  const headers = { accept: 'application/json, application/jwk-set+json' };
  const body = await requestBounded(address, { agent, signal, headers, maxBytes: maxBodyBytes });
  return JSON.parse(utf8.decode(body));
}
