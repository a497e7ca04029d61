// Checks of how the gateway authenticates as an OAuth client, wherever it is one.
import { parseClientKey } from '../../oauth/client-key.ts';
import type { Path } from '../problem.ts';
import type { OAuthClientConfig } from '../schema/config.ts';
import { readAt } from './certificates.ts';
import type { Review } from './report.ts';

/** `path` is the section that holds the keys. */
export function checkOAuthClient(review: Review, path: Path, config: OAuthClientConfig): void {
  const { clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  readAt(review, [...path, 'clientKeyFile'], clientKeyFile, parseClientKey);
  if (!review.isWhole(path)) return;
  if ((clientSecret === undefined) === (clientKeyFile === undefined)) {
    review.error(path, 'needs either clientSecret or clientKeyFile: the endpoint answers authenticated clients only');
  } else if (clientAuthentication !== undefined) {
    const withKey = clientAuthentication === 'private_key_jwt';
    if (withKey !== (clientKeyFile !== undefined)) {
      review.error([...path, 'clientAuthentication'], `needs ${withKey ? 'clientKeyFile' : 'clientSecret'}`);
    }
  }
  if (clientKeyId !== undefined && clientKeyFile === undefined) {
    review.error([...path, 'clientKeyId'], 'has no meaning without clientKeyFile');
  }
}
