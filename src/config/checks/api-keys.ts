// Checks of API keys: each id and hash once, hashes of real keys only, and an end for every key.
import { createHash } from 'node:crypto';
import type { PlaceOfKey } from '../keys-file.ts';
import type { ApiKeyAuthenticatorConfig, ApiKeyEntry } from '../schema/config.ts';
import { entriesOf } from './authenticators.ts';
import type { Review, Where } from './report.ts';

/** What people put where a key belongs; also behind the prefix of the authenticator. */
const placeholderKeys = [
  '',
  'key',
  'test',
  'secret',
  'password',
  'example',
  'changeme',
  'change-me',
  'placeholder',
  'your-key',
  'your-api-key',
  'api-key',
  'apikey',
  'token',
  'foo',
  'bar',
  'foobar',
  'hello',
  'dummy',
  'sample',
  'admin',
  'abc',
  'abc123',
  '123',
  '1234',
  '12345',
  '123456',
  '12345678',
  'xxx',
  '...',
  '…',
];

export function checkKeys(review: Review, placeOf: PlaceOfKey): void {
  const ids = new Map<string, string>();
  const hashes = new Map<string, string>();
  for (const [name, config] of entriesOf(review, 'apiKey')) {
    const placeholders = placeholderHashes(config.prefix);
    config.keys?.forEach((key, index) => {
      const where = placeOf(name, index);
      checkUnique(review, below(where, 'id'), ids, key.id, key.id);
      checkUnique(review, below(where, 'hash'), hashes, key.hash, key.id);
      if (placeholders.has(key.hash) || isPattern(key.hash)) {
        review.error(below(where, 'hash'), 'is a placeholder; `portcullis keys new` makes a key and its hash');
      }
      checkLifetime(review, where, config, key);
    });
  }
}

function checkUnique(review: Review, where: Where, seen: Map<string, string>, value: string, id: string): void {
  const first = seen.get(value);
  if (first === undefined) seen.set(value, id);
  else
    review.error(
      where,
      value === id ? `key ${review.show(id)} is there already` : `is the hash of key ${review.show(first)} already`,
    );
}

function checkLifetime(review: Review, where: Where, config: ApiKeyAuthenticatorConfig, key: ApiKeyEntry): void {
  const { notBefore, expires } = key;
  if (expires === undefined) {
    if (config.sunset === undefined) {
      review.error(where, `key ${review.show(key.id)} needs expires, or its authenticator a sunset`);
    }
    return;
  }
  if (notBefore !== undefined && expires <= notBefore) review.error(below(where, 'expires'), 'must be after notBefore');
  else if (expires <= review.now) review.warn(below(where, 'expires'), `key ${review.show(key.id)} has expired`);
}

function placeholderHashes(prefix: string): ReadonlySet<string> {
  const keys = [...placeholderKeys, ...placeholderKeys.map((key) => prefix + key)];
  return new Set(keys.map((key) => `sha256:${createHash('sha256').update(key).digest('hex')}`));
}

/** The same run of digits over and over: no hash looks like that. */
function isPattern(hash: string): boolean {
  const digits = hash.slice('sha256:'.length);
  for (let period = 1; period <= digits.length / 2; period++) {
    if (digits.slice(period) === digits.slice(0, -period)) return true;
  }
  return false;
}

function below(where: Where, key: string): Where {
  return 'document' in where ? { ...where, path: [...where.path, key] } : [...where, key];
}
