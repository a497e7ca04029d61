// A Keycloak on loopback with the realm of realm.json: tokens as its clients get them, and what its administrator may do to it.
import { createHash, randomBytes } from 'node:crypto';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon, Daemons } from './daemons.ts';
import { administrator, type Installation, keycloakDatabase } from './install.ts';

export interface Keycloak {
  readonly issuer: string;
  /** The client credentials grant (RFC 6749 §4.4). */
  clientToken(client: Client, scope: string): Promise<string>;
  /** The authorization code grant with PKCE: signs in as a person and goes through the redirect of the AI agent. */
  personToken(username: string, scope: string): Promise<string>;
  /** Makes a new signing key the one that signs; old ones stay published. */
  rotateKeys(): Promise<void>;
  /** Of tokens from now on. */
  setTokenLifetime(seconds: number): Promise<void>;
  stop(): Promise<void>;
  /** Starts it again with what it had. */
  start(): Promise<void>;
}

export interface Client {
  readonly id: string;
  readonly secret: string;
}

export const agent: Client = { id: 'ai_agent_prod', secret: 'agent-secret' };
export const reporting: Client = { id: 'reporting_tool', secret: 'reporting-secret' };

const realm = 'portcullis';
const redirectUri = 'http://127.0.0.1/callback';

export async function startKeycloak(options: {
  readonly daemons: Daemons;
  readonly installation: Installation;
  readonly port: number;
  /** For its database and its log. */
  readonly folder: string;
}): Promise<Keycloak> {
  const { daemons, installation, port, folder } = options;
  const origin = `http://127.0.0.1:${port}`;
  cpSync(installation.realm, folder, { recursive: true });

  let daemon: Daemon;
  const start = async () => {
    daemon = await daemons.start({
      name: 'Keycloak',
      command: 'bash',
      args: [
        join(installation.keycloak, 'bin/kc.sh'),
        ...['start', '--optimized', '--http-enabled=true', '--http-host=127.0.0.1'],
        ...[`--http-port=${port}`, `--hostname=${origin}`],
        keycloakDatabase(folder),
      ],
      env: {
        ...process.env,
        JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1',
      },
      logFile: join(folder, 'keycloak.log'),
      ready: async () => (await fetch(`${issuerAt(origin)}/.well-known/openid-configuration`)).ok,
    });
  };
  await start();
  return { ...connectKeycloak(origin), stop: () => daemon.stop(), start };
}

/** One that runs. */
export function connectKeycloak(origin: string): Omit<Keycloak, 'stop' | 'start'> {
  const issuer = issuerAt(origin);
  const admin = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const granted = await tokenRequest(`${origin}/realms/master`, {
      grant_type: 'password',
      client_id: 'admin-cli',
      ...administrator,
    });
    const response = await fetch(`${origin}/admin/realms/${realm}${path}`, {
      method,
      headers: { authorization: `Bearer ${granted}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Keycloak's administration: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };

  let rotations = 0;
  return {
    issuer,
    clientToken: (client, scope) =>
      tokenRequest(issuer, {
        grant_type: 'client_credentials',
        client_id: client.id,
        client_secret: client.secret,
        scope,
      }),
    personToken: (username, scope) => signIn(issuer, username, scope),
    async rotateKeys() {
      rotations += 1;
      const { id } = (await admin('GET', '')) as { id: string };
      await admin('POST', '/components', {
        name: `rotation-${rotations}`,
        parentId: id,
        providerId: 'rsa-generated',
        providerType: 'org.keycloak.keys.KeyProvider',
        config: { priority: [String(100 + rotations)], active: ['true'], enabled: ['true'], algorithm: ['RS256'] },
      });
    },
    async setTokenLifetime(seconds) {
      await admin('PUT', '', { accessTokenLifespan: seconds });
    },
  };
}

function issuerAt(origin: string): string {
  return `${origin}/realms/${realm}`;
}

async function tokenRequest(issuer: string, form: Record<string, string>): Promise<string> {
  const response = await fetch(`${issuer}/protocol/openid-connect/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
  });
  const answer = (await response.json()) as { access_token?: string };
  if (answer.access_token === undefined) throw new Error(`Keycloak gave no token: ${JSON.stringify(answer)}`);
  return answer.access_token;
}

/** RFC 7636, with the form that a person would fill in. */
async function signIn(issuer: string, username: string, scope: string): Promise<string> {
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: agent.id,
    redirect_uri: redirectUri,
    scope,
    state: 'of-this-request',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const page = await fetch(`${issuer}/protocol/openid-connect/auth?${query}`);
  const action = /action="([^"]+)"/.exec(await page.text())?.[1]?.replaceAll('&amp;', '&');
  if (action === undefined) throw new Error('Keycloak showed no form to sign in with');
  const cookie = page.headers
    .getSetCookie()
    .map((each) => each.split(';', 1)[0])
    .join('; ');
  const signedIn = await fetch(action, {
    method: 'POST',
    redirect: 'manual',
    headers: { cookie },
    body: new URLSearchParams({ username, password: `${username}-password` }),
  });
  const location = signedIn.headers.get('location') ?? '';
  const code = URL.canParse(location) ? new URL(location).searchParams.get('code') : null;
  if (code === null) throw new Error(`Keycloak did not sign ${username} in: ${signedIn.status} ${location}`);
  return tokenRequest(issuer, {
    grant_type: 'authorization_code',
    client_id: agent.id,
    client_secret: agent.secret,
    redirect_uri: redirectUri,
    code,
    code_verifier: verifier,
  });
}
