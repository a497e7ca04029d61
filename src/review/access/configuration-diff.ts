// Difference of two configurations beside their rules: who is believed to be whom, and where routes lead.
import { hash } from 'node:crypto';
import { identityKeyOf } from '../../authn/certificate/identity.ts';
import type { Config } from '../../config/schema/config.ts';
import type { NamedFiles } from '../../named-files.ts';
import { metaToolsOf } from '../../policy/presets.ts';
import type { PolicyFile } from '../policy-file.ts';

/** A change of which the rules say nothing. */
export interface ConfigurationChange {
  /** Public: one sentence. */
  readonly words: string;
  /** It may let in somebody whom the rules do not speak of. */
  readonly mayWiden: boolean;
}

/** A part of a configuration: its members, by their names in words. */
interface Part {
  readonly words: string;
  readonly members: Readonly<Record<string, unknown>>;
}

/** Compares the parts of two configurations. Files count by their content, wherever they lie. */
export function compareConfigurations(before: PolicyFile, after: PolicyFile): ConfigurationChange[] {
  const [old, next] = [partsOf(before.loaded.config), partsOf(after.loaded.config)];
  return [...new Set([...old.keys(), ...next.keys()])].flatMap((key): ConfigurationChange[] => {
    const [one, other] = [old.get(key), next.get(key)];
    if (one === undefined) return [{ words: `${other!.words} is new`, mayWiden: key.startsWith('certificate ') }];
    if (other === undefined) return [{ words: `${one.words} is gone`, mayWiden: false }];
    const names = [...new Set([...Object.keys(one.members), ...Object.keys(other.members)])].filter(
      (name) => textOf(one.members[name], before.loaded.files) !== textOf(other.members[name], after.loaded.files),
    );
    return names.length === 0 ? [] : [{ words: `${other.words}: another ${names.join(', ')}`, mayWiden: true }];
  });
}

/** Keys of authenticators that say nothing about whom a credential stands for, and those whose effect the access shows. */
const elsewhere: ReadonlySet<string> = new Set([
  ...['keys', 'keysFile', 'allow', 'maxScopes', 'deprecation', 'sunset', 'migrationGuide', 'keySet', 'cacheFor'],
]);

function partsOf({ server, authenticators, upstreams, routes }: Config): ReadonlyMap<string, Part> {
  const parts = new Map<string, Part>();
  const { clientCertificates, clientCaFile, clientCrlFile } = server.tls ?? {};
  const { trustedProxies, clientCertificateHeader } = server;
  const believed = { trustedProxies, clientCertificateHeader, clientCertificates, clientCaFile, clientCrlFile };
  parts.set('server', { words: 'server', members: believed });
  for (const [name, section] of Object.entries(authenticators)) {
    const members = Object.fromEntries(Object.entries(section).filter(([key]) => !elsewhere.has(key)));
    parts.set(`authenticator ${name}`, { words: `authenticator ${name}`, members });
    for (const [key, part] of credentialsOf(name, section)) parts.set(key, part);
  }
  for (const { path, name = path, resource, upstream = '', upstreamPath, mcp, respond } of routes) {
    const { url, identity, authorization } = upstreams[upstream] ?? {};
    const members = {
      resource,
      'place that it leads to': [url, upstreamPath, respond],
      'identity that the upstream is told': [identity, authorization],
      'set of tools that call others': mcp && metaToolsOf(mcp),
    };
    parts.set(`route ${path}`, { words: `route ${name}`, members });
  }
  return parts;
}

function credentialsOf(name: string, section: Config['authenticators'][string]): (readonly [string, Part])[] {
  if (section.type === 'apiKey') {
    return (section.keys ?? []).map(({ id, clientId, hash: secret }) => {
      const words = `key ${name}/${id} of client ${clientId}`;
      return [`key ${name}/${id}`, { words, members: { client: clientId, secret } }];
    });
  }
  if (section.type !== 'mtls') return [];
  return section.allow.map((entry) => {
    const kind = identityKeyOf(entry)!;
    const words = `certificate ${name}/${entry[kind]} of client ${entry.clientId}`;
    return [`certificate ${name}/${entry[kind]}`, { words, members: { kind, client: entry.clientId } }];
  });
}

/** Equal for equal values, whatever the order of their members. */
function textOf(value: unknown, files: NamedFiles): string | undefined {
  return JSON.stringify(value, (_key, each: unknown) => {
    const content = typeof each === 'string' ? files.get(each) : undefined;
    if (content !== undefined) return `sha256:${hash('sha256', content)}`;
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  });
}
