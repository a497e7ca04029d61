// VitePress: the site of the documentation. Nothing in it is loaded from elsewhere.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { slugOf } from './slug.ts';

const sections = join(import.meta.dirname, '../.pages/reference/configuration');

const icon = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M2 15V6a6 6 0 0 1 12 0v9M6 1v14M10 1v14M2 7h12M2 11h12" fill="none" stroke="#3451b2" stroke-width="1.5"/></svg>',
)}`;

function page(text: string, link: string): DefaultTheme.SidebarItem {
  return { text, link };
}

const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: 'Begin',
    items: [
      page('What do you want to do?', '/'),
      page('Try it', '/project/readme'),
      page('Superset', '/superset'),
      page('The configuration file', '/configuration'),
      page('Clients', '/clients'),
    ],
  },
  {
    text: 'Policy',
    items: [
      page('Change a policy safely', '/change-a-policy'),
      page('Review access', '/review-access'),
      page('Limits', '/limits'),
      page('From keys to OAuth', '/migrate-from-keys'),
    ],
  },
  {
    text: 'Run',
    items: [
      page('Deploy', '/deploy'),
      page('Operate', '/operations'),
      page('Console', '/console'),
      page('From one to many', '/from-one-to-many'),
      page('Upgrade', '/upgrade'),
      page('Failure modes', '/failure-modes'),
      page('Tracing', '/tracing'),
      page('Performance', '/performance'),
    ],
  },
  {
    text: 'Evidence',
    items: [page('Ship to a SIEM', '/ship-to-a-siem'), page('Answer the auditor', '/answer-the-auditor')],
  },
  {
    text: 'Reference',
    items: [
      page('Overview', '/reference'),
      {
        text: 'Configuration',
        link: '/reference/configuration/',
        collapsed: true,
        items: readdirSync(sections)
          .filter((name) => name !== 'index.md')
          .map((name) => page(name.replace('.md', ''), `/reference/configuration/${name.replace('.md', '')}`)),
      },
      page('Commands', '/reference/commands'),
      page('Metrics', '/reference/metrics'),
      page('Error codes', '/reference/codes'),
    ],
  },
  {
    text: 'Project',
    items: [
      page('Architecture', '/architecture'),
      page('Security', '/project/security'),
      page('Contributing', '/project/contributing'),
      page('Release', '/release'),
      page('Changelog', '/project/changelog'),
    ],
  },
];

export default defineConfig({
  title: 'Portcullis',
  description: 'An authenticating gateway in front of MCP servers',
  srcDir: '.pages',
  outDir: '.vitepress/dist',
  lang: 'en',
  // A picture of its own, so that no browser asks for one.
  head: [['link', { rel: 'icon', href: icon }]],
  markdown: {
    html: false,
    anchor: { slugify: slugOf },
    config(markdown) {
      const fence = markdown.renderer.rules.fence!;
      markdown.renderer.rules.fence = (tokens, index, options, env, self) => {
        const { info, content } = tokens[index]!;
        if (info.trim() !== 'mermaid') return fence(tokens, index, options, env, self);
        return `<Diagram source="${encodeURIComponent(content)}" />`;
      };
    },
  },
  themeConfig: {
    nav: [
      { text: 'Tasks', link: '/' },
      { text: 'Reference', link: '/reference' },
    ],
    sidebar,
    outline: [2, 3],
    search: {
      provider: 'local',
      // A heading that has the words says more than a long table that has them somewhere.
      options: { miniSearch: { searchOptions: { boost: { title: 12, titles: 3, text: 1 } } } },
    },
  },
  vite: { build: { chunkSizeWarningLimit: 3000 } },
});
