// Log-in and consent page of the development authorization server: one person, one button.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Interaction, Provider } from 'oidc-provider';

/** Settings of the consent page. */
export interface ConsentSettings {
  readonly provider: Provider;
  readonly person: string;
  readonly defaultResource: string;
}

const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
};

/** Answers GET with the page. POST (the button) logs the person in, grants the requested scopes and returns to the client. */
export async function answerInteraction(
  settings: ConsentSettings,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const interaction = await settings.provider.interactionDetails(request, response);
    if (request.method === 'POST') {
      const grantId = await grantRequested(settings, interaction);
      await settings.provider.interactionFinished(request, response, {
        login: { accountId: settings.person },
        consent: { grantId },
      });
    } else {
      const client = await settings.provider.Client.find(text(interaction.params.client_id));
      const clientName = client?.clientName ?? client?.clientId ?? 'unknown client';
      response.writeHead(200, pageHeaders).end(page(settings, interaction, clientName));
    }
  } catch {
    // oidc-provider throws when the interaction cookie is missing or the interaction is over.
    response.writeHead(400, pageHeaders).end('<p>This log-in has expired. Start it again from the client.</p>\n');
  }
}

async function grantRequested(settings: ConsentSettings, interaction: Interaction): Promise<string> {
  const { params } = interaction;
  const grant = new settings.provider.Grant({ accountId: settings.person, clientId: text(params.client_id) });
  const scope = text(params.scope);
  grant.addOIDCScope(scope);
  for (const resource of requestedResources(settings, interaction)) grant.addResourceScope(resource, scope);
  return grant.save();
}

function requestedResources(settings: ConsentSettings, interaction: Interaction): string[] {
  const { resource } = interaction.params;
  const resources = Array.isArray(resource) ? resource.map(text) : [text(resource)];
  return resources.filter((item) => item !== '').concat(resource === undefined ? [settings.defaultResource] : []);
}

function page(settings: ConsentSettings, interaction: Interaction, clientName: string): string {
  const scopes = text(interaction.params.scope)
    .split(' ')
    .filter((scope) => scope !== '');
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Portcullis development log-in</title>
<style>body{font:16px system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}button{font:inherit;padding:.6rem 1.2rem}</style></head>
<body><h1>Development log-in</h1>
<p><strong>${escapeHtml(clientName)}</strong> asks for access to ${requestedResources(settings, interaction).map(escapeHtml).join(', ')}</p>
<ul>${scopes.map((scope) => `<li>${escapeHtml(scope)}</li>`).join('')}</ul>
<form method="post"><button autofocus>Approve as ${escapeHtml(settings.person)}</button></form></body></html>
`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function escapeHtml(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
