// Layout of the console's pages: document, navigation, landmarks.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Assets } from './assets.ts';
import type { OpenEventStream } from './events.ts';
import { documentText, type Html, html } from './html/html.ts';
import { pathOf } from './links.ts';
import type { ConsoleProcess, ConsoleSource } from './source.ts';
import type { Operator } from './streams/orders.ts';

/** A page of the console. It works without script; a script of its own adds to it. */
export interface ConsolePage {
  /** `/` or `/name`. */
  readonly path: string;
  /** In the navigation and the title. */
  readonly name: string;
  /** Answers a GET. An error that it throws is answered as a page with its status. */
  readonly render: (request: PageRequest) => Promise<PageContent>;
  /** Pages below it, which are not in the navigation; their paths have parameters. */
  readonly below?: readonly Pick<ConsolePage, 'path' | 'name' | 'render'>[];
  /** Routes besides the pages: events, JSON, posted forms. They stand behind the same guard. */
  readonly routes?: (
    app: FastifyInstance,
    read: (request: FastifyRequest) => PageRequest,
    openStream: OpenEventStream,
  ) => void;
}

/** Facts of a request for a page. */
export interface PageRequest {
  /** The gateway process that is shown. */
  readonly source: ConsoleSource;
  /** The number of the worker that is shown; undefined for a gateway of one process. */
  readonly worker: number | undefined;
  readonly processes: readonly ConsoleProcess[];
  readonly query: URLSearchParams;
  /** Parameters of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Undefined where nobody is asked who it is. */
  readonly viewer: Viewer | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** A person or program that has authenticated. */
export interface Viewer {
  readonly name: string;
  readonly operator: Operator;
  /** For the hidden field `csrf` of each posted form. */
  readonly csrfToken: string;
  /** Undefined where there is no session that could end: a client certificate, a token. */
  readonly logoutPath?: string | undefined;
}

/** Content of a page. */
export interface PageContent {
  /** Behind the `<h1>`; sections with `<h2>`. */
  readonly body: Html;
  /** A sentence below the heading. */
  readonly lead?: Html | string | undefined;
  /** Names of scripts and style sheets of `assets`, in their order. */
  readonly scripts?: readonly string[];
  readonly styles?: readonly string[];
}

/** Parts of the layout that are no page's. */
export interface Layout {
  readonly pages: readonly ConsolePage[];
  readonly assets: Assets;
  readonly version: string;
}

/** The document of a page, or of an error where there is no request to a page. */
export function renderPage(
  { assets, pages, version }: Layout,
  { name, path }: Pick<ConsolePage, 'name' | 'path'>,
  { body, lead, scripts = [], styles = [] }: PageContent,
  request: Partial<PageRequest>,
): string {
  const { worker } = request;
  const linkTo = (to: string) => pathOf(to, { worker });
  return documentText(html`<html lang="en"${request.now !== undefined && html` data-now="${request.now}"`}>
<head>
<meta charset="utf-8">
<title>${name} – Portcullis</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${assets.path('icon.svg')}" type="image/svg+xml">
${['console.css', ...styles].map((style) => html`<link rel="stylesheet" href="${assets.path(style)}">`)}
<script src="${assets.path('theme.js')}"></script>
${['console.js', ...scripts].map((script) => html`<script src="${assets.path(script)}" defer></script>`)}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<a class="brand" href="${linkTo('/')}"><svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M4 21V10a8 8 0 0 1 16 0v11M8 21V7M12 21V5M16 21V7M5 11h14M5 16h14"/></svg>Portcullis</a>
<nav class="pages" aria-label="Pages"><ul>${pages.map(
    (page) =>
      html`<li><a href="${linkTo(page.path)}"${page.path === path && html` aria-current="page"`}>${page.name}</a></li>`,
  )}</ul></nav>
<div class="tools">${viewerPart(request.viewer)}<button type="button" class="quiet" id="theme" hidden>Theme</button></div>
</header>
<main id="main" tabindex="-1">
${processesPart(path, request)}
<h1>${name}</h1>
${lead !== undefined && html`<p class="lead">${lead}</p>`}
${body}
</main>
<footer>Portcullis ${version} · history over days is in Grafana</footer>
</body>
</html>
`);
}

function viewerPart(viewer: Viewer | undefined): Html | undefined {
  if (viewer === undefined) return undefined;
  const { csrfToken, logoutPath, name } = viewer;
  return html`<span class="viewer" title="Signed in as ${name}">${name}</span>${
    logoutPath !== undefined &&
    html`<form method="post" action="${logoutPath}"><input type="hidden" name="csrf" value="${csrfToken}"><button class="quiet">Log out</button></form>`
  }`;
}

/** The choice between the workers. */
function processesPart(path: string, { processes = [], worker }: Partial<PageRequest>): Html | undefined {
  if (worker === undefined) return undefined;
  return html`<nav class="processes" aria-label="Workers"><span>Shows one process of ${processes.length}:</span><ul>${processes.map(
    (each) =>
      html`<li>${
        each.source === undefined
          ? html`<span class="muted" title="${each.problem}">worker ${each.worker} (${each.problem ?? 'down'})</span>`
          : html`<a href="${path}?worker=${each.worker}"${each.worker === worker && html` aria-current="true"`}>worker ${each.worker}</a>`
      }</li>`,
  )}</ul></nav>`;
}
