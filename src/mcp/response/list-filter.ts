// Filter for lists of tools, resources, templates and prompts: only items that the caller is shown stay, with every byte as it was.
import { applyEdits, type Edit, keepElements } from '../../json/edit.ts';
import { isArray, spanOf, stringAt } from '../../json/members.ts';
import { responseLimits, scanElements } from '../../json/scanner.ts';
import { type Listing, type ListMember, listings } from '../methods.ts';
import { type Result, readResults, shapeOfMembers, shapeOfResult } from './results.ts';

/**
 * True for an item that the caller is shown. `name` is its member `listing.key`; `item` its text in a list, and in the result of a search (`found`)
 * where that has more than the name.
 */
export type ShowsItem = (listing: Listing, name: string, item: Buffer | undefined, found: boolean) => boolean;

type Member = ListMember | 'ttlMs' | 'cacheScope';

const all = [...listings.values()];
const listResult = shapeOfResult<Member>([...all.map(({ member }) => member), 'ttlMs', 'cacheScope']);
const itemShapes = new Map(all.map(({ key }) => [key, shapeOfMembers([key])]));

/**
 * Filters the lists in the results of a text: every one there is, and where a list was asked for (`expected`) there must be that one. A result with a
 * list is marked as cacheable for this caller only. Yields undefined when nothing changes. Throws an Error, whose message is for the log, when
 * the text, a list in it or an item cannot be read.
 */
export function filterLists(text: Buffer, expected: Listing | undefined, shows: ShowsItem): Buffer | undefined {
  const results = readResults(text, listResult, expected !== undefined);
  return applyEdits(
    text,
    results.flatMap((result) => editsOf(text, result, expected, shows)),
  );
}

function editsOf(text: Buffer, result: Result<Member>, expected: Listing | undefined, shows: ShowsItem): Edit[] {
  const edits: Edit[] = [];
  let lists = 0;
  for (const listing of all) {
    const list = result.member(listing.member);
    if (list === undefined || !isArray(text, list)) {
      if (listing.member === expected?.member) throw new Error(`the result has no list \`${listing.member}\``);
      continue;
    }
    lists += 1;
    const items = scanElements(text, list.start, itemShapes.get(listing.key)!, 1, responseLimits);
    edits.push(
      ...keepElements(text, list, items, (item) => {
        const name = stringAt(text, spanOf(item, 0));
        if (name === undefined) throw new Error(`an item of \`${listing.member}\` has no ${listing.key}`);
        return shows(listing, name, text.subarray(item.start, item.end), false);
      }),
    );
  }
  return lists === 0 ? edits : [...edits, ...privateScope(text, result)];
}

/** A result that says how long it may be kept and not for whom would be taken for one that is the same for everybody. */
function privateScope(text: Buffer, result: Result<Member>): Edit[] {
  const scope = result.member('cacheScope');
  if (scope !== undefined) return stringAt(text, scope) === 'private' ? [] : [{ ...scope, text: '"private"' }];
  const lifetime = result.member('ttlMs');
  if (lifetime === undefined) return [];
  return [{ start: lifetime.end, end: lifetime.end, text: ',"cacheScope":"private"' }];
}
