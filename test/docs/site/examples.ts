// Examples of keys: their values in files that the loader accepts.
import { alternativesOf, type Key, kindOf, type Schema } from './keys.ts';

/** What a key looks like in a file: nothing else but the way to it, and of a map what has to be in it. */
export function exampleOf(key: Key, files: readonly unknown[]): unknown {
  for (const file of files) {
    const found = find(file, key.path.match(/[^.[\]]+|\[\]/g)!, key);
    if (found !== undefined) return found;
  }
  return undefined;
}

function find(value: unknown, [step, ...rest]: readonly string[], key: Key): unknown {
  if (step === undefined) return shortened(key.schema, value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (step === '[]') {
    if (!Array.isArray(value)) return undefined;
    for (const each of value) {
      const found = find(each, rest, key);
      if (found !== undefined) return [found];
    }
    return undefined;
  }
  for (const name of step === 'NAME' ? Object.keys(value) : [step]) {
    const inner = (value as Record<string, unknown>)[name];
    if (inner === undefined) continue;
    const type = (value as { type?: unknown }).type;
    // The keys of a kind stand beside its `type`, or below a key that does.
    if (key.kind !== undefined && typeof type === 'string' && type !== key.kind) continue;
    const found = find(inner, rest, key);
    if (found !== undefined) return withKind(value, name, found);
  }
  return undefined;
}

function withKind(value: object, name: string, found: unknown): unknown {
  const { type } = value as { type?: unknown };
  return typeof type === 'string' && name !== 'type' ? { type, [name]: found } : { [name]: found };
}

/** The keys that a map must have, or else its first; of a list or of names the first. */
function shortened(schema: Schema, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value))
    return isContainer(schema.items) ? value.slice(0, 1).map((each) => shortened(schema.items!, each)) : value;
  const entries = Object.entries(value);
  const shape = matching(schema, value);
  if (shape?.properties) {
    const needed = entries.filter(([name]) => shape.required?.includes(name));
    const kept = needed.length > 0 ? needed : entries.slice(0, 1);
    return Object.fromEntries(kept.map(([name, each]) => [name, shortened(shape.properties?.[name] ?? {}, each)]));
  }
  if (!isContainer(shape?.additionalProperties || undefined)) return value;
  return Object.fromEntries(
    entries.slice(0, 1).map(([name, each]) => [name, shortened(shape!.additionalProperties as Schema, each)]),
  );
}

function isContainer(schema: Schema | undefined): boolean {
  return schema !== undefined && [schema, ...alternativesOf(schema)].some((each) => each.properties !== undefined);
}

/** The alternative that describes a map. */
function matching(schema: Schema, value: object): Schema | undefined {
  const { type } = value as { type?: unknown };
  const shapes = [schema, ...alternativesOf(schema)].filter((each) => each.properties ?? each.additionalProperties);
  return shapes.find((each) => kindOf(each) === undefined || kindOf(each) === type) ?? shapes[0];
}

/** Values that exclude each other, so that no one file has them: what may stand in gateway.example.yaml in place of the value there. */
export const variants: readonly (readonly [path: string, value: unknown])[] = [
  [
    'admin',
    {
      listen: '127.0.0.1:9090',
      publicUrl: 'https://console.example.com:9090',
      tls: { certFile: 'tls/tls.crt', keyFile: 'tls/tls.key' },
      authenticate: 'corp-oauth',
      allow: { claims: { groups: ['platform'] } },
      login: {
        authenticator: 'corp-oauth',
        clientId: 'portcullis-console',
        clientSecret: '${file:secrets/introspection}',
      },
    },
  ],
  ['server.clientCertificateHeader.proxy', { commonName: 'edge' }],
  ['server.clientCertificateHeader.proxy', { uri: 'spiffe://example.com/ns/edge/sa/proxy' }],
  ['server.clientCertificateHeader.proxy', { fingerprint: `sha256:${'5c1f0a9e8c1a7c0f'.repeat(4)}` }],
];

/** The content of a file with another value at a path of names. */
export function withValue(file: unknown, path: string, value: unknown): unknown {
  const [name, ...rest] = path.split('.');
  const inner = (file as Record<string, unknown>)[name!];
  return { ...(file as object), [name!]: rest.length === 0 ? value : withValue(inner, rest.join('.'), value) };
}
