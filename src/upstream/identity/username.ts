// Username for an upstream: a template over the principal. A missing value is never replaced by another.
import type { Principal } from '../../authn/caller/principal.ts';

const fields = ['subject', 'clientId', 'issuer', 'credentialId', 'authenticator'] as const;
type Field = (typeof fields)[number];

type Part = { readonly text: string } | { readonly field: Field } | { readonly claim: string };

/** A parsed template. */
export interface UsernameTemplate {
  readonly parts: readonly Part[];
  /** The claims, by their configured names, that it needs. */
  readonly claims: readonly string[];
}

/** The result of a template: a name, or the field without a usable value. */
export type Rendered = { readonly username: string } | { readonly missing: string };

const maxLength = 256;
const reference = /\$\{([^{}]*)\}/g;
const control = /\p{Cc}|[\u2028\u2029]/u;

/** Reads `${subject}`, `${claims.email}` and text around them. Throws an Error with a public message. */
export function parseUsername(template: string): UsernameTemplate {
  const parts: Part[] = [];
  let end = 0;
  for (const match of template.matchAll(reference)) {
    addText(parts, template.slice(end, match.index));
    parts.push(partOf(match[1]!));
    end = match.index + match[0].length;
  }
  addText(parts, template.slice(end));
  return { parts, claims: parts.flatMap((part) => ('claim' in part ? [part.claim] : [])) };
}

/** Fills a template for a principal. */
export function renderUsername({ parts }: UsernameTemplate, principal: Principal): Rendered {
  let username = '';
  for (const part of parts) {
    if ('text' in part) username += part.text;
    else {
      const value = 'field' in part ? principal[part.field] : claimOf(principal, part.claim);
      if (!isUsable(value)) return { missing: 'field' in part ? part.field : `claims.${part.claim}` };
      username += value;
    }
  }
  return username.length <= maxLength ? { username } : { missing: 'username' };
}

function addText(parts: Part[], text: string): void {
  if (text.includes('${')) throw new Error('has a ${ without its }');
  if (text.endsWith('$')) throw new Error('is a template already: one $ before { is enough');
  if (text !== '') parts.push({ text });
}

function partOf(name: string): Part {
  if (name.startsWith('claims.') && name.length > 7) return { claim: name.slice(7) };
  const field = fields.find((each) => each === name);
  if (field !== undefined) return { field };
  if (/^(env|file):/.test(name)) throw new Error('is a template over the principal: nothing else is put in here');
  throw new Error(`has a \${…} that is none of ${fields.join(', ')} and claims.name`);
}

/** A name is text or a whole number: a list or an object names nobody. */
function claimOf({ claims }: Principal, name: string): string | undefined {
  const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (typeof value === 'string') return value;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

function isUsable(value: string | undefined): value is string {
  return value !== undefined && value !== '' && value.isWellFormed() && !control.test(value);
}
