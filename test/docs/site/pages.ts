// Pages of the site: those of docs, those that are made from the program, and the files that they link to.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { codesPage, metricsPage } from './codes.ts';
import { commandsPage } from './commands.ts';
import { configurationPages } from './configuration.ts';
import { isExternal, resolved, withLinks } from './links.ts';

/** A page for the generator: where it is written, and the file of the repository that it is made from. */
interface Page {
  readonly path: string;
  readonly source: string;
  readonly text: string;
}

export interface Site {
  /** Markdown by its path in the site. */
  readonly pages: ReadonlyMap<string, string>;
  /** Files of the repository that are served as they are, by their path in the site. */
  readonly files: ReadonlyMap<string, string>;
}

/** Pages of the repository that stand outside of docs. */
const outside = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];

/** Pages that hold every word: they would be the first result of every search. */
const unsearched = new Set(['project/changelog.md', 'reference/configuration/index.md']);
const noSearch = '---\nsearch: false\n---\n\n';

export async function sitePages(root: string): Promise<Site> {
  const pages = [...handWritten(root), ...(await generated(root))];
  const placeOf = new Map(pages.map(({ source, path }) => [source, path]));
  const files = new Map<string, string>();
  const texts = pages.map(({ path, source, text }): [string, string] => [
    path,
    withLinks(withoutComments(text), (target, anchor) => {
      if (target === '' || isExternal(target)) return undefined;
      const file = resolved(source, target);
      const place = placeOf.get(file);
      if (place !== undefined) return relative(path, place) + (anchor === undefined ? '' : `#${anchor}`);
      if (/\.(svg|png)$/.test(file)) return undefined;
      return fileLink(root, file, files);
    }),
  ]);
  const quiet = texts.map(([path, text]): [string, string] => [
    path,
    unsearched.has(path) ? `${noSearch}${text}` : text,
  ]);
  return { pages: new Map(quiet), files };
}

function handWritten(root: string): Page[] {
  const own = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => ({ path: name === 'README.md' ? 'index.md' : name, source: `docs/${name}` }));
  const project = outside.map((name) => ({ path: `project/${name.toLowerCase()}`, source: name }));
  return [...own, ...project].map((page) => ({
    ...page,
    text: withReferences(page.source, readFileSync(join(root, page.source), 'utf8')),
  }));
}

/** Of the page that is about the references: in the site they are there, so that it links to them. */
function withReferences(source: string, text: string): string {
  if (source !== 'docs/reference.md') return text;
  return text
    .replace('| keys of the configuration |', '| [keys of the configuration](reference/configuration/index.md) |')
    .replace(/^\| (commands|metrics) \|/gm, '| [$1](reference/$1.md) |')
    .replace('| error codes |', '| [error codes](reference/codes.md) |');
}

async function generated(root: string): Promise<Page[]> {
  const texts: [path: string, text: string][] = [
    ...[...configurationPages(root)].map(([name, text]): [string, string] => [
      `reference/configuration/${name}.md`,
      text,
    ]),
    ['reference/commands.md', await commandsPage()],
    ['reference/metrics.md', metricsPage(root)],
    ['reference/codes.md', codesPage(root)],
  ];
  // Their links are written for where they stand in the site, which is where docs would have them.
  return texts.map(([path, text]) => ({ path, source: `docs/${path}`, text }));
}

/** A file of the repository is shown as text, and a folder by its name alone. */
function fileLink(root: string, file: string, files: Map<string, string>): string {
  if (!existsSync(join(root, file))) throw new Error(`no such file in the repository: ${file}`);
  if (statSync(join(root, file)).isDirectory())
    throw new Error(`a link to a folder leads nowhere in the site: ${file}`);
  files.set(`files/${file}.txt`, file);
  return `/files/${file}.txt`;
}

function relative(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return path.startsWith('.') ? path : `./${path}`;
}

/** HTML comments are for tests and for readers of the source. */
function withoutComments(text: string): string {
  return text
    .split(/(^```[\s\S]*?^```$)/m)
    .map((part, index) => (index % 2 === 1 ? part : part.replace(/<!--[\s\S]*?-->\n*/g, '')))
    .join('');
}
