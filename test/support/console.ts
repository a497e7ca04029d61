// Console of a real gateway, asked without a socket.
import type { Html } from '../../src/console/html/html.ts';
import { documentText } from '../../src/console/html/html.ts';
import type { RunningParts } from '../../src/gateway/admin/admin-source.ts';

/** The console as `serve` gives it to a gateway. */
export async function openConsole(parts: RunningParts) {
  const { createGatewayConsole } = await import('../../src/console/gateway-console.ts');
  return createGatewayConsole(parts);
}

/** The text of HTML. */
export function textOf(html: Html): string {
  return documentText(html).replace(/^<!doctype html>\n/, '');
}
