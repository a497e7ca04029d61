// Parts that the views of the policy share.
import { type Html, html } from '../html/html.ts';
import { workerField } from '../links.ts';
import type { PageRequest } from '../page.ts';

/** Hidden fields of a form that stays on a view and a worker. */
export function hiddenFields(request: Pick<PageRequest, 'worker'>, view: string): Html {
  return html`<input type="hidden" name="view" value="${view}">${workerField(request)}`;
}
