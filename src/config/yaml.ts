// YAML documents as plain values with their places. Strict: one document, string keys, no tags, bounded aliases.
import {
  type Alias,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { ConfigError, formatPath, type Problem } from './problem.ts';
import type { Path } from './schema/reporter.ts';

/** Values reached through aliases, in all; a document without aliases is bounded by its size. */
const maxAliasedNodes = 10_000;
const maxDepth = 64;
const plainTags = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => `tag:yaml.org,2002:${tag}`),
);

/** A YAML document whose values have places. */
export interface LocatedYaml {
  /** As problems name it. */
  readonly file: string;
  /** Maps, arrays, strings, numbers, booleans and null. */
  readonly value: unknown;
  /** Problems of the document itself, apart from syntax. */
  readonly problems: readonly Problem[];
  /** A problem at a value, or at its nearest existing ancestor; `at: 'key'` places it at the key. */
  problem(path: Path, message: string, at?: 'key' | 'value'): Problem;
}

/** Options of `parseLocatedYaml`. */
export interface YamlOptions {
  /** False for a number, as JSON writes it, that readers take for different values: it is then a problem. */
  readonly isExact?: (text: string) => boolean;
}

/** Reads one document. Throws a ConfigError with a single problem when it is no YAML at all. */
export function parseLocatedYaml(file: string, content: Buffer, options: YamlOptions = {}): LocatedYaml {
  const lines = new LineCounter();
  const text = decodeUtf8(file, content);
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw syntaxError(file, lines, fault.pos[0], syntaxMessage(fault.code, fault.message));
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
    throw syntaxError(file, lines, 0, 'only YAML 1.2 is read; leave the %YAML directive out');
  }
  const root = document.contents;
  if (root === null) throw syntaxError(file, lines, 0, 'the file is empty');

  const targets = aliasTargets(document);
  const problems: Problem[] = [];
  const problemAt = (path: Path, message: string, at: 'key' | 'value' = 'value'): Problem => {
    const place = placeOf(lines, offsetOf(root, targets, path, at));
    return { file, ...place, path: formatPath(path), message };
  };
  const value = convert(root, targets, options, (path, message, at) => problems.push(problemAt(path, message, at)));
  return { file, value, problems, problem: problemAt };
}

type Targets = ReadonlyMap<Alias, Node>;
type Report = (path: Path, message: string, at?: 'key' | 'value') => void;

/** The target of every alias: the nearest anchor of its name before it. One pass, where the library walks once per alias. */
function aliasTargets(document: ReturnType<typeof parseDocument>): Targets {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, (_, node) => {
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target !== undefined) targets.set(node, target);
    } else if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
  });
  return targets;
}

function convert(root: Node, targets: Targets, { isExact }: YamlOptions, report: Report): unknown {
  let aliased = 0;
  const toValue = (node: unknown, path: Path, throughAlias: boolean): unknown => {
    if (throughAlias && ++aliased > maxAliasedNodes) {
      if (aliased === maxAliasedNodes + 1) report(path, 'the aliases of this file expand to too many values');
      return undefined;
    }
    if (path.length > maxDepth) {
      report(path.slice(0, maxDepth), 'nested too deeply');
      return undefined;
    }
    if (isAlias(node)) {
      const target = targets.get(node);
      if (target === undefined) report(path, 'the alias stands for nothing: no anchor of its name comes before it');
      return target && toValue(target, path, true);
    }
    if ((isScalar(node) || isMap(node) || isSeq(node)) && node.tag !== undefined && !plainTags.has(node.tag)) {
      report(path, 'YAML tags are not understood here');
      return undefined;
    }
    if (isMap(node)) return toObject(node, path, throughAlias);
    if (isSeq(node)) return node.items.map((item, index) => toValue(item, [...path, index], throughAlias));
    if (!isScalar(node)) return null;
    if (isExact !== undefined && !isExactScalar(node, isExact))
      report(path, 'JSON readers take this number for different values; as text of JSON it is kept as it is written');
    return node.value;
  };
  const toObject = (map: YAMLMap, path: Path, throughAlias: boolean): Record<string, unknown> => {
    const object: Record<string, unknown> = {};
    for (const { key, value } of map.items) {
      const name = keyName(key);
      if (name === undefined) report(path, 'every key must be a string; quote it');
      else if (name === '__proto__') report([...path, name], 'this key is not allowed', 'key');
      else if (Object.hasOwn(object, name)) report([...path, name], 'duplicate key', 'key');
      else object[name] = toValue(value, [...path, name], throughAlias);
    }
    return object;
  };
  return toValue(root, [], false);
}

/** Numbers that are not finite, which JSON lacks, are left to the reader of the value. */
function isExactScalar({ source = '', value }: Scalar, isExact: (text: string) => boolean): boolean {
  if (typeof value !== 'number' || !Number.isFinite(value)) return true;
  if (/^0[xo]/.test(source)) return Number.isSafeInteger(value);
  // Forms that YAML has beside those of JSON: +1, .5, 1. and 1.e3.
  return isExact(
    source
      .replace(/^\+/, '')
      .replace(/^(-?)\./, '$10.')
      .replace(/\.(?!\d)/, ''),
  );
}

function keyName(key: unknown): string | undefined {
  return isScalar(key) && typeof key.value === 'string' ? key.value : undefined;
}

/** The offset at which the value (or its key) begins; for a path that does not exist, that of its nearest existing ancestor. */
function offsetOf(root: Node, targets: Targets, path: Path, at: 'key' | 'value'): number {
  let node: unknown = root;
  let offset = root.range?.[0] ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = targets.get(node);
    let next: unknown;
    if (isMap(node)) {
      // The last one, so that a duplicate key is placed where it is repeated.
      const pair = node.items.findLast((item) => keyName(item.key) === step);
      if (pair === undefined) break;
      const isTarget = depth === path.length - 1;
      next = at === 'key' && isTarget ? pair.key : (pair.value ?? pair.key);
    } else if (isSeq(node) && typeof step === 'number') next = node.items[step];
    if (next === undefined || next === null) break;
    offset = (next as Node).range?.[0] ?? offset;
    node = next;
  }
  return offset;
}

function decodeUtf8(file: string, content: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    throw new ConfigError([{ file, line: 1, column: 1, path: '', message: 'the file is not UTF-8 text' }]);
  }
}

function syntaxMessage(code: string, message: string): string {
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one YAML document';
  if (code === 'RESOURCE_EXHAUSTION') return 'nested too deeply';
  if (code === 'TAG_RESOLVE_FAILED') return 'YAML tags are not understood here';
  return `not valid YAML: ${message}`;
}

function syntaxError(file: string, lines: LineCounter, offset: number, message: string): ConfigError {
  return new ConfigError([{ file, ...placeOf(lines, offset), path: '', message }]);
}

function placeOf(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
