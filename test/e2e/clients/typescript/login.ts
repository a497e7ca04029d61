// What a client of either generation of the TypeScript SDK keeps of its log-in, and the page that it would open in a browser.
import { browse } from './drive.ts';

const callback = 'http://localhost:33418/callback';

export function createLogin(name: string) {
  const kept: Record<string, unknown> = {};
  let page: URL | undefined;
  const provider = {
    redirectUrl: callback,
    clientMetadata: { client_name: name, redirect_uris: [callback], token_endpoint_auth_method: 'none' },
    clientInformation: () => kept.client,
    saveClientInformation: (client: unknown) => void Object.assign(kept, { client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens: unknown) => void Object.assign(kept, { tokens }),
    saveCodeVerifier: (verifier: string) => void Object.assign(kept, { verifier }),
    codeVerifier: () => kept.verifier,
    saveDiscoveryState: (discovery: unknown) => void Object.assign(kept, { discovery }),
    discoveryState: () => kept.discovery,
    redirectToAuthorization(url: URL) {
      page = url;
    },
  };

  /** Attempts; where the person has to approve first, finishes the log-in and attempts once more. */
  async function authorized<T>(
    attempt: () => Promise<T>,
    finish: (query: URLSearchParams) => Promise<void>,
  ): Promise<T> {
    page = undefined;
    try {
      return await attempt();
    } catch (error) {
      if (page === undefined) throw error;
      await finish((await browse(page)).searchParams);
      return attempt();
    }
  }
  return { provider, authorized };
}
