// Pins: the definitions that a route's upstream shows, held against its recorded catalogue.
import { createBoundedCache } from '../../bounded-cache.ts';
import type { McpMessage } from '../message.ts';
import type { Listing, ListMember } from '../methods.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import { type Definition, definitionOf, digestOf, isMap, type Recorded } from './definition.ts';
import { cut, type Difference, differencesOf } from './difference.ts';

/** A name that is not recorded, or a definition that is not as it was recorded. */
export interface DefinitionChange {
  readonly list: ListMember;
  readonly name: string;
  /** The digest in the catalogue; undefined for a name that is not in it. */
  readonly recorded: string | undefined;
  /** The digest of what the upstream showed; undefined where a call is refused by its name alone. */
  readonly seen: string | undefined;
  readonly differences: readonly Difference[];
}

/** The place where a definition is shown: in a list, or in the result of a search. */
export type Form = 'listed' | 'found';

/** Gives the item that is shown. */
export type ReadItem = () => Definition;

/** One answer of the upstream to one viewer. */
export interface View {
  /** The change of an item that is shown; undefined for one that is as it was recorded. `read` is undefined where the name alone is shown. */
  changeOf(
    listing: Pick<Listing, 'member'>,
    name: string,
    read: ReadItem | undefined,
    form: Form,
  ): DefinitionChange | undefined;
}

/** The pins of one route. */
export interface Pins {
  /** `viewer` is the subject that the answer is for. Within one answer a name that has changed once stays changed. */
  view(viewer: string): View;
  /**
   * The change because of which a message is refused: of a name that it calls, asks for, reads or subscribes to. A name counts as changed when it was
   * in the last answer that showed it to anybody, or to this viewer.
   */
  refusalOf(message: McpMessage, viewer: string): DefinitionChange | undefined;
  /** The names that are changed in the last answers. */
  changed(): readonly DefinitionChange[];
}

type Changes = Map<string, DefinitionChange>;

/** The changes in the last answers to one viewer. */
interface Viewed {
  readonly changes: Changes;
  bytes: number;
}

const maxViewers = 10_000;
const maxViewerBytes = 32 * 1024 * 1024;
/** Of a change that is kept. */
const maxPointers = 4;
/** Of a name that is not recorded. */
const maxName = 256;
/** Names that are not recorded in one answer; further ones are not reported. */
const maxStrangers = 100;
const forms: readonly Form[] = ['listed', 'found'];

/** Creates the pins of a catalogue. `report` is told each answer with a change. */
export function createPins(catalog: Catalog, report: (change: DefinitionChange) => void): Pins {
  const last: Changes = new Map();
  const size = { bytes: maxViewerBytes, of: ({ bytes }: Viewed) => bytes };
  const ofViewers = createBoundedCache<Viewed>({ entries: maxViewers, size });
  const templates = [...catalog.resourceTemplates.keys()].map((template) => ({ template, parts: partsOf(template) }));

  function take(change: DefinitionChange | undefined, key: string, viewer: string): void {
    const own = ofViewers.get(viewer) ?? { changes: new Map(), bytes: 0 };
    const [before, now] = [own.changes.get(key), change && keptOf(change)];
    if (now === undefined) last.delete(key);
    else last.set(key, now);
    if (before === undefined && now === undefined) return;
    if (now === undefined) own.changes.delete(key);
    else own.changes.set(key, now);
    own.bytes += sizeOf(key, now) - sizeOf(key, before);
    // Set anew, or the cache would keep its size as it was.
    ofViewers.delete(viewer);
    if (own.changes.size > 0) ofViewers.set(viewer, own);
  }

  const shownTo = (list: ListMember, name: string, viewer: string): DefinitionChange | undefined => {
    for (const form of forms) {
      const key = keyOf(list, name, form);
      const change = last.get(key) ?? ofViewers.get(viewer)?.changes.get(key);
      if (change !== undefined) return change;
    }
    return undefined;
  };
  const refusal = (list: ListMember, name: string, viewer: string): DefinitionChange | undefined =>
    catalog[list].has(name) ? shownTo(list, name, viewer) : unrecorded(list, name);
  /** One that is not recorded itself may be of a recorded template. */
  const refusalOfResource = (uri: string, viewer: string): DefinitionChange | undefined => {
    if (catalog.resources.has(uri)) return shownTo('resources', uri, viewer);
    const covering = templates.filter(({ template, parts }) => template === uri || covers(parts, uri));
    if (covering.length === 0) return unrecorded('resources', uri);
    const changes = covering.map(({ template }) => shownTo('resourceTemplates', template, viewer));
    return changes.includes(undefined) ? undefined : changes[0];
  };

  return {
    view(viewer) {
      const changed: Changes = new Map();
      let strangers = 0;
      return {
        changeOf({ member }, name, read, form) {
          const entry = catalog[member].get(name);
          if (entry === undefined) {
            // Refused without a state, and past a number unread: an upstream could name any number.
            const isLooked = ++strangers <= maxStrangers;
            const stranger = unrecorded(member, name, isLooked ? read : undefined);
            if (isLooked) report(stranger);
            return stranger;
          }
          const key = keyOf(member, name, form);
          const change = changed.get(key) ?? compare(entry, member, name, read?.(), form);
          if (read !== undefined) take(change, key, viewer);
          if (change === undefined) return undefined;
          changed.set(key, change);
          report(change);
          return change;
        },
      };
    },
    refusalOf({ target, via, named }, viewer) {
      const change = via === undefined ? undefined : refusal('tools', via, viewer);
      if (change !== undefined) return change;
      for (const { kind, name } of [...(target === undefined ? [] : [target]), ...(named ?? [])]) {
        const refused =
          kind === 'tool'
            ? refusal('tools', name, viewer)
            : kind === 'prompt'
              ? refusal('prompts', name, viewer)
              : kind === 'resource'
                ? refusalOfResource(name, viewer)
                : undefined;
        if (refused !== undefined) return refused;
      }
      return undefined;
    },
    changed: () => [...last.values()],
  };
}

function keyOf(list: ListMember, name: string, form: Form): string {
  return `${form} ${list} ${name}`;
}

function unrecorded(list: ListMember, name: string, read?: ReadItem): DefinitionChange {
  const seen = read && digestOf(definitionOf(list, read()));
  return { list, name: cut(name, maxName), recorded: undefined, seen, differences: [] };
}

/** The part of a change that a refusal needs. */
function keptOf(change: DefinitionChange): DefinitionChange {
  const differences = change.differences.slice(0, maxPointers).map(({ pointer }) => ({ pointer, text: '' }));
  return { ...change, differences };
}

/** About what it takes in memory. */
function sizeOf(key: string, change: DefinitionChange | undefined): number {
  if (change === undefined) return 0;
  const pointers = change.differences.reduce((sum, { pointer }) => sum + pointer.length, 0);
  return 500 + 2 * (key.length + change.name.length + pointers);
}

function compare(
  entry: CatalogEntry,
  list: ListMember,
  name: string,
  item: Definition | undefined,
  form: Form,
): DefinitionChange | undefined {
  const recorded = entry[form] ?? entry.listed ?? entry.found;
  if (item === undefined || recorded === undefined) return undefined;
  const definition = definitionOf(list, item);
  const seen = digestOf(definition);
  if (seen === recorded.digest) return undefined;
  const isPart = form === 'found' && entry.found === undefined;
  const differences = differencesOf(isPart ? partOf(recorded, definition) : recorded.definition, definition);
  return isPart && differences.length === 0 ? undefined : { list, name, recorded: recorded.digest, seen, differences };
}

/** A search shows fewer members than a list: those that it shows have to be the recorded ones. */
function partOf({ definition }: Recorded, shown: Definition): Definition {
  return Object.fromEntries(Object.entries(definition).filter(([name]) => Object.hasOwn(shown, name)));
}

/** The literal parts of a URI template (RFC 6570); an expression stands for any run of characters. */
function partsOf(template: string): readonly string[] {
  return template.split(/\{[^{}]*\}/);
}

function covers(parts: readonly string[], uri: string): boolean {
  const [first = '', ...others] = parts;
  const ending = others.pop();
  if (ending === undefined) return uri === first;
  if (!uri.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = uri.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return uri.length - ending.length >= at && uri.endsWith(ending);
}

/** The item of a list as a definition. Throws an Error for the log where it is none. */
export function readDefinition(bytes: Buffer): Definition {
  const item: unknown = JSON.parse(bytes.toString());
  if (!isMap(item)) throw new Error('an item of a list is no object');
  return item;
}
