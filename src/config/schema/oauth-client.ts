// How the gateway authenticates as a client of an authorization server: the same keys wherever it does.
import { z } from 'zod';
import { filePath, text } from './values.ts';

export const oauthClientKeys = {
  clientId: text.describe('The gateway as a client of the authorization server.'),
  clientSecret: text.optional().describe('Its secret; either this or clientKeyFile.'),
  clientKeyFile: filePath.optional().describe('PEM, its private key (private_key_jwt).'),
  clientKeyId: text.optional().describe('The `kid` of that key at the authorization server.'),
  clientAuthentication: z
    .enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    .optional()
    .describe('How it authenticates; default client_secret_basic, and private_key_jwt with clientKeyFile.'),
};

const oauthClient = z.object(oauthClientKeys);
export type OAuthClientConfig = z.output<typeof oauthClient>;
