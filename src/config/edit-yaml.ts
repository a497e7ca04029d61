// Edits of YAML files in place: the text around a change, comments included, stays as it is.
import { isDeepStrictEqual } from 'node:util';
import { isMap, isSeq, type Node, type Pair, parseDocument, stringify, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Path } from './schema/reporter.ts';
import { valueAt } from './tree.ts';
import { parseLocatedYaml } from './yaml.ts';

/** One change of a YAML document. */
export type YamlEdit =
  /** Adds an item to the end of the sequence at `path`, which is made where its key is missing. `comment` stands behind it. */
  | { readonly add: unknown; readonly path: Path; readonly comment?: string }
  /** Adds an item behind the one at `path`. */
  | { readonly insert: unknown; readonly behind: Path }
  /** Sets a member of the map at `path`. */
  | { readonly set: string; readonly value: unknown; readonly path: Path };

/**
 * Applies the edits one after the other. Throws an Error with a public message where the result would not say exactly what was asked for, such as in a
 * document with aliases; then the edit has to be made by hand.
 */
export function editYaml(text: string, edits: readonly YamlEdit[]): string {
  try {
    return edits.reduce(applyEdit, text);
  } catch (cause) {
    throw new Error('the file is written in a way that cannot be edited safely; make the change by hand', { cause });
  }
}

function applyEdit(text: string, edit: YamlEdit): string {
  const document = parseDocument(text, { uniqueKeys: false });
  const expected = document.toJS() ?? {};
  applyToValue(expected, edit);
  let edited: string | undefined;
  if ('set' in edit) edited = setMember(text, nodeAt(document.contents, edit.path), edit);
  else if ('insert' in edit) {
    const sequence = nodeAt(document.contents, edit.behind.slice(0, -1));
    edited = addItem(text, sequence, Number(edit.behind.at(-1)), edit.insert);
  } else edited = addToList(text, document.contents, edit);
  if (edited === undefined || !says(edited, expected)) throw new Error('it would not say what was asked for');
  return edited;
}

function applyToValue(root: unknown, edit: YamlEdit): void {
  const membersAt = (path: Path) => valueAt(root, path) as Record<string, unknown>;
  const itemsAt = (path: Path) => valueAt(root, path) as unknown[] | undefined;
  if ('set' in edit) membersAt(edit.path)[edit.set] = edit.value;
  else if ('insert' in edit) itemsAt(edit.behind.slice(0, -1))!.splice(Number(edit.behind.at(-1)) + 1, 0, edit.insert);
  else membersAt(edit.path.slice(0, -1))[edit.path.at(-1)!] = [...(itemsAt(edit.path) ?? []), edit.add];
}

function says(text: string, expected: unknown): boolean {
  const { problems, value } = parseLocatedYaml('', Buffer.from(text));
  const plain = (each: unknown) => JSON.parse(JSON.stringify(each));
  return problems.length === 0 && isDeepStrictEqual(plain(value), plain(expected));
}

function nodeAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((node, step) => {
    if (isMap(node)) return node.get(step, true);
    return isSeq(node) ? node.items[Number(step)] : undefined;
  }, root);
}

function addToList(
  text: string,
  root: unknown,
  { add, comment, path }: Extract<YamlEdit, { add: unknown }>,
): string | undefined {
  const sequence = nodeAt(root, path);
  const isFlow = isMap(root) && root.flow === true && root.items.length > 0;
  if (isSeq(sequence)) {
    if (sequence.items.length > 0) return addItem(text, sequence, sequence.items.length - 1, add, comment);
    const [start, end] = sequence.range!;
    if (isFlow) return splice(text, start, end, flowText([add]));
    return `${text.slice(0, start).trimEnd()}\n${itemText(add, '  ', comment)}${text.slice(end)}`;
  }
  if (sequence !== undefined || path.length !== 1) return undefined;
  if (isFlow) return setMember(text, root, { set: String(path[0]), value: [add], path: [] });
  // An empty map in braces makes room.
  const [start, end] = isMap(root) && root.items.length === 0 ? root.range! : [text.length, text.length];
  return `${withNewline(text.slice(0, start))}${path[0]}:\n${itemText(add, '  ', comment)}\n${text.slice(end).trimStart()}`;
}

function addItem(text: string, sequence: unknown, index: number, item: unknown, comment?: string): string | undefined {
  if (!isSeq(sequence)) return undefined;
  const before = sequence.items[index] as Node | undefined;
  if (before?.range == null) return undefined;
  const end = endOf(text, before);
  if (sequence.flow === true) return splice(text, end, end, `, ${flowText(item)}`);
  const lineEnd = endOfLine(text, end);
  return splice(text, lineEnd, lineEnd, `\n${itemText(item, indentOf(text, sequence), comment)}`);
}

function setMember(text: string, map: unknown, { set, value }: Extract<YamlEdit, { set: string }>): string | undefined {
  if (isMap(map) && map.items.length === 0)
    return splice(text, map.range![0], map.range![1], `${set}: ${flowText(value)}`);
  if (map === null) return `${withNewline(text)}${set}: ${flowText(value)}\n`;
  if (!isMap(map)) return undefined;
  const pairs = map.items as Pair<Node, Node>[];
  const own = pairs.find(({ key }) => String(key) === set);
  if (own?.value?.range != null) return splice(text, own.value.range[0], endOf(text, own.value), flowText(value));
  const last = pairs.at(-1)?.value;
  if (own !== undefined || last?.range == null) return undefined;
  const end = endOf(text, last);
  const member = `${set}: ${flowText(value)}`;
  if (map.flow === true) return splice(text, end, end, `, ${member}`);
  const lineEnd = endOfLine(text, end);
  return splice(text, lineEnd, lineEnd, `\n${' '.repeat(columnOf(text, pairs[0]!.key.range![0]))}${member}`);
}

function itemText(item: unknown, indent: string, comment?: string): string {
  const lines = stringify([item], { lineWidth: 0 }).trimEnd().split('\n');
  const [first, ...rest] = lines.map((line) => `${indent}${line}`);
  // A comment is one line.
  const note = comment === undefined ? '' : ` # ${comment.replaceAll(/[\r\n\u0085\u2028\u2029]+/g, ' ')}`;
  return [`${first}${note}`, ...rest].join('\n');
}

function flowText(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 }).trimEnd();
}

/** The end of the value without what only separates it from the next. */
function endOf(text: string, { range }: Node): number {
  const [start, end] = range!;
  return start + text.slice(start, end).trimEnd().length;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end === -1 ? text.length : end;
}

/** The white space before the dashes of a block sequence. */
function indentOf(text: string, sequence: YAMLSeq | YAMLMap): string {
  return ' '.repeat(columnOf(text, sequence.range![0]));
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

function splice(text: string, start: number, end: number, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
