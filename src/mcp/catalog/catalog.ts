// Catalogue of an MCP server: the recorded definitions of its tools, resources, templates and prompts, and the file that holds them.
import * as z from 'zod';
import { responseLimits, scanJson } from '../../json/scanner.ts';
import { compileShape } from '../../json/shape.ts';
import { type ListMember, listings } from '../methods.ts';
import { type Definition, digestOf, isMap, type Recorded } from './definition.ts';

/** The record of one name. Without `listed` it stands in no list; without both only the name is known. */
export interface CatalogEntry {
  /** As a list shows it. */
  readonly listed?: Recorded | undefined;
  /** As a search meta-tool shows it. */
  readonly found?: Recorded | undefined;
}

/** The recorded names of each list, with their definitions. */
export interface Catalog extends Readonly<Record<ListMember, ReadonlyMap<string, CatalogEntry>>> {
  readonly protocolVersion: string;
  readonly server: { readonly name: string; readonly version: string };
}

/** The lists of a catalogue, in the order of the file. */
export const catalogLists = [...listings.values()];

/** A fault of a catalogue file, with the path of the value. */
export interface CatalogFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hexadecimal digits');
const definition = z.custom<Definition>(isMap, 'expected an object');
const recorded = { digest, definition };
const catalogFile = z.strictObject({
  format: z.literal(
    'portcullis-catalog-1',
    'expected "portcullis-catalog-1"; record the file with `portcullis catalog`',
  ),
  protocolVersion: z.string(),
  server: z.strictObject({ name: z.string(), version: z.string() }),
  tools: z.array(
    z.strictObject({
      name: z.string(),
      digest: digest.optional(),
      definition: definition.optional(),
      search: z.strictObject(recorded).optional(),
    }),
  ),
  resources: z.array(z.strictObject({ uri: z.string(), ...recorded })),
  resourceTemplates: z.array(z.strictObject({ uriTemplate: z.string(), ...recorded })),
  prompts: z.array(z.strictObject({ name: z.string(), ...recorded })),
});

type CatalogFile = z.output<typeof catalogFile>;

/** Reads a catalogue file. Throws an Error with the first fault as its message. */
export function parseCatalog(content: Buffer): Catalog {
  scanJson(content, compileShape(new Map(), false), 1, responseLimits);
  const file: unknown = JSON.parse(content.toString());
  const [fault] = catalogFaults(file);
  if (fault !== undefined) throw new Error(`${fault.path.join('.')}: ${fault.message}`);
  return catalogOf(file as CatalogFile);
}

/** The faults of a parsed catalogue file: of its shape, of names that stand in it twice, and of digests that are not those of their definitions. */
export function catalogFaults(file: unknown): CatalogFault[] {
  const { success, data, error } = catalogFile.safeParse(file);
  if (!success) return error.issues.map(({ path, message }) => ({ path: path as CatalogFault['path'], message }));
  return catalogLists.flatMap(({ member, key }) => {
    const seen = new Set<string>();
    return data[member].flatMap((entry, index): CatalogFault[] => {
      const name = nameOf(entry, key);
      const faults = faultsOf(entry, key).map(({ path, message }) => ({ path: [member, index, ...path], message }));
      if (seen.has(name)) faults.push({ path: [member, index, key], message: 'stands in the list twice' });
      seen.add(name);
      return faults;
    });
  });
}

interface FileEntry {
  readonly digest?: string | undefined;
  readonly definition?: Definition | undefined;
  readonly search?: Recorded | undefined;
}

function faultsOf(entry: FileEntry, key: string): CatalogFault[] {
  const { digest, definition, search } = entry;
  const faults: CatalogFault[] = [];
  if ((digest === undefined) !== (definition === undefined))
    faults.push({ path: [], message: 'needs both digest and definition, or neither' });
  const both = [
    { path: [] as string[], part: entry },
    { path: ['search'], part: search },
  ];
  for (const { path, part } of both) {
    if (part?.definition === undefined) continue;
    if (part.definition[key] !== nameOf(entry, key))
      faults.push({ path: [...path, 'definition'], message: `has another ${key} than its entry` });
    if (part.digest !== undefined && part.digest !== digestOf(part.definition)) {
      const message = 'is not the digest of the definition beside it; record the file anew with `portcullis catalog`';
      faults.push({ path: [...path, 'digest'], message });
    }
  }
  return faults;
}

function nameOf(entry: object, key: string): string {
  return (entry as Record<string, string>)[key]!;
}

function catalogOf(file: CatalogFile): Catalog {
  const { protocolVersion, server } = file;
  const lists = catalogLists.map(({ member, key }) => {
    const entries = (file[member] as readonly FileEntry[]).map(({ digest, definition, search, ...entry }) => {
      const listed = digest === undefined || definition === undefined ? undefined : { digest, definition };
      return [nameOf(entry, key), { listed, found: search }] as const;
    });
    return [member, new Map<string, CatalogEntry>(entries)] as const;
  });
  return { protocolVersion, server, ...(Object.fromEntries(lists) as Record<ListMember, Map<string, CatalogEntry>>) };
}

/** The text of a catalogue file. Entries stand in the order of their names and members in canonical order: the same catalogue has the same bytes. */
export function formatCatalog(catalog: Catalog): string {
  const { protocolVersion, server } = catalog;
  const lists = catalogLists.map(({ member, key }) => {
    const names = [...catalog[member].keys()].sort();
    const entries = names.map((name) => {
      const { listed, found } = catalog[member].get(name)!;
      return { [key]: name, ...(listed && inOrder(listed)), ...(found && { search: inOrder(found) }) };
    });
    return [member, entries] as const;
  });
  const file = { format: 'portcullis-catalog-1', protocolVersion, server, ...Object.fromEntries(lists) };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

function inOrder({ digest, definition }: Recorded): object {
  return { digest, definition: sorted(definition) };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, sorted(value[name])]),
  );
}
