// Policy page: three views of the policy in force. Rules with their hits, who can do what, and an explanation.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { html } from '../html/html.ts';
import { pathOf } from '../links.ts';
import type { ConsolePage, PageRequest } from '../page.ts';
import { accessDownload, accessView } from './access-view.ts';
import { explanationView } from './explanation-view.ts';
import { rulesView } from './rules-view.ts';

const views = [
  { id: 'rules', name: 'Rules', render: rulesView },
  { id: 'who-can', name: 'Who can', render: accessView },
  { id: 'explain', name: 'Explain', render: explanationView },
] as const;

/** The page of the policy in force. */
export const policy: ConsolePage = {
  path: '/policy',
  name: 'Policy',
  async render(request) {
    const view = views.find(({ id }) => id === request.query.get('view')) ?? views[0];
    const links = views.map(
      ({ id, name }) =>
        html`<li><a href="${pathOf('/policy', request, { view: id })}"${id === view.id && html` aria-current="page"`}>${name}</a></li>`,
    );
    const body = html`<nav class="views" aria-label="Views of the policy"><ul>${links}</ul></nav>
${await view.render(request)}`;
    return { body, styles: ['policy.css'] };
  },
  routes(app: FastifyInstance, read: (request: FastifyRequest) => PageRequest) {
    for (const format of ['csv', 'json'] as const) {
      app.get(`/policy/who-can.${format}`, async (request, reply) => {
        const { text, type } = await accessDownload(read(request), format);
        return reply.type(type).header('content-disposition', `attachment; filename="who-can.${format}"`).send(text);
      });
    }
  },
};
