// Overview page: policy in force, health, and what needs attention.
import { html } from '../html.ts';
import type { ConsolePage } from '../page.ts';
import { badge, card, code, facts, hash, time } from '../parts.ts';

/** The first page. */
export const overview: ConsolePage = {
  path: '/',
  name: 'Overview',
  async render({ now, source }) {
    const { configFile, inForceSince, notReady, policy, version } = await source.overview();
    const entries = [
      ['State', notReady.length === 0 ? badge('ready', 'good') : badge('not ready', 'bad')],
      ['Policy', hash(policy)],
      ['File', code(configFile)],
      ['In force', time(inForceSince, now)],
      ['Version', version],
    ] as const;
    return { body: html`${card('In force', facts(entries), 'in-force')}` };
  },
};
