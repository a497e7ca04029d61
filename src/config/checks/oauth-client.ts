// Checks of how the gateway authenticates as an OAuth client, wherever it is one.
import { parseClientKey } from '../../oauth/client-key.ts';
import type { OAuthClientConfig } from '../schema/config.ts';
import type { Path } from '../schema/reporter.ts';
import { readAt } from './certificates.ts';
import type { CheckContext } from './context.ts';

/** `path` is the section that holds the keys. */
export function checkOAuthClient(context: CheckContext, path: Path, config: OAuthClientConfig): void {
  const { clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  readAt(context, [...path, 'clientKeyFile'], clientKeyFile, parseClientKey);
  if (!context.isWhole(path)) return;
  if ((clientSecret === undefined) === (clientKeyFile === undefined)) {
    context.error(path, 'needs either clientSecret or clientKeyFile: the endpoint answers authenticated clients only');
  } else if (clientAuthentication !== undefined) {
    const withKey = clientAuthentication === 'private_key_jwt';
    if (withKey !== (clientKeyFile !== undefined)) {
      context.error([...path, 'clientAuthentication'], `needs ${withKey ? 'clientKeyFile' : 'clientSecret'}`);
    }
  }
  if (clientKeyId !== undefined && clientKeyFile === undefined) {
    context.error([...path, 'clientKeyId'], 'has no meaning without clientKeyFile');
  }
}
