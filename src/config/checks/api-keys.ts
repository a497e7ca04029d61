// Checks of API keys: each id and hash once, hashes of real keys only, and an end for every key.
import { hash } from 'node:crypto';
import type { ApiKeyConfig, ApiKeyEntry } from '../../authn/api-key.ts';
import type { PlaceOfKey } from '../files/keys-file.ts';
import { entriesOf } from './authenticators.ts';
import { type CheckContext, type Where, whereBelow } from './context.ts';

/** Placeholders that people put where a key belongs; also behind the prefix of the authenticator. */
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

/** Checks ids, hashes and ends of API keys. */
export function checkKeys(context: CheckContext, placeOf: PlaceOfKey): void {
  const ids = new Map<string, string>();
  const hashes = new Map<string, string>();
  for (const [name, config] of entriesOf(context, 'apiKey')) {
    const placeholders = placeholderHashes(config.prefix);
    config.keys?.forEach((key, index) => {
      const where = placeOf(name, index);
      checkUnique(context, whereBelow(where, 'id'), ids, key.id, key.id);
      checkUnique(context, whereBelow(where, 'hash'), hashes, key.hash, key.id);
      if (placeholders.has(key.hash) || isPattern(key.hash)) {
        context.error(whereBelow(where, 'hash'), 'is a placeholder; `portcullis keys new` makes a key and its hash');
      }
      checkLifetime(context, where, config, key);
    });
  }
}

function checkUnique(context: CheckContext, where: Where, seen: Map<string, string>, value: string, id: string): void {
  const first = seen.get(value);
  if (first === undefined) seen.set(value, id);
  else
    context.error(
      where,
      value === id ? `key ${context.show(id)} is there already` : `is the hash of key ${context.show(first)} already`,
    );
}

function checkLifetime(context: CheckContext, where: Where, config: ApiKeyConfig, key: ApiKeyEntry): void {
  const { notBefore, expires } = key;
  if (expires === undefined) {
    if (config.sunset === undefined) {
      context.error(where, `key ${context.show(key.id)} needs expires, or its authenticator a sunset`);
    }
    return;
  }
  if (notBefore !== undefined && expires <= notBefore)
    context.error(whereBelow(where, 'expires'), 'must be after notBefore');
  else if (expires <= context.now)
    context.warn(whereBelow(where, 'expires'), `key ${context.show(key.id)} has expired`);
}

function placeholderHashes(prefix: string): ReadonlySet<string> {
  const keys = [...placeholderKeys, ...placeholderKeys.map((key) => prefix + key)];
  return new Set(keys.map((key) => `sha256:${hash('sha256', key)}`));
}

/** The same run of digits over and over: no hash looks like that. */
function isPattern(hash: string): boolean {
  const digits = hash.slice('sha256:'.length);
  for (let period = 1; period <= digits.length / 2; period++) {
    if (digits.slice(period) === digits.slice(0, -period)) return true;
  }
  return false;
}
