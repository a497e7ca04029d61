// Links and forms that stay on the worker that is shown.
import { type Html, html } from './html/html.ts';

/** The worker that is shown; undefined for a gateway of one process. */
interface Shown {
  readonly worker?: number | undefined;
}

/** A path with its query. Parameters that are undefined or empty are left out. */
export function pathOf(
  path: string,
  { worker }: Shown,
  parameters: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const given = Object.entries<string | number | undefined>({ ...parameters, worker }).flatMap(
    ([name, value]): [string, string][] => (value === undefined || value === '' ? [] : [[name, String(value)]]),
  );
  return given.length === 0 || path.startsWith('#') ? path : `${path}?${new URLSearchParams(given)}`;
}

/** The hidden field of a form that is sent by GET. */
export function workerField({ worker }: Shown): Html | undefined {
  return worker === undefined ? undefined : html`<input type="hidden" name="worker" value="${worker}">`;
}
