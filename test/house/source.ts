// The files of src as syntax trees of the TypeScript compiler, and the imports in them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  isCallExpression,
  isExportDeclaration,
  isExternalModuleReference,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { createVirtualFileSystem } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';

export const root = join(import.meta.dirname, '../..');

/** Parses files, given by their path below `src`. A file that is no TypeScript throws. */
export function parse(texts: Record<string, string>): Map<string, SourceFile> {
  const options = { noLib: true, noResolve: true, types: [], allowImportingTsExtensions: true, noEmit: true };
  const files = Object.fromEntries(Object.entries(texts).map(([path, text]) => [`/src/${path}`, text]));
  const config = JSON.stringify({ compilerOptions: options, include: ['src'] });
  const api = new API({ cwd: '/', fs: createVirtualFileSystem({ '/tsconfig.json': config, ...files }) });
  try {
    const { program } = api.updateSnapshot({ openProjects: ['/tsconfig.json'] }).getProjects()[0]!;
    const faults = program.getSyntacticDiagnostics();
    if (faults.length > 0) throw new Error(`${faults[0]!.fileName}: ${JSON.stringify(faults[0])}`);
    return new Map(Object.keys(texts).map((path) => [path, program.getSourceFile(`/src/${path}`)!]));
  } finally {
    api.close();
  }
}

/** All files of `src`, by their path below it. */
export function parseSource(folder = join(root, 'src')): Map<string, SourceFile> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  return parse(Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(folder, path), 'utf8')])));
}

/** Every node of a file, parents before children. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

export interface Import {
  /** Undefined where it is computed when the program runs. */
  specifier: string | undefined;
  typeOnly: boolean;
  line: number;
}

/** Every way in which a file names another module: declarations, `export … from`, `import()`, types, `require`. */
export function importsOf(file: SourceFile): Import[] {
  const imports: Import[] = [];
  for (const node of nodesOf(file)) {
    const found = moduleNamedBy(node);
    if (found === undefined) continue;
    const { name, typeOnly = false } = found;
    const specifier = name && (isStringLiteral(name) || isNoSubstitutionTemplateLiteral(name)) ? name.text : undefined;
    const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
    imports.push({ specifier, typeOnly, line });
  }
  return imports;
}

function moduleNamedBy(node: Node): { name: Node | undefined; typeOnly?: boolean } | undefined {
  if (isImportDeclaration(node)) {
    return { name: node.moduleSpecifier, typeOnly: node.importClause?.phaseModifier === SyntaxKind.TypeKeyword };
  }
  if (isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
    return { name: node.moduleSpecifier, typeOnly: node.isTypeOnly };
  }
  if (isImportTypeNode(node)) {
    return { name: isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, typeOnly: true };
  }
  if (isExternalModuleReference(node)) return { name: node.expression };
  if (!isCallExpression(node)) return undefined;
  // What it loads is seen by its name.
  if (node.parent.getText() === 'require = createRequire(import.meta.url)') return undefined;
  const { expression } = node;
  const loads =
    expression.kind === SyntaxKind.ImportKeyword ||
    ['require', 'createRequire', 'process.getBuiltinModule', 'import.meta.resolve'].includes(expression.getText());
  return loads ? { name: node.arguments[0] } : undefined;
}

const worldly = ['process', 'globalThis', 'console', 'fetch', 'performance', 'queueMicrotask'];
const timers = ['setTimeout', 'setInterval', 'setImmediate'];

/** The global names by which a file reads the clock, chance or the world around the program. */
export function globalsOf(file: SourceFile): string[] {
  const found: string[] = [];
  for (const node of nodesOf(file)) {
    if (isPropertyAccessExpression(node) && ['Date.now', 'Math.random'].includes(node.getText(file))) {
      found.push(node.getText(file));
    }
    if (isNewExpression(node) && node.expression.getText(file) === 'Date' && (node.arguments ?? []).length === 0) {
      found.push('new Date()');
    }
    if (isIdentifier(node) && [...worldly, ...timers].includes(node.text) && !isMemberName(node)) found.push(node.text);
  }
  return found;
}

function isMemberName(node: Node): boolean {
  const { parent } = node;
  return (isPropertyAccessExpression(parent) || isPropertyAssignment(parent)) && parent.name === node;
}

const literals = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
]);

/** The texts of the comments of a file, each on one line; consecutive line comments are one. */
export function commentsOf(file: SourceFile): string[] {
  const units = file.text.split('');
  for (const node of nodesOf(file)) {
    if (literals.has(node.kind)) units.fill('_', node.getStart(file), node.end);
  }
  const comments = units.join('').match(/\/\*[\s\S]*?\*\/|\/\/.*(?:\n *\/\/.*)*/g) ?? [];
  return comments.map((comment) =>
    comment
      .replace(/\*\/$/, '')
      .replace(/^ *(?:\/\*\*?|\*|\/\/)/gm, '')
      .replace(/\s+/g, ' ')
      .trim(),
  );
}
