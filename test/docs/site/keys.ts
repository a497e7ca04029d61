// Keys of the configuration, read from its JSON Schema: path, type, default and description of each.
export interface Key {
  /** Such as `routes[].mcp.lists`; NAME stands for a name that the operator chooses. */
  readonly path: string;
  /** The value of `type` that the key needs beside it, where kinds of one thing have keys of their own. */
  readonly kind: string | undefined;
  readonly type: string;
  /** As the table shows it: `required`, the default, or a dash where absence is what the description says. */
  readonly fallback: string;
  readonly description: string;
  readonly schema: Schema;
}

export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | false;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

/** Every key of the schema, parents before children, in the order of the schema. */
export function keysOf(schema: Schema, path = '', kind?: string): Key[] {
  const keys: Key[] = [];
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const own = path === '' ? name : `${path}.${name}`;
    const required = schema.required?.includes(name) === true;
    keys.push({
      path: own,
      kind,
      type: typeOf(child, name),
      fallback: required ? 'required' : fallbackOf(child),
      description: child.description ?? '',
      schema: child,
    });
    keys.push(...keysOf(child, own, kind));
  }
  if (schema.additionalProperties) keys.push(...keysOf(schema.additionalProperties, `${path}.NAME`, kind));
  if (schema.items) keys.push(...keysOf(schema.items, `${path}[]`, kind));
  for (const each of alternativesOf(schema)) keys.push(...keysOf(each, path, kindOf(each) ?? kind));
  return keys;
}

export function alternativesOf(schema: Schema): readonly Schema[] {
  return [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
}

/** The value of `type` that tells an alternative from the others. */
export function kindOf(schema: Schema): string | undefined {
  const kind = schema.properties?.type?.const;
  return typeof kind === 'string' ? kind : undefined;
}

function fallbackOf({ default: value }: Schema): string {
  if (value === undefined) return '–';
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
    return Array.isArray(value) ? 'none' : '–';
  return code(Array.isArray(value) ? value.join(' ') : typeof value === 'string' ? value : JSON.stringify(value));
}

/** Words for the patterns of strings, each tried with a value that only it takes. */
const written: readonly [example: string, word: string][] = [
  ['30s', 'duration'],
  ['64KiB', 'size'],
  ['30/m', 'rate'],
  ['127.0.0.1:8443', 'address'],
  [`sha256:${'0'.repeat(64)}`, '`sha256:` and 64 hex digits'],
  ['https://idp.example.com/', 'URL'],
];
/** Text that none of these forms takes. */
const others = ['plain text', 'a-name'];

function typeOf(schema: Schema, name: string): string {
  if (schema.const !== undefined) return schema.const === '' ? '`""`' : code(String(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  const alternatives = alternativesOf(schema).map((each) => typeOf(each, name));
  if (alternatives.length > 0) return [...new Set(alternatives)].join(', or ');
  if (schema.type === 'array') return schema.items ? `list of ${pluralOf(typeOf(schema.items, name))}` : 'list';
  if (schema.type === 'object') return 'map';
  if (schema.type === 'integer' || schema.type === 'number') return 'number';
  if (schema.type === 'string') return stringType(schema, name);
  return schema.type ?? 'any value';
}

function stringType({ pattern }: Schema, name: string): string {
  if (/Files?$|^file$|^path$/.test(name)) return 'path';
  if (pattern === undefined) return 'string';
  const form = new RegExp(pattern, 'u');
  return written.find(([example]) => form.test(example) && !others.some((text) => form.test(text)))?.[1] ?? 'string';
}

function pluralOf(word: string): string {
  return /^(string|path|map|number|address|URL)$/.test(word) ? `${word}${word.endsWith('s') ? 'es' : 's'}` : word;
}

function code(text: string): string {
  return `\`${text}\``;
}
