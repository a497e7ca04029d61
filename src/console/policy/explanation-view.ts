// Explanation of a made-up request by the policy in force: its form, and the walk through credentials, routes and rules.
import { choice, type Option, optionsOf } from '../html/choice.ts';
import { type Html, html } from '../html/html.ts';
import type { PageRequest } from '../page.ts';
import { type FieldName, type FieldProblem, fieldLengths, fieldProblems, readFields } from './explanation-form.ts';
import { explanationSteps } from './explanation-steps.ts';
import type { PolicyNames } from './facts.ts';
import { hiddenFields } from './view-parts.ts';

/** The view. */
export async function explanationView(request: PageRequest): Promise<Html> {
  const { query, source } = request;
  const names = await source.policyNames();
  const { form, problems, values } = readFields(query, names.keyPrefixes);
  const isAsked = query.has('kind');
  const found = isAsked && problems.length === 0 ? await source.policyExplanation(form) : undefined;
  const wrong = found !== undefined && 'problems' in found ? fieldProblems(found.problems) : problems;
  const field = fieldsWith(values, isAsked ? wrong : []);
  return html`<p class="lead">State a caller and a request. The policy in force is asked what it would answer, and why; nothing is sent anywhere. Do not put a token or key here: who the caller is suffices.</p>
${found !== undefined && 'explanation' in found && explanationSteps(found)}
${explanationForm(request, names, field, values.kind ?? 'tool', isAsked ? wrong : [])}`;
}

type Input = (attributes: Html, value: string | undefined, name: FieldName) => Html;
type Field = (name: FieldName, label: string, input: Input) => Html;

/** A field with its label, and its mistakes below it. */
function fieldsWith(values: Readonly<Partial<Record<FieldName, string>>>, problems: readonly FieldProblem[]): Field {
  return (name, label, input) => {
    const own = problems.filter(({ field }) => field === name);
    const described = own.length > 0 && html` aria-invalid="true" aria-describedby="${name}-problem"`;
    const attributes = html`id="field-${name}" maxlength="${fieldLengths[name]}"${described}`;
    return html`<div class="field"><label for="field-${name}">${label}</label>${input(attributes, values[name], name)}${
      own.length > 0 &&
      html`<p class="problem" id="${name}-problem">${own.map(({ message }) => message).join('; ')}</p>`
    }</div>`;
  };
}

const plain = html`autocomplete="off" spellcheck="false"`;
const line: Input = (attributes, value, name) => html`<input name="${name}" ${attributes} ${plain} value="${value}">`;
const area: Input = (attributes, value, name) =>
  html`<textarea name="${name}" ${attributes} ${plain} rows="4">${value}</textarea>`;
const oneOf =
  (none: string, options: readonly Option[]): Input =>
  (attributes, chosen, name) =>
    choice({ name, chosen, none, options, attributes });

function explanationForm(
  request: PageRequest,
  { authenticators, routes }: PolicyNames,
  field: Field,
  kind: string,
  problems: readonly FieldProblem[],
): Html {
  const others = problems.filter((problem) => problem.field === undefined);
  const mcpRoutes = routes.filter(({ isMcp }) => isMcp);
  const radio = (value: string, label: string): Html =>
    html`<label class="radio"><input type="radio" name="kind" value="${value}"${value === kind && html` checked`}> ${label}</label>`;
  return html`<form class="card explain" id="explain" method="get" action="/policy">${hiddenFields(request, 'explain')}
${problems.length > 0 && html`<p class="problem" role="alert">The request cannot be explained: ${others.length > 0 ? others.map(({ message }) => message).join('; ') : 'see the fields below.'}</p>`}
<fieldset><legend>Caller</legend><div class="fields">
${field('client', 'Client', line)}
${field('scopes', 'Scopes of its token, with spaces between', line)}
${field(
  'authenticator',
  'Credential of',
  oneOf(
    'the first of the route that fits',
    authenticators.map(({ name, type }) => [name, `${name} (${type})`]),
  ),
)}
${field('subject', 'Subject', line)}
${field('claims', 'Claims, as JSON by our names', line)}
${field('certificate', 'Client certificate: a name, URI or fingerprint', line)}
${field('key', 'Id of its API key', line)}
${field('bound', 'Its token is bound to its sender', oneOf('no', [['on', 'yes']]))}
${field('from', 'Address', line)}
${field('at', 'Time, such as 2026-12-31T12:00:00Z', line)}
</div><p class="muted">A caller with nothing stated shows no credential.</p></fieldset>
<fieldset><legend>Request</legend><div class="kinds">${radio('tool', 'A tool')} ${radio('mcp', 'Another MCP message')} ${radio('path', 'A method and path')}</div>
<div class="fields">
<div class="of tool mcp">${field('route', 'MCP route', oneOf(mcpRoutes.length === 1 ? mcpRoutes[0]!.name : 'choose one', optionsOf(mcpRoutes.map(({ name }) => name))))}</div>
<div class="of tool">${field('tool', 'Tool', line)}</div>
<div class="of tool">${field('via', 'Called through the meta-tool', line)}</div>
<div class="of tool wide">${field('args', 'Arguments, as JSON', area)}</div>
<div class="of mcp">${field('message', 'Method of the message', line)}</div>
<div class="of mcp wide">${field('params', 'Params, as JSON', area)}</div>
<div class="of path">${field('method', 'HTTP method', line)}</div>
<div class="of path">${field('path', 'Path', line)}</div>
</div></fieldset>
<button class="primary">Explain</button></form>`;
}
