// Links of Markdown: what is a link and what is code, and the anchors of headings as GitHub makes them.
import { posix } from 'node:path';
import { slugOf } from '../../../docs/.vitepress/slug.ts';

const link = /(\]\()([^)\s#]*)(#[^)\s]*)?(\))/g;

/** The text with each link outside of code replaced by what `replace` makes of its target and anchor. */
export function withLinks(
  markdown: string,
  replace: (target: string, anchor: string | undefined) => string | undefined,
): string {
  return markdown
    .split(/(^```[\s\S]*?^```$|`[^`\n]*`)/m)
    .map((part, index, parts) =>
      index % 2 === 1 || parts.length === 0
        ? part
        : part.replace(link, (whole, open: string, target: string, anchor: string | undefined, close: string) => {
            const other = replace(target, anchor?.slice(1));
            return other === undefined ? whole : `${open}${other}${close}`;
          }),
    )
    .join('');
}

/** Every link outside of code. */
export function linksOf(markdown: string): { target: string; anchor: string | undefined }[] {
  const links: { target: string; anchor: string | undefined }[] = [];
  withLinks(markdown, (target, anchor) => {
    links.push({ target, anchor });
    return undefined;
  });
  return links;
}

/** The anchors of a page: of a heading its own (`{#name}`), or the one that GitHub gives it. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  const headings = markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} (.*)$/gm);
  for (const [, heading = ''] of headings) {
    const slug = /\{#([^}]+)\}$/.exec(heading)?.[1] ?? slugOf(heading);
    let unique = slug;
    for (let count = 1; anchors.has(unique); count++) unique = `${slug}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Whether a target leaves the repository. */
export function isExternal(target: string): boolean {
  return /^[a-z][a-z+.-]*:/.test(target);
}

/** The path in the repository that a link of a page leads to. */
export function resolved(page: string, target: string): string {
  return target === '' ? page : posix.normalize(posix.join(posix.dirname(page), target));
}
