// Definitions of tools, resources, templates and prompts: the part of a list item that is recorded and pinned, and its digest.
import { hash } from 'node:crypto';
import { canonicalJson } from '../../json/canonical.ts';
import type { ListMember } from '../methods.ts';

/** The members of a list item. */
export type Definition = Readonly<Record<string, unknown>>;

/** A definition with its digest. */
export interface Recorded {
  /** `sha256:` and the SHA-256 of the canonical form (RFC 8785) in hex. */
  readonly digest: string;
  readonly definition: Definition;
}

/** The definition of an item. All members count, but for a resource those that say how its content is now: `size` and `annotations.lastModified`. */
export function definitionOf(member: ListMember, item: Definition): Definition {
  if (member !== 'resources' && member !== 'resourceTemplates') return item;
  const { size: _size, ...rest } = item;
  const { annotations, ...bare } = rest;
  if (!isMap(annotations)) return rest;
  const { lastModified: _lastModified, ...others } = annotations;
  return Object.keys(others).length === 0 ? bare : { ...bare, annotations: others };
}

/** The digest of a definition. */
export function digestOf(definition: Definition): string {
  return `sha256:${hash('sha256', canonicalJson(definition))}`;
}

/** The definition of an item, with its digest. */
export function recordedOf(member: ListMember, item: Definition): Recorded {
  const definition = definitionOf(member, item);
  return { digest: digestOf(definition), definition };
}

/** True for a JSON object. */
export function isMap(value: unknown): value is Definition {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
