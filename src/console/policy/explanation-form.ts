// Form of an explanation: the fields of a made-up request, as a query states them, and the request form that they make.
import type { FormProblem } from '../../review/request-form.ts';

/** The fields in their order, with the most characters that each takes. */
export const fieldLengths = {
  authenticator: 128,
  client: 256,
  subject: 256,
  scopes: 1024,
  claims: 2048,
  certificate: 512,
  key: 128,
  bound: 2,
  from: 64,
  at: 40,
  kind: 8,
  route: 256,
  tool: 256,
  via: 256,
  args: 6000,
  message: 256,
  params: 6000,
  method: 16,
  path: 2048,
} as const;

export type FieldName = keyof typeof fieldLengths;

/** The request of a query. */
export interface ReadFields {
  /** As they are shown again; a field that holds a credential is empty. */
  readonly values: Readonly<Partial<Record<FieldName, string>>>;
  readonly problems: readonly FieldProblem[];
  /** For `explainRequest`. */
  readonly form: unknown;
}

/** A mistake, beside its field or above all of them. */
export interface FieldProblem {
  readonly field: FieldName | undefined;
  readonly message: string;
}

/** A JSON Web Token, whole or its beginning, anywhere in a text. */
const token = /eyJ[\w-]{8,}/;
const notRepeated =
  'looks like a token or key, and is not repeated here. State who the caller is; for a key give its id. Revoke a key that was put here: the address of this page is in the history of the browser.';

/** Reads the fields. A text that looks like a credential is a problem, and goes nowhere. */
export function readFields(query: URLSearchParams, keyPrefixes: readonly string[]): ReadFields {
  const problems: FieldProblem[] = [];
  const values: Partial<Record<FieldName, string>> = {};
  const keys = keyPrefixes.map(keyPattern);
  const isCredential = (text: string): boolean =>
    [text, decoded(text)].some((each) => [token, ...keys].some((pattern) => pattern.test(each)));
  for (const [name, length] of Object.entries(fieldLengths) as [FieldName, number][]) {
    const text = query.get(name)?.trim() ?? '';
    if (text === '') continue;
    if (isCredential(text)) problems.push({ field: name, message: notRepeated });
    else if (text.length > length) problems.push({ field: name, message: `has more than ${length} characters` });
    else values[name] = text;
  }
  return { values, problems, form: formOf(values, problems) };
}

/** A key anywhere in a text. Within a word it is longer, for names such as `task_history_of_dashboards`; `keys new` makes 43 characters. */
function keyPattern(prefix: string): RegExp {
  return new RegExp(`(?<![A-Za-z0-9])${prefix}[\\w-]{16}|${prefix}[\\w-]{32}`);
}

/** Without the escapes of a URL or of JSON, as far as they write ASCII. */
function decoded(text: string): string {
  return text.replace(/(?:%|\\u00)([0-7][0-9a-f])/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
}

function formOf(values: ReadFields['values'], problems: FieldProblem[]): unknown {
  const { at, from, kind = 'tool' } = values;
  const json = (name: 'claims' | 'params'): unknown => {
    try {
      return values[name] === undefined ? undefined : JSON.parse(values[name]);
    } catch (error) {
      problems.push({ field: name, message: `is no JSON: ${(error as Error).message}` });
      return undefined;
    }
  };
  const { args, message, method, path, route, tool, via } = values;
  const call = {
    tool: { route, tool, via, args },
    mcp: { route, mcp: message === undefined ? undefined : given({ method: message, params: json('params') }) },
    path: { method: method?.toUpperCase(), path },
  }[kind];
  return given({ as: callerOf(values, json), from, at, call: given(call ?? {}) });
}

function callerOf(values: ReadFields['values'], json: (name: 'claims') => unknown): unknown {
  const { authenticator, bound, certificate, client, key, scopes, subject } = values;
  const as = given({
    client,
    subject,
    scopes: scopes?.split(/[\s,]+/),
    claims: json('claims'),
    authenticator,
    certificate,
    key,
    senderConstrained: bound === undefined ? undefined : true,
  });
  return Object.keys(as).length === 0 ? 'none' : as;
}

function given(members: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

const fieldsOf: Readonly<Record<string, FieldName>> = {
  'as.senderConstrained': 'bound',
  'call.mcp': 'message',
  'call.mcp.method': 'message',
  'call.mcp.params': 'params',
};

/** The mistakes of a request form, beside the fields that they come from. */
export function fieldProblems(problems: readonly FormProblem[]): FieldProblem[] {
  return problems.map(({ message, path }) => {
    const steps = path.map(String);
    const inner = steps.slice(1, 3).join('.');
    const name = fieldsOf[[steps[0], inner].join('.')] ?? fieldsOf[steps.slice(0, 2).join('.')] ?? steps[1] ?? steps[0];
    const field = name !== undefined && Object.hasOwn(fieldLengths, name) ? (name as FieldName) : undefined;
    return { field, message };
  });
}
